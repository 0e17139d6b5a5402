"""Where a version comes from, drawn: the list of its origin, and the picture in a proposal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bot.comments.markdown import in_diagram, inert
from bot.domain.lineage import Origin, Training, origin_of
from policies.evidence import VersionEvidence

_HASH: Final = 12  # characters of a hash or id that people compare
_MOST_ENVIRONMENTS: Final = 12


def listed(subject: VersionEvidence) -> Iterator[str]:
    """Where a version comes from, in a few lines: its run, its code, its data."""
    origin = origin_of(subject)
    yield "#### Lineage\n"
    if origin.training is not None:
        yield f"- Run: {inert(origin.training.run_id)}"
        yield f"- Trained by: {inert(origin.training.trained_by)}"
    else:
        yield "- Run: none is recorded"
    commit, data = origin.code.get("git_commit"), origin.data.get("data_version")
    yield f"- Git commit: {inert(commit) if commit else 'not recorded'}"
    yield f"- Data version: {inert(data) if data else 'not recorded'}"
    yield f"- Registered: {subject.created_at:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class _Box:
    """One box of the picture: its lines, each harmless in the quotes of a label."""

    id: str
    lines: Sequence[str]

    def __str__(self) -> str:
        return f'  {self.id}["{"<br/>".join(self.lines)}"]'


def picture(subject: VersionEvidence, environment: str, live_in: Sequence[str]) -> Iterator[str]:
    """Data and code → run → version → pull request → environment, as Mermaid; nothing where none is recorded.

    `live_in` are the environments in which the version is live already. Every word of it is foreign and escaped, and
    no label is long.
    """
    origin = origin_of(subject)
    sources = [box for box in (_data(origin), _code(origin), _parent(origin.training)) if box is not None]
    run = _run(origin.training)
    if not sources and run is None:
        return
    version = _Box("version", (in_diagram(subject.name), f"v{subject.version}"))
    made = run or version
    boxes = [*sources, *([run] if run else ()), version, _Box("pull", ("this pull request",))]
    arrows = [f"  {box.id} {'-.->' if box.id == 'parent' else '-->'} {made.id}" for box in sources]
    arrows += [f"  {run.id} --> {version.id}"] if run else []
    boxes.append(_Box("goal", (in_diagram(environment),)))
    arrows += [f"  {version.id} --> pull", "  pull --> goal"]
    for position, name in enumerate(live_in[:_MOST_ENVIRONMENTS]):
        boxes.append(_Box(f"live{position}", (in_diagram(name), "live")))
        arrows.append(f"  {version.id} --> live{position}")
    yield "\n".join(["```mermaid", "flowchart LR", *map(str, boxes), *arrows, "```"])


def _data(origin: Origin) -> _Box | None:
    said = [origin.data[name] for name in ("data_version", "data_path") if name in origin.data]
    digest = [origin.data["data_hash"].removeprefix("md5:")[:_HASH]] if "data_hash" in origin.data else []
    return _Box("data", ("data", *map(in_diagram, (*said, *digest)))) if said or digest else None


def _code(origin: Origin) -> _Box | None:
    commit = origin.code.get("git_commit")
    if commit is None:
        return None
    where = [origin.code[name] for name in ("git_repository", "git_branch") if name in origin.code]
    dirty = ["with changes that are in no commit"] if origin.code.get("git_dirty") == "true" else []
    return _Box("code", ("code", *map(in_diagram, (*where, commit[:_HASH], *dirty))))


def _parent(training: Training | None) -> _Box | None:
    if training is None or not training.parent:
        return None
    return _Box("parent", ("parent run", in_diagram(training.parent[:_HASH])))


def _run(training: Training | None) -> _Box | None:
    if training is None:
        return None
    by = [f"by {training.trained_by}"] if training.trained_by else []
    return _Box("run", ("run", *map(in_diagram, (training.run_id[:_HASH], *by))))
