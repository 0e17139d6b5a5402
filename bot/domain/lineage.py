"""Where a version comes from and where it went: one value, of which trees, JSON and pictures are drawings.

The names of tags are those that training code writes (docs/policies.md). Whoever may write to MLflow may write them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bot.domain.plain import moment_text
from bot.domain.versions import ModelVersion, RegisteredModel
from policies.evidence import Run, VersionEvidence

_PARENT: Final = "mlflow.parentRunId"
_DATA: Final = ("data_version", "data_hash", "data_path")
_CODE: Final = ("git_commit", "git_repository", "git_branch", "git_dirty")
_MODEL: Final = ("model_hash", "model_path", "model_commit", "model_type", "framework", "framework_version")
_TRAINING: Final = ("python_version", "random_seed", "training_date", "training_duration_seconds")
_PLACE: Final = ("status", "pr", "commit", "by", "at")


@dataclass(frozen=True, slots=True)
class Training:
    """The run that made a version. `status` is empty, and `params` are, where the run is not there any more."""

    run_id: str
    status: str = ""
    trained_by: str = ""
    parent: str = ""
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a version was made of, by the names of the tags that say it; what nobody recorded is left out."""

    data: Mapping[str, str]
    code: Mapping[str, str]
    model: Mapping[str, str]
    circumstances: Mapping[str, str]
    training: Training | None


def origin_of(evidence: VersionEvidence, run_id: str | None = None) -> Origin:
    """What the tags of a version and its run say; `run_id` is the registry's, for a run that is gone."""
    said = {name: value for name, value in evidence.lineage.items() if value.strip()}
    commit = {"git_commit": evidence.commit} if evidence.commit and evidence.commit.strip() else {}
    run = evidence.run
    training = Training(run_id) if run_id else None
    if isinstance(run, Run):
        trained_by = said.get("trained_by", run.user)
        training = Training(run.run_id, run.status.value, trained_by, run.tags.get(_PARENT, ""), run.params)
    return Origin(
        data=_chosen(said, _DATA),
        code={**commit, **_chosen(said, _CODE)},
        model=_chosen(said, _MODEL),
        circumstances=_chosen(said, _TRAINING),
        training=training,
    )


def _chosen(said: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: said[name] for name in names if name in said}


@dataclass(frozen=True, slots=True)
class Kin:
    """What MLflow knows beside the version itself.

    `run_is_deleted`: the run is marked as deleted. `parent_name` is the parent run's. The others are the ids of runs
    below the same parent run, and of runs on the same data.
    """

    run_is_deleted: bool = False
    parent_name: str = ""
    below_parent: frozenset[str] = frozenset()
    on_same_data: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Lineage:
    """A version with its origin, its family, and where it went by the tags that the bot set on it.

    `places` are the tags `promotion.<environment>.…` by environment. `of_parent` are versions that the parent run
    registered itself; `same_parent` and `same_data` other versions, ascending. `copied_from` is the version that this
    one is a copy of, by model and number.
    """

    version: ModelVersion
    aliases: tuple[str, ...]
    origin: Origin
    kin: Kin
    places: Mapping[str, Mapping[str, str]]
    of_parent: tuple[int, ...] = ()
    same_parent: tuple[int, ...] = ()
    same_data: tuple[int, ...] = ()
    copied_from: tuple[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The lineage as JSON values: data, code, run, version, pull requests, environments, and the family."""
        version = self.version
        return {
            "model": version.name,
            "version_number": version.version,
            "data": dict(self.origin.data),
            "code": dict(self.origin.code),
            "run": self._run(),
            "version": {
                "registered": moment_text(version.created_at),
                "stage": version.stage,
                "aliases": list(self.aliases),
                "release": version.tags.get("promotion.release"),
                **self.origin.model,
            },
            "pull_requests": sorted({int(p["pr"]) for p in self.places.values() if p.get("pr", "").isdecimal()}),
            "environments": {name: dict(place) for name, place in self.places.items()},
            "parents": self._parents(),
            "siblings": {"same_parent_run": list(self.same_parent), "same_data": list(self.same_data)},
        }

    def _run(self) -> dict[str, Any]:
        training = self.origin.training
        if training is None:
            return {"run_id": None, "status": None, "trained_by": None, "params": {}}
        gone = "deleted for good" if not training.status else "deleted" if self.kin.run_is_deleted else ""
        return {
            "run_id": training.run_id,
            "status": f"{training.status}, {gone}".removeprefix(", ") if gone else training.status,
            "trained_by": training.trained_by or None,
            **self.origin.circumstances,
            "params": dict(training.params),
        }

    def _parents(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        training = self.origin.training
        if training is not None and training.parent:
            found["run"] = {"run_id": training.parent, "name": self.kin.parent_name, "versions": list(self.of_parent)}
        if self.copied_from is not None:
            found["copied_from"] = {"model": self.copied_from[0], "version": self.copied_from[1]}
        return found


def lineage_of(
    model: RegisteredModel, version: ModelVersion, origin: Origin, kin: Kin, copied_from: tuple[str, int] | None = None
) -> Lineage:
    """The lineage of a version among all of its model's."""
    parent = origin.training.parent if origin.training else ""
    others = [other for other in model.versions if other.version != version.version]
    return Lineage(
        version=version,
        aliases=tuple(sorted(alias for alias, number in model.aliases.items() if number == version.version)),
        origin=origin,
        kin=kin,
        places=_places(version.tags),
        of_parent=tuple(other.version for other in others if parent and other.run_id == parent),
        same_parent=tuple(other.version for other in others if other.run_id in kin.below_parent),
        same_data=tuple(o.version for o in others if o.run_id in kin.on_same_data or _is_on(origin.data, o.tags)),
        copied_from=copied_from,
    )


def _is_on(data: Mapping[str, str], tags: Mapping[str, str]) -> bool:
    """Whether a version's tags name the same data: its hash where both have one, else its version."""
    tag = "data_hash" if "data_hash" in data and "data_hash" in tags else "data_version"
    return tag in data and tags.get(tag) == data[tag]


def _places(tags: Mapping[str, str]) -> dict[str, dict[str, str]]:
    names = {key.split(".")[1] for key in tags if key.startswith("promotion.") and key.count(".") == 2}
    places = {
        name: {part: tags[f"promotion.{name}.{part}"] for part in _PLACE if f"promotion.{name}.{part}" in tags}
        for name in names
    }
    return dict(sorted(places.items(), key=lambda item: (item[1].get("at", "~"), item[0])))
