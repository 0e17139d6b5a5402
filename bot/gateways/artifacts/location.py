"""Where the files of a version are: from what was registered to the URIs of stores that may be asked."""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from bot.domain.errors import Refused
from bot.domain.versions import ModelVersion, copied_version
from bot.gateways.mlflow_api import Missing, MlflowApi, redacted

# A version may be a copy of a version that is a copy of another.
LONGEST_COPY_CHAIN: Final = 5

# Schemes whose client connects, with the bot's credentials, to the host that the URI names. Whoever may register a
# version chooses that host, so other hosts than the tracking server's need the operator's word, in the variable with
# which MLflow's own server guards itself (mlflow/store/artifact/host_policy.py, GHSA-mr9f-g8qf-4w4j).
_HOST_ADDRESSED: Final = frozenset(
    {"http", "https", "mlflow-artifacts", "ftp", "sftp", "hdfs", "viewfs", "r2", "b2", "abfss"}
)
_ALLOWED_SCHEMES: Final = "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES"


def logged_model_id(source: str) -> str | None:
    """The id in a `models:/m-…` source; None for every other source."""
    match = re.fullmatch(r"models:/(m-[^/@]+)", source)
    return match[1] if match else None


def named(version: ModelVersion) -> str:
    """The version as messages call it."""
    return f"version {version.version} of {version.name!r}"


def locations(api: MlflowApi, version: ModelVersion) -> list[str]:
    """The URIs that hold the version's files; where two hold one path, the later one's counts, as for MLflow."""
    name, number = version.name, version.version
    for _ in range(LONGEST_COPY_CHAIN):
        with api.asked_to(f"find the files of {named(version)}") as client:
            uri: str = client.get_model_version_download_uri(name, str(number))
            if model_id := logged_model_id(uri):
                return [client.get_logged_model(model_id).artifact_location]
        scheme = split(uri, version).scheme
        if scheme == "runs":
            return _run_locations(api, uri, version)
        if scheme != "models":
            return [uri]
        copied = copied_version(uri)
        if copied is None:
            break
        name, number = copied
    raise Refused(f"{named(version)} has a source that leads nowhere: {redacted(version.source)!r}.")


def _run_locations(api: MlflowApi, uri: str, version: ModelVersion) -> list[str]:
    """Where MLflow finds `runs:/RUN/PATH`: the run's own directory, then a model of that name that it logged."""
    run_id, _, path = urlsplit(uri).path.lstrip("/").partition("/")
    model_name, _, below = path.partition("/")
    with api.asked_to(f"find the files of {named(version)} in its run {run_id}") as client:
        run = client.get_run(run_id)
    found = [f"{run.info.artifact_uri.rstrip('/')}/{path}".rstrip("/")]
    for output in run.outputs.model_outputs if run.outputs else ():
        try:
            with api.asked_to(f"read the logged model {output.model_id} of {named(version)}") as client:
                model = client.get_logged_model(output.model_id)
        except Missing:
            continue
        if model.name == model_name:
            found.append(f"{model.artifact_location.rstrip('/')}/{below}".rstrip("/"))
    return found


def split(uri: str, version: ModelVersion) -> SplitResult:
    """The parts of a URI; Refused where it is none, or leads upwards."""
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise Refused(f"{named(version)} has its files at {redacted(uri)!r}, which is no address: {error}.") from None
    if ".." in parts.path.split("/"):
        raise Refused(f"{named(version)} has a source with '..' in it: {redacted(uri)!r}.")
    return parts


def check_host(uri: str, version: ModelVersion, tracking_uri: str) -> None:
    """Refuse a URI whose host would be shown the bot's credentials without being the tracking server."""
    parts, own = urlsplit(uri), urlsplit(tracking_uri)
    allowed = {scheme.strip().lower() for scheme in os.environ.get(_ALLOWED_SCHEMES, "").split(",")}
    if parts.scheme not in _HOST_ADDRESSED or parts.scheme in allowed:
        return
    if not parts.netloc and parts.scheme == "mlflow-artifacts":
        return
    same_transport = parts.scheme in {own.scheme, "mlflow-artifacts"}
    host = parts.netloc.rpartition("@")[2].lower()
    if same_transport and host == own.netloc.rpartition("@")[2].lower():
        return
    raise Refused(
        f"{named(version)} has its files on {host or 'an unnamed host'} ({parts.scheme}), which is not the "
        "tracking server: the bot would send its credentials there. If that host is yours, add "
        f"{parts.scheme!r} to {_ALLOWED_SCHEMES} in the bot's environment."
    )
