"""The pipeline of a deploy repository: which models, through which environments, by which rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from bot.domain.windows import Freeze, WeekTime
from policies.documents import Document, InvalidDocument, Problem, load, nearest
from policies.durations import parse_duration

DEFAULT_MANIFEST: Final = "versions.yaml"
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_YEARS: Final = range(1970, 2970)
_SOME_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
# croniter's own: fields that are random, so that two workers would open two batches.
_RANDOM: Final = re.compile(r"(?<![a-z])[hr](?![a-z])", re.IGNORECASE)


class Merge(StrEnum):
    """Who merges a proposal whose checks are all green."""

    AUTO = "auto"
    MANUAL = "manual"


class Drift(StrEnum):
    """What happens when the registry differs from the manifest although nobody merged anything."""

    REPORT = "report"
    REPAIR = "repair"


class WhileSoaking(StrEnum):
    """What a newer version does while an older one soaks: take its place, or wait for it."""

    REPLACE = "replace"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class OnRegistration:
    """Every new version is a candidate."""


@dataclass(frozen=True, slots=True)
class OnTag:
    """A version with this tag is a candidate."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class OnAlias:
    """The version that the alias points at is the candidate."""

    alias: str


@dataclass(frozen=True, slots=True)
class After:
    """The version that has been live in `environment` for `soak` is the candidate."""

    environment: str
    soak: timedelta


@dataclass(frozen=True, slots=True)
class Manual:
    """Only people propose."""


Propose = OnRegistration | OnTag | OnAlias | After | Manual


@dataclass(frozen=True, slots=True)
class ApprovalsWanted:
    """How many approvals, of whom: logins and `@organisation/team`; nobody named means whoever may write."""

    count: int = 0
    allowed: tuple[str, ...] = ()
    not_author: bool = False


@dataclass(frozen=True, slots=True)
class RollbackRule:
    """What going back to a version that was live here before needs."""

    approvals: int = 0
    ignore_freeze: bool = True


# A copy refers to `models:/NAME/VERSION`, which MLflow takes apart as a URL: Python leaves out the first three, and a
# path ends before the last. One that begins with # is no whole path to MLflow's server.
_UNCOPYABLE: Final = frozenset("\t\n\r?")


@dataclass(frozen=True, slots=True)
class RegistryTarget:
    """What a live version gets in the registry: on itself, or on its copy in the registered model `copy_to`."""

    stage: str | None = None
    alias: str | None = None
    archive_existing: bool = False
    copy_to: str | None = None

    def carrier(self, model: str) -> str:
        """The registered model whose versions get stage and alias."""
        return model if self.copy_to is None else self.copy_to.replace("{model}", model)

    def cannot_carry(self, model: str) -> tuple[str, ...]:
        """Why no version of the model can be live here, whatever its evidence; empty where one can."""
        if self.copy_to is None or not (_UNCOPYABLE & set(model) or model.startswith("#")):
            return ()
        return (
            "MLflow cannot copy a model whose name has a line break, a tab or a question mark, or begins with #, and"
            " this environment's `copy_to` asks for copies: rename the model, or let the environment do without"
            " `copy_to`",
        )


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment and its rules. `policy` is a path in the deploy repository."""

    name: str
    policy: str
    registry: RegistryTarget
    propose: Propose = field(default_factory=Manual)
    merge: Merge = Merge.MANUAL
    approvals: ApprovalsWanted = field(default_factory=ApprovalsWanted)
    overrides: tuple[str, ...] = ()
    freeze: tuple[Freeze, ...] = ()
    rollback: RollbackRule = field(default_factory=RollbackRule)
    drift: Drift = Drift.REPORT
    while_soaking: WhileSoaking = WhileSoaking.REPLACE
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Releases:
    """What is made when a version goes live in the last environment."""

    tag: str
    github_release: bool


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A parsed `promotion.yaml`. `identities` map an MLflow user to a GitHub login, None for a machine."""

    environments: tuple[Environment, ...]
    models: tuple[str, ...]
    manifest: str = DEFAULT_MANIFEST
    identities: Mapping[str, str | None] = field(default_factory=dict)
    releases: Releases | None = None

    def owns(self, model: str) -> bool:
        """Whether a registered model is this repository's."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)

    def environment(self, name: str) -> Environment:
        """The environment of that name; raises KeyError."""
        for environment in self.environments:
            if environment.name == name:
                return environment
        raise KeyError(name)

    @property
    def last_environment(self) -> Environment:
        """The environment that releases are made for."""
        return self.environments[-1]

    def manifest_path(self, environment: str) -> str:
        """Where the environment's entries stand."""
        return self.manifest.replace("{environment}", environment)

    def manifest_paths(self) -> tuple[str, ...]:
        """Every manifest file once, in the order of the environments."""
        return tuple(dict.fromkeys(self.manifest_path(e.name) for e in self.environments))


def parse_pipeline(text: str | bytes, source: str = "promotion.yaml") -> Pipeline:
    """The pipeline that `text` describes; raises InvalidDocument with all that is wrong in it."""
    document = load(text, source, "pipeline")
    problems = list(_Rules(document).problems())
    if problems:
        raise InvalidDocument(problems)
    data = document.data
    releases = data.get("releases")
    return Pipeline(
        environments=tuple(_environment(row) for row in data["environments"]),
        models=tuple(data["models"]),
        manifest=data.get("manifest", DEFAULT_MANIFEST),
        identities={u: None if login == "none" else login for u, login in data.get("identities", {}).items()},
        releases=None
        if releases is None
        else Releases(releases.get("tag", "model-{model}-v{version}"), releases.get("github_release", False)),
    )


def _environment(row: Mapping[str, Any]) -> Environment:
    approvals, rollback, registry = row.get("approvals", {}), row.get("rollback", {}), row["registry"]
    propose = row.get("propose", "manual")
    soaking = propose.get("while_soaking") if isinstance(propose, dict) else None
    group = row.get("group", "none")
    return Environment(
        name=row["name"],
        policy=row["policy"],
        registry=RegistryTarget(**registry),
        propose=_propose(propose),
        merge=Merge(row.get("merge", "manual")),
        approvals=ApprovalsWanted(
            approvals.get("count", 0), tuple(approvals.get("from", ())), approvals.get("not_author", False)
        ),
        overrides=tuple(row.get("overrides", {}).get("from", ())),
        freeze=tuple(_freeze(freeze) for freeze in row.get("freeze", ())),
        rollback=RollbackRule(rollback.get("approvals", 0), rollback.get("ignore_freeze", True)),
        drift=Drift(row.get("drift", "report")),
        while_soaking=WhileSoaking(soaking or row.get("while_soaking", "replace")),
        group=None if group == "none" else group,
    )


def _propose(said: Any) -> Propose:  # noqa: ANN401 - a text or a mapping, as the schema allows
    match said:
        case "on_registration":
            return OnRegistration()
        case {"on_tag": tag}:
            ((key, value),) = tag.items()
            return OnTag(key, value)
        case {"on_alias": alias}:
            return OnAlias(alias)
        case {"after": environment}:
            return After(environment, parse_duration(said.get("soak", "0s")))
        case _:
            return Manual()


def _freeze(row: Mapping[str, Any]) -> Freeze:
    return Freeze(
        _freeze_time(row["from"]), _freeze_time(row["until"]), row.get("timezone", "UTC"), row.get("reason", "frozen")
    )


def _freeze_time(text: str) -> WeekTime | datetime:
    """`Fri 16:00`, `2026-12-20` or `2026-12-20 16:00`, in local time; raises ValueError."""
    day, _, clock = text.partition(" ")
    found = time.fromisoformat(clock) if day in _WEEKDAYS else datetime.fromisoformat(text)
    if found.tzinfo is not None:
        raise ValueError("the time zone is said by itself")
    if isinstance(found, time):
        return WeekTime(_WEEKDAYS.index(day), found)
    if found.year not in _YEARS:  # in another time zone it could be a date that there cannot be
        raise ValueError("not a year of ours")
    return found


class _Rules:
    """What a schema cannot say about a pipeline."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._rows: list[dict[str, Any]] = document.data["environments"]
        self._names = [row["name"] for row in self._rows]

    def problems(self) -> Iterator[Problem]:
        at = self._document.problem_at
        yield from self._manifest()
        yield from self._releases()
        for i, row in enumerate(self._rows):
            place = ("environments", i)
            if row["name"] in self._names[:i]:
                yield at((*place, "name"), f"there are two environments “{row['name']}”")
            if not any(row["registry"].get(what) for what in ("stage", "alias", "copy_to")):
                yield at((*place, "registry"), "needs a stage, an alias, or both, or copy_to")
            yield from self._alias(i, row)
            yield from self._copy_to(i, row)
            yield from self._proposing(i, row)
            yield from self._freezes(i, row)
            group = row.get("group", "none")
            if group not in ("none", "daily") and not _fires(group):
                yield at(
                    (*place, "group"),
                    f"“{group}” is neither none, daily, nor a cron expression that fires, such as 0 6 * * 1",
                )
            if bad := _bad_path(row["policy"]):
                yield at((*place, "policy"), bad)

    def _manifest(self) -> Iterator[Problem]:
        path = self._document.data.get("manifest", DEFAULT_MANIFEST)
        if bad := _bad_path(path):
            yield self._document.problem_at(("manifest",), bad)
        elif set("{}") & set(path.replace("{environment}", "")):
            yield self._document.problem_at(("manifest",), "only {environment} can be filled into a manifest's path")

    def _releases(self) -> Iterator[Problem]:
        tag = self._document.data.get("releases", {}).get("tag", "model-{model}-v{version}")
        unknown = set(_PLACEHOLDER.findall(tag)) - {"model", "version", "release"}
        if unknown or set("{}") & set(_PLACEHOLDER.sub("", tag)):
            yield self._document.problem_at(
                ("releases", "tag"), "only {model}, {version} and {release} can be filled into a tag"
            )
        elif "{version}" not in tag and "{release}" not in tag:
            yield self._document.problem_at(("releases", "tag"), "needs {version} or {release}: each tag must differ")

    def _alias(self, i: int, row: Mapping[str, Any]) -> Iterator[Problem]:
        alias = row["registry"].get("alias")
        place = ("environments", i, "registry", "alias")
        if alias is None:
            return
        if alias.lower() == "latest" or re.fullmatch(r"v\d+", alias, re.IGNORECASE):
            yield self._document.problem_at(place, f"MLflow reserves the alias “{alias}”")
        elif not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", alias):
            yield self._document.problem_at(place, "an alias holds letters, digits, - and _ only")
        carrier = row["registry"].get("copy_to")
        earlier = [r["registry"] for r in self._rows[:i]]
        if alias in [registry.get("alias") for registry in earlier if registry.get("copy_to") == carrier]:
            yield self._document.problem_at(place, f"two environments use the alias “{alias}”")

    def _copy_to(self, i: int, row: Mapping[str, Any]) -> Iterator[Problem]:
        copy_to, place = row["registry"].get("copy_to"), ("environments", i, "registry", "copy_to")
        if copy_to is None:
            return
        around = copy_to.replace("{model}", "", 1)
        if "{model}" not in copy_to or not around or set("{}/:\n") & set(around):
            yield self._document.problem_at(place, "needs {model} once and something around it, without / : { }")
            return
        if copy_to in [r["registry"].get("copy_to") for r in self._rows[:i]]:
            yield self._document.problem_at(place, f"two environments copy to “{copy_to}”")
        models = self._document.data["models"]
        for owned in models:
            # A glob that names the copies of what another glob names matches that glob filled in, or its shortest name.
            for copy in {copy_to.replace("{model}", name) for name in (owned, owned.replace("*", ""))}:
                if pattern := next((p for p in models if fnmatchcase(copy, p)), None):
                    yield self._document.problem_at(
                        place,
                        f"“{copy}” would be a model of this pipeline too, by “{pattern}”: copies are not promoted",
                    )
                    return

    def _proposing(self, i: int, row: Mapping[str, Any]) -> Iterator[Problem]:
        propose = row.get("propose")
        if not isinstance(propose, dict) or "after" not in propose:
            return
        place = ("environments", i, "propose", "after")
        after = propose["after"]
        if after not in self._names:
            hint = nearest(after, self._names[:i])
            yield self._document.problem_at(place, f"there is no environment “{after}”{hint}")
        elif after not in self._names[:i]:
            yield self._document.problem_at(place, f"“{after}” does not come before “{row['name']}”")

    def _freezes(self, i: int, row: Mapping[str, Any]) -> Iterator[Problem]:
        for j, freeze in enumerate(row.get("freeze", ())):
            place = ("environments", i, "freeze", j)
            times = []
            for key in ("from", "until"):
                try:
                    times.append(_freeze_time(freeze[key]))
                except ValueError:
                    message = (
                        f"“{freeze[key]}” is neither a weekly time such as Fri 16:00 nor a date such as 2026-12-20"
                    )
                    yield self._document.problem_at((*place, key), message)
            if len(times) == 2:
                yield from self._freeze_order(place, times[0], times[1])
            try:
                ZoneInfo(freeze.get("timezone", "UTC"))
            except (KeyError, ValueError, OSError):
                yield self._document.problem_at(
                    (*place, "timezone"), f"“{freeze['timezone']}” is no time zone such as Europe/Berlin"
                )

    def _freeze_order(
        self, place: tuple[str | int, ...], start: WeekTime | datetime, end: WeekTime | datetime
    ) -> Iterator[Problem]:
        if isinstance(start, datetime) and isinstance(end, datetime):
            if end <= start:
                yield self._document.problem_at((*place, "until"), "ends before it starts")
        elif type(start) is not type(end):
            yield self._document.problem_at(place, "from and until must both be weekly or both be dates")
        elif start == end:
            yield self._document.problem_at((*place, "until"), "ends when it starts: the freeze would be empty")


def _fires(cron: str) -> bool:
    """Whether a text is a cron expression of five fields, or a name such as @weekly, that fires at all."""
    if len(cron.split()) not in (1, 5) or _RANDOM.search(cron) or not croniter.is_valid(cron):
        return False
    try:
        schedule = croniter(cron, _SOME_DAY)
        schedule.get_prev(datetime)
        schedule.get_prev(datetime)
        schedule.get_next(datetime)
    except CroniterError:
        return False
    return True


def _bad_path(path: str) -> str | None:
    parts = path.split("/")
    if not path.isprintable() or "\\" in path or any(part in ("", ".", "..") for part in parts):
        return f"“{path}” is not a path inside the repository"
    return None
