"""A run's model as a version of a registered model, with what says where it comes from."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bot.domain.errors import Refused
from bot.domain.versions import ModelVersion, VersionStatus
from bot.gateways.mlflow_api import Missing, redacted
from bot.gateways.registry import Registry, cut_tag_value, is_own_tag

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

# The tags of a run that say where its model comes from: the version carries them too, so that they outlive the run.
LINEAGE_TAGS: Final = (
    "git_commit",
    "git_branch",
    "git_dirty",
    "git_repository",
    "data_version",
    "data_hash",
    "data_path",
    "model_hash",
    "model_path",
    "model_commit",
)

# How much of a run's artifacts is looked at for directories with an MLmodel file.
_MOST_DIRECTORIES: Final = 100


@dataclass(frozen=True, slots=True)
class RunModel:
    """A model that a run logged: `path` is its name there, `source` what is registered of it."""

    path: str
    source: str
    model_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What to register: `path` is needed where the run holds several models; `tags` go over the run's own."""

    run_id: str
    model: str
    path: str | None = None
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Registered:
    """The version as it is now; `is_new` where it was made for this wish, not found."""

    version: ModelVersion
    tags: Mapping[str, str]
    is_new: bool


def register(registry: Registry, wish: Wish) -> Registered:
    """Register a run's model, once however often it is asked for; description and tags follow the last wish.

    Raises Missing where there is no such run, Refused where it is deleted, unfinished, or holds no model or several.
    """
    _expect_free_tags(wish.tags)
    run = _run(registry, wish.run_id)
    chosen = _chosen(models_of(registry, run), wish)
    lineage = {key: run.data.tags[key] for key in LINEAGE_TAGS if run.data.tags.get(key)}
    tags = {key: cut_tag_value(value) for key, value in {**lineage, **wish.tags}.items()}
    standing = [
        v for v in _of_source(registry, wish.model, chosen) if v.status is not VersionStatus.FAILED_REGISTRATION
    ]
    if standing:
        _follow(registry, standing[-1], wish.description, tags)
    else:
        _create(registry, wish, chosen, tags)
    versions = _of_source(registry, wish.model, chosen)
    if not versions:
        raise Missing(f"The version of {wish.model!r} that was registered a moment ago is gone.")
    return Registered(versions[-1], tags, is_new=not standing)


def wait_until_ready(registry: Registry, registered: Registered, pause: Callable[[], bool]) -> ModelVersion:
    """The version once all its files are there; as it is when `pause` says that no time is left.

    Raises Refused where MLflow could not copy them.
    """
    version = registered.version
    while version.status is VersionStatus.PENDING_REGISTRATION and pause():
        model = registry.model(version.name)
        now = model.version(version.version) if model else None
        if now is None:
            raise Missing(f"Version {version.version} of {version.name!r} was deleted while it was registered.")
        version = now
    if version.status is VersionStatus.FAILED_REGISTRATION:
        raise Refused(f"MLflow says that version {version.version} of {version.name!r} failed to register.")
    return version


def models_of(registry: Registry, run: MlflowRun) -> Sequence[RunModel]:
    """The models of a run: those that MLflow 3 logs beside its artifacts, and directories of them with an MLmodel."""
    logged = list(_logged_models(registry, run))
    names = {model.path for model in logged}
    return [*logged, *(model for model in _model_directories(registry, run) if model.path not in names)]


def _run(registry: Registry, run_id: str) -> MlflowRun:
    with registry.asked_to(f"read the run {run_id!r}") as client:
        run = client.get_run(run_id)
    if run.info.lifecycle_stage == "deleted":
        raise Refused(f"The run {run_id} is deleted; restore it first, or train again.")
    if run.info.status != "FINISHED":
        raise Refused(f"The run {run_id} is {run.info.status}; only what a finished run logged is registered.")
    return run


def _logged_models(registry: Registry, run: MlflowRun) -> Iterator[RunModel]:
    for output in run.outputs.model_outputs if run.outputs else ():
        try:
            with registry.asked_to(f"read the logged model {output.model_id} of run {run.info.run_id}") as client:
                model = client.get_logged_model(output.model_id)
        except Missing:
            continue
        yield RunModel(model.name, f"models:/{model.model_id}", model.model_id)


def _model_directories(registry: Registry, run: MlflowRun) -> Iterator[RunModel]:
    waiting, seen = [""], 0
    while waiting and seen < _MOST_DIRECTORIES:
        directory = waiting.pop(0)
        seen += 1
        with registry.asked_to(f"list the artifacts of run {run.info.run_id}") as client:
            entries = client.list_artifacts(run.info.run_id, directory or None)
        if any(posixpath.basename(entry.path) == "MLmodel" and not entry.is_dir for entry in entries):
            yield RunModel(directory, f"{run.info.artifact_uri.rstrip('/')}/{directory}".rstrip("/"))
        else:
            waiting += [entry.path for entry in entries if entry.is_dir]


def _chosen(models: Sequence[RunModel], wish: Wish) -> RunModel:
    names = ", ".join(f"“{model.path}”" for model in models)
    if not models:
        raise Refused(f"The run {wish.run_id} has logged no model: no artifact of it holds an MLmodel file.")
    found = [model for model in models if wish.path in (None, model.path, model.model_id)]
    if not found:
        raise Refused(f"The run {wish.run_id} has no model “{wish.path}”; it has {names}.")
    if len(found) > 1:
        ids = ", ".join(f"“{model.path}” ({model.model_id or redacted(model.source)})" for model in found)
        raise Refused(f"The run {wish.run_id} has several models: {ids}. Say which with --path NAME, or its id.")
    return found[0]


def _of_source(registry: Registry, name: str, chosen: RunModel) -> Sequence[ModelVersion]:
    """The versions that a run's model has in a registered model, oldest first."""
    known = registry.model(name)
    return [version for version in known.versions if version.source == chosen.source] if known else []


def _create(registry: Registry, wish: Wish, chosen: RunModel, tags: dict[str, str]) -> None:
    try:
        with registry.asked_to(f"create the model {wish.model!r}") as client:
            client.create_registered_model(wish.model)
    except Refused:
        if registry.model(wish.model) is None:
            raise
    with registry.asked_to(f"register the model of run {wish.run_id} as {wish.model!r}") as client:
        client.create_model_version(
            wish.model,
            chosen.source,
            wish.run_id,
            tags=tags,
            description=wish.description,
            await_creation_for=0,
            model_id=chosen.model_id,
        )


def _follow(registry: Registry, version: ModelVersion, description: str | None, tags: Mapping[str, str]) -> None:
    changed = {key: value for key, value in tags.items() if version.tags.get(key) != value}
    registry.set_version_tags(version.name, version.version, changed)
    if description is not None:
        with registry.asked_to(f"describe version {version.version} of {version.name!r}") as client:
            client.update_model_version(version.name, str(version.version), description)


def _expect_free_tags(tags: Mapping[str, str]) -> None:
    own = sorted(filter(is_own_tag, tags))
    if own:
        raise Refused(f"The tag “{own[0]}” is one that the bot itself writes; choose another name.")
