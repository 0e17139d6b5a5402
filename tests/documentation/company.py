"""What the pages' commands find: a real registry, the GitHub stand-in with the example's repository, and the bot."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from mlflow import MlflowClient

from bot.settings import Secret
from tests.documentation.pages import ROOT
from tests.e2e.house import House, house

MODEL = "breast-cancer"
DEPLOY = ROOT / "examples" / "deploy"


def deploy_files() -> dict[str, str]:
    """The example's deploy repository, with no wait between environments and no closed window."""
    pipeline = yaml.safe_load((DEPLOY / "promotion.yaml").read_text())
    production = pipeline["environments"][-1]
    production["propose"]["soak"] = "0s"
    del production["freeze"]
    pipeline["identities"]["dana"] = "dana-ds"
    policy = yaml.safe_load((DEPLOY / "policies" / "production.yaml").read_text())
    policy["checks"] = [check for check in policy["checks"] if not asks_github(check)]
    return {
        "promotion.yaml": yaml.safe_dump(pipeline, sort_keys=False).replace("@acme/ml-leads", "carol"),
        "versions.yaml": (DEPLOY / "versions.yaml").read_text(),
        "policies/staging.yaml": (DEPLOY / "policies" / "staging.yaml").read_text(),
        "policies/production.yaml": yaml.safe_dump(policy, sort_keys=False),
    }


def asks_github(check: Mapping[str, Any]) -> bool:
    """Whether it needs the training repository's commits there, or what the team's own workflow found."""
    return not {"github_check", "data"}.isdisjoint(check) or "git" in check.get("lineage", {})


@contextmanager
def company(registry_url: str, cache_url: Secret) -> Iterator[House]:
    """A company that has promoted nothing yet; its models are gone from the registry at the end."""
    with house(registry_url, cache_url, deploy_files(), model=MODEL) as built:
        try:
            yield built
        finally:
            client = MlflowClient(registry_url)
            for model in client.search_registered_models():
                client.delete_registered_model(model.name)


GOOD = {"data_version": "data-v1.0", "data_hash": f"md5:{0:032x}"}


def files_of(*inputs: str) -> dict[str, bytes]:
    """The files of a model that takes these columns, `?` behind an optional one."""
    columns = [{"name": n.removesuffix("?"), "type": "double", "required": not n.endswith("?")} for n in inputs]
    signature = {"inputs": json.dumps(columns), "outputs": json.dumps([{"type": "long"}])}
    return {
        "MLmodel": yaml.safe_dump({"flavors": {}, "signature": signature}).encode(),
        "requirements.txt": b"skops==0.14.0\n",
    }


def a_good_version(built: House, accuracy: float) -> int:
    version = built.register(accuracy, recall=0.94, tags=GOOD, files=files_of("mean radius"))
    built.mlflow.set_model_version_tag(MODEL, str(version), "git_dirty", "false")
    return version


def a_version_goes_to_production(built: House) -> None:
    built.to_production(a_good_version(built, 0.96))


def a_poor_version_is_registered(built: House) -> None:
    built.register(0.5, recall=0.5, tags=GOOD)
    built.event()


def registered(*inputs: str, release: str = "") -> Callable[[House], None]:
    """A version that takes these columns is registered, and the bot looks at it."""

    def register(built: House) -> None:
        version = built.register(0.96, recall=0.94, tags=GOOD, files=files_of(*inputs))
        if release:
            built.mlflow.set_model_version_tag(MODEL, str(version), "release", release)
        built.event()

    return register


def approved_and_merged(built: House) -> None:
    (proposal,) = [p for p in built.repository.pulls() if "production" in p.head_ref]
    built.approve_and_merge(proposal)
    built.settle()


def two_versions_are_registered(built: House) -> None:
    """Nobody has looked at them yet."""
    for accuracy in (0.94, 0.96):
        a_good_version(built, accuracy)


AT_WORK = "the bot works"  # which it does as long as the block runs


# What the pages' `<!-- meanwhile: … -->` name.
MEANWHILE: Mapping[str, Callable[[House], None]] = {
    "the bot looks": House.event,
    "two versions are registered": two_versions_are_registered,
    "alice and bob approve, bob merges": approved_and_merged,
    "a version goes to production": a_version_goes_to_production,
    "a poor version is registered": a_poor_version_is_registered,
    "a first version is registered": registered("mean radius"),
    "one that takes another column is registered": registered("mean radius", "mean texture?"),
    "one that needs another column is registered": registered("mean radius", "mean texture"),
    "one that is called 3.0.0 is registered": registered("mean radius", "mean texture", release="3.0.0"),
}


def at_a_terminal(built: House, home: Path) -> dict[str, str]:
    """The environment of dana, a data scientist who may write to the deploy repository."""
    settings = built.gateways.settings
    inherited = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "USER": "dana",
        "NO_COLOR": "1",
        "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GITHUB_API_URL": settings.github_api_url,
        "GITHUB_TOKEN": built.github.add_token("dana-ds"),
        "PROMOTION_BOT_LOGIN": str(built.gateways.login()),
        "PROMOTION_REPOSITORIES": built.repository.repo.full_name,
        **{
            f"GIT_{role}_{what}": said
            for role in ("AUTHOR", "COMMITTER")
            for what, said in (("NAME", "Dana Smith"), ("EMAIL", "dana@example.com"))
        },
    }
