"""The model registry: what MLflow holds of models, versions and runs, and the few things the bot writes there."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import yaml

from bot.domain.errors import Refused
from bot.domain.versions import ModelVersion, RegisteredModel, VersionStatus, copied_version
from bot.gateways.artifacts import LONGEST_COPY_CHAIN, Artifacts, logged_model_id
from bot.gateways.mlflow_api import Heard, Missing, MlflowApi, pages_of, unheard
from bot.gateways.mlflow_api import preload as preload
from policies.documents import MAX_DEPTH
from policies.evidence import Metric, Run, RunStatus, VersionEvidence

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as MlflowRun
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.entities.model_registry import RegisteredModel as MlflowModel

# MLflow allows pages of 1,000 models and 200,000 versions
# (`SEARCH_*_MAX_RESULTS_THRESHOLD` in mlflow/store/model_registry/__init__.py).
_MODELS_A_PAGE: Final = 1_000
_VERSIONS_A_PAGE: Final = 5_000

# A version's tag is a TEXT column, a model's holds 5,000 characters, and MySQL's TEXT 65,535 bytes
# (mlflow/store/model_registry/dbmodels/models.py): 5,000 characters fit everywhere.
TAG_VALUE_LIMIT: Final = 5_000

# A signature of thousands of columns has some hundred kilobytes.
_MLMODEL_LIMIT: Final = 5_000_000
_MLMODEL_PARTS: Final = 50_000  # keys and values; the signature's columns are one text

# A status that is none of these may come with a later MLflow: only READY ones have all their files.
_STATUSES: Final = {status.value: status for status in VersionStatus}

_OWN_TAG_PREFIX: Final = "promotion."
_OWN_TAGS: Final = frozenset({"validation_status", "promoted_from"})


@dataclass(frozen=True, slots=True)
class ModelFile:
    """An MLmodel file: the JSON texts of its signature, and the names of its flavors.

    Format: https://mlflow.org/docs/latest/ml/model/#mlmodel-file-contents
    """

    signature: Mapping[str, Any] | None = None
    flavors: tuple[str, ...] = ()


class Registry(MlflowApi):
    """The models of one MLflow. Every read is fresh, every write may be repeated.

    Raises Unreachable where MLflow does not answer, Misconfigured where it does not let the bot in, and Refused
    where it says no, `Missing` among that for a model or version that is gone.
    """

    def __init__(self, tracking_uri: str, registry_uri: str | None = None, heard: Heard = unheard) -> None:
        super().__init__(tracking_uri, registry_uri, heard)
        self._artifacts = Artifacts(self)

    def models(self) -> tuple[RegisteredModel, ...]:
        """Every registered model with its versions, by name; prompts, which MLflow keeps beside them, left out.

        Takes a request for each 1,000 models and each 5,000 versions.
        """
        task = "list the registered models"
        with self.asked_to(task) as client, self.understanding(task):
            models = {
                model.name: _registered_model(model, ())
                for model in pages_of(
                    lambda token: client.search_registered_models(
                        max_results=_MODELS_A_PAGE, order_by=["name ASC"], page_token=token
                    )
                )
            }
            # MLflow's own objects are several times as large: each is let go as soon as it is read.
            versions: dict[str, list[ModelVersion]] = defaultdict(list)
            for version in self._search_versions(None):
                versions[version.name].append(_model_version(version))
        return tuple(replace(models[name], versions=_in_order(versions[name])) for name in sorted(models))

    def model(self, name: str) -> RegisteredModel | None:
        """The registered model of exactly that name with its versions; None if there is none. Two requests."""
        task = f"read the model {name!r}"
        try:
            with self.asked_to(task) as client, self.understanding(task):
                model = client.get_registered_model(name)
                found = self._search_versions(_name_filter(name))
                versions = [_model_version(v) for v in found if v.name == name]
        except Missing:
            return None
        except Refused:
            # MLflow answers 400 for names that no model can have: empty ones, `a/b`, `..`.
            return None
        with self.understanding(task):
            # A database that compares without case answers with another model.
            return _registered_model(model, versions) if model.name == name else None

    def _search_versions(self, filter_string: str | None) -> Iterator[MlflowVersion]:
        client = self.client
        return pages_of(
            lambda token: client.search_model_versions(
                filter_string=filter_string,
                max_results=_VERSIONS_A_PAGE,
                order_by=["name ASC", "version_number ASC"],
                page_token=token,
            )
        )

    def registered_evidence(self, model: RegisteredModel, version: ModelVersion) -> VersionEvidence:
        """What the registry's lists already say of a version; asks nothing."""
        return VersionEvidence(
            name=version.name,
            version=version.version,
            created_at=version.created_at,
            tags=_without_own(version.tags),
            model_tags=_without_own(model.tags),
            user=version.user,
        )

    def version_evidence(self, model: RegisteredModel, version: ModelVersion) -> VersionEvidence:
        """What the registry and the run say of a version: at most a request for each, and one for the logged model.

        A run or logged model that was erased leaves nothing of itself; one that is only marked as deleted can still
        be read, until `mlflow gc`, and is. The MLmodel file is not read here: `model_file` does.
        """
        what = f"version {version.version} of {version.name!r}"
        logged = self._logged_model(version, what)
        run = self._run(version.run_id or (logged.source_run_id if logged else None), what)
        with self.understanding(f"read what was logged for {what}"):
            return replace(
                self.registered_evidence(model, version),
                run=_run_evidence(run) if run else None,
                metrics=_metrics(run, logged),
            )

    def _run(self, run_id: str | None, what: str) -> MlflowRun | None:
        if not run_id:
            return None
        try:
            with self.asked_to(f"read the run {run_id} of {what}") as client:
                return client.get_run(run_id)
        except Refused:
            # MLflow registers a version with any run id, and answers 400 to one that no run can have.
            return None

    def _logged_model(self, version: ModelVersion, what: str) -> LoggedModel | None:
        source = version.source
        try:
            with self.asked_to(f"read the logged model of {what}") as client:
                for _ in range(LONGEST_COPY_CHAIN):
                    if model_id := logged_model_id(source):
                        return client.get_logged_model(model_id)
                    copied = copied_version(source)
                    if copied is None:
                        return None
                    source = client.get_model_version(copied[0], str(copied[1])).source or ""
        except Missing:
            return None
        return None

    def model_file(self, version: ModelVersion) -> ModelFile:
        """What the version's MLmodel file says; nothing where that file is missing or damaged."""
        try:
            return _model_file(self._artifacts.fetch(version, "MLmodel", _MLMODEL_LIMIT))
        except Refused:
            return ModelFile()

    def set_stage(self, name: str, version: int, stage: str) -> None:
        """Put the version into a stage; who was there stays, whoever calls archives each version by itself.

        Stages are deprecated since MLflow 2.9 and still work: the warning is for people who choose them, which the
        pipeline's documentation does, not for every promotion's log.
        """
        task = f"put version {version} of {name!r} into stage {stage}"
        with self.asked_to(task) as client, warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            client.transition_model_version_stage(name, str(version), stage, archive_existing_versions=False)

    def copy_version(self, name: str, version: int, to: str) -> None:
        """Copy a version into another registered model, which is made where it is missing; once, however often asked.

        The copy refers to the version's files and has its run, description and tags, without the bot's own. MLflow's
        `copy_model_version` does the same with all tags, and prints.
        """
        known = self.model(to)
        if known is not None and any(copy.copied_from == (name, version) for copy in known.versions):
            return
        with self.asked_to(f"copy version {version} of {name!r} to {to!r}") as client:
            original = client.get_model_version(name, str(version))
            if known is None:
                client.create_registered_model(to)
            client.create_model_version(
                to,
                f"models:/{name}/{version}",
                run_id=original.run_id or None,
                tags=_without_own(original.tags),
                description=original.description,
                await_creation_for=0,
            )

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point the alias at the version, wherever it pointed before."""
        with self.asked_to(f"point the alias {alias!r} of {name!r} at version {version}") as client:
            client.set_registered_model_alias(name, alias, str(version))

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove the alias; nothing happens where it, or the model, does not exist."""
        try:
            with self.asked_to(f"remove the alias {alias!r} of {name!r}") as client:
                client.delete_registered_model_alias(name, alias)
        except Missing:
            return

    def set_version_tags(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        """Set the version's tags, in order, and delete those whose value is None; values are cut to the limit."""
        for key, value in tags.items():
            with self.asked_to(f"write the tag {key!r} of version {version} of {name!r}") as client:
                if value is None:
                    client.delete_model_version_tag(name, str(version), key)
                else:
                    client.set_model_version_tag(name, str(version), key, cut_tag_value(value))

    def log_artifact(self, name: str, version: int, path: str, text: str) -> None:
        """Write a text among the artifacts of the version's run; nothing happens for a version without one."""
        with self.asked_to(f"write {path!r} to the run of version {version} of {name!r}") as client:
            run_id = client.get_model_version(name, str(version)).run_id
            if run_id:
                client.log_text(run_id, text, path)

    def set_model_tags(self, name: str, tags: Mapping[str, str | None]) -> None:
        """Set the registered model's tags, in order, and delete those whose value is None; values are cut."""
        for key, value in tags.items():
            with self.asked_to(f"write the tag {key!r} of {name!r}") as client:
                if value is None:
                    client.delete_registered_model_tag(name, key)
                else:
                    client.set_registered_model_tag(name, key, cut_tag_value(value))


def cut_tag_value(value: str) -> str:
    """`value` as a tag can hold it: what is over the limit gives way to an ellipsis."""
    return value if len(value) <= TAG_VALUE_LIMIT else value[: TAG_VALUE_LIMIT - 1] + "…"


def _name_filter(name: str) -> str:
    """A filter that finds at least the versions of `name`.

    MLflow's filter language has no escape for quotes and none for a backslash before one, so a name that holds them
    is searched with LIKE and a wildcard in their places, and what else that finds is sorted out by the caller.
    """
    if not any(character in name for character in "'\"\\"):
        return f"name = '{name}'"
    pattern = name.translate({ord(character): "_" for character in "'\"\\"})
    return f"name LIKE '{pattern}'"


def _registered_model(model: MlflowModel, versions: Iterable[ModelVersion]) -> RegisteredModel:
    return RegisteredModel(
        name=model.name,
        tags=dict(model.tags),
        aliases={alias: int(version) for alias, version in sorted(model.aliases.items())},
        versions=_in_order(versions),
    )


def _in_order(versions: Iterable[ModelVersion]) -> tuple[ModelVersion, ...]:
    """The versions by their numbers; one that moved to the next page while pages were read is there once."""
    by_number = {version.version: version for version in versions}
    return tuple(by_number[number] for number in sorted(by_number))


def _model_version(version: MlflowVersion) -> ModelVersion:
    return ModelVersion(
        name=version.name,
        version=int(version.version),
        created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        status=_STATUSES.get(version.status, VersionStatus.PENDING_REGISTRATION),
        stage=version.current_stage or "None",
        run_id=version.run_id or None,
        source=version.source or "",
        user=version.user_id or "",
        tags=dict(version.tags),
    )


def _run_evidence(run: MlflowRun) -> Run:
    return Run(
        run_id=run.info.run_id,
        status=RunStatus(run.info.status),
        user=run.data.tags.get("mlflow.user") or run.info.user_id or "",
        params=dict(run.data.params),
        tags=dict(run.data.tags),
    )


def _metrics(run: MlflowRun | None, logged: LoggedModel | None) -> tuple[Metric, ...]:
    """The run's metrics and over them the logged model's, which alone know their data sets, by name and data set."""
    found = {(name, ""): float(value) for name, value in run.data.metrics.items()} if run else {}
    newest = sorted((logged.metrics or []) if logged else [], key=lambda m: (m.timestamp, m.step))
    found |= {(metric.key, metric.dataset_name or ""): float(metric.value) for metric in newest}
    return tuple(Metric(name, found[name, dataset], dataset or None) for name, dataset in sorted(found))


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _model_file(content: bytes) -> ModelFile:
    """Only the nodes that are asked for are looked at: no value is made of what anybody may have written."""
    try:
        if not _is_readable(content):
            return ModelFile()
        document = _mapping(yaml.compose(content, _Loader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return ModelFile()
    said = document.get("signature")
    signature = None
    if isinstance(said, yaml.MappingNode):
        signature = {
            part: None if _is_null(node) else node.value
            for part, node in _mapping(said).items()
            if isinstance(node, yaml.ScalarNode)
        }
    return ModelFile(signature, tuple(sorted(_mapping(document.get("flavors")))))


def _is_readable(content: bytes) -> bool:
    """Whether it has few enough parts, in few enough levels, to be read whole in little time."""
    depth = 0
    for count, event in enumerate(yaml.parse(content, _Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if count > _MLMODEL_PARTS or depth > MAX_DEPTH:
            return False
    return True


def _mapping(node: yaml.Node | None) -> dict[str, yaml.Node]:
    """The values of a mapping by those of its keys that are plain; empty for every other node."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return {key.value: value for key, value in pairs if isinstance(key, yaml.ScalarNode)}


def _is_null(node: yaml.ScalarNode) -> bool:
    return str(node.tag) == "tag:yaml.org,2002:null"


def is_own_tag(key: str) -> bool:
    """Whether it is a tag that the bot writes."""
    return key.startswith(_OWN_TAG_PREFIX) or key in _OWN_TAGS


def _without_own(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not is_own_tag(key)}
