"""Which versions a second store has to hold, and how it went with each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any, Final

from bot.domain.errors import Misconfigured, Refused, Unreachable
from bot.domain.manifest import Entry, Manifest
from bot.domain.versions import RegisteredModel
from bot.gateways.artifacts.copies import Copied, Copies, Original
from bot.gateways.artifacts.store import StoredFile
from bot.wiring import Gateways
from policies.documents import InvalidDocument
from workers.reading import registered, version_of
from workers.repository_view import RepositoryView


class Span(Enum):
    """What counts as promoted: what the manifest names now, or whatever it ever named."""

    NOW = "now"
    EVER = "ever"


class Outcome(Enum):
    """How a version's copy is now."""

    THERE = "there"
    COPIED = "copied"
    MENDED = "mended"
    REFUSED = "refused"
    MISCONFIGURED = "misconfigured"
    UNREACHABLE = "unreachable"


NOTHING: Final = Copied()


@dataclass(frozen=True, slots=True)
class Promoted:
    """A version at one digest, and the environments that name or named it."""

    model: str
    entry: Entry
    environments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one version; `problem` says why it could not be copied."""

    promoted: Promoted
    outcome: Outcome
    copied: Copied = NOTHING
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "model": self.promoted.model,
            "version": self.promoted.entry.version,
            "digest": self.promoted.entry.digest,
            "environments": list(self.promoted.environments),
            "outcome": self.outcome.value,
            "files": self.copied.files,
            "bytes": self.copied.bytes,
            "mended": self.copied.mended,
            "problem": self.problem or None,
        }


def promoted(view: RepositoryView, environments: Collection[str], span: Span) -> tuple[Promoted, ...]:
    """The versions that a repository's default branch names; in every environment where none is given."""
    found: dict[tuple[str, int, str], Promoted] = {}
    for manifest in _manifests(view, span):
        for (model, environment), entry in sorted(manifest.entries.items()):
            if environments and environment not in environments:
                continue
            key = (model, entry.version, entry.digest)
            before = found.get(key, Promoted(model, entry, ()))
            if environment not in before.environments:
                found[key] = replace(before, environments=(*before.environments, environment))
    return tuple(found[key] for key in sorted(found))


def copy_each(gateways: Gateways, versions: Collection[Promoted], copies: Copies) -> Iterator[Result]:
    """Copy one version after the other; what is wrong with one is told of that one, and the next is copied."""
    models: dict[str, RegisteredModel] = {}
    for each in versions:
        original = Original(each.model, each.entry.version, each.entry.digest, partial(_files, gateways, models, each))
        try:
            copied = copies.bring(original)
        except Refused as error:
            yield Result(each, Outcome.REFUSED, problem=str(error))
        except Misconfigured as error:  # versions may lie in several stores, with a right missing in one of them
            yield Result(each, Outcome.MISCONFIGURED, problem=str(error))
        except Unreachable as error:
            yield Result(each, Outcome.UNREACHABLE, problem=str(error))
        else:
            yield Result(each, _outcome(copied), copied)


def _outcome(copied: Copied) -> Outcome:
    if copied.mended:
        return Outcome.MENDED
    return Outcome.COPIED if copied.files else Outcome.THERE


def _manifests(view: RepositoryView, span: Span) -> Iterator[Manifest]:
    """The manifest as it is, and as it was at each commit of the default branch where it could be read."""
    yield view.manifest
    if span is Span.EVER:
        for commit in view.repository.git.first_parents(view.head):
            try:
                yield view.files.manifest(commit.sha, view.pipeline.pipeline)
            except InvalidDocument:
                continue


def _files(gateways: Gateways, models: dict[str, RegisteredModel], each: Promoted) -> Sequence[StoredFile]:
    """The files of a version where MLflow keeps them; `models` are those that were asked for already."""
    if each.model not in models:
        models[each.model] = registered(gateways, each.model)
    return gateways.artifacts.files(version_of(models[each.model], each.entry.version))
