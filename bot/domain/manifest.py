"""The versions manifest: what should be live where, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.domain.pipeline import Pipeline
from policies.documents import InvalidDocument, Problem, load, nearest


@dataclass(frozen=True, slots=True)
class Entry:
    """One version that should be live; `release` is empty where a person left it out."""

    version: int
    digest: str
    release: str = ""

    def names_the_files_of(self, other: Entry | None) -> bool:
        """Whether both name the same files: a version is known by number and digest."""
        return other is not None and (self.version, self.digest) == (other.version, other.digest)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every entry by (model, environment)."""

    entries: Mapping[tuple[str, str], Entry] = field(default_factory=dict)

    def entry(self, model: str, environment: str) -> Entry | None:
        """The entry of one model in one environment."""
        return self.entries.get((model, environment))

    def of_model(self, model: str) -> Mapping[str, Entry]:
        """The entries of one model by environment."""
        return {environment: entry for (name, environment), entry in self.entries.items() if name == model}


def parse_manifest(text: str | bytes, source: str) -> Manifest:
    """The manifest that `text` is; raises InvalidDocument with all that is wrong in it."""
    data = load(text, source, "manifest").data
    return Manifest(
        {
            (model, environment): _entry(row)
            for model, rows in (data["models"] or {}).items()
            for environment, row in rows.items()
        }
    )


def parse_manifests(texts: Mapping[str, str | bytes], pipeline: Pipeline) -> Manifest:
    """The pipeline's manifest files as one manifest; raises InvalidDocument with the problems of all of them."""
    entries: dict[tuple[str, str], Entry] = {}
    problems: list[Problem] = []
    for path, text in texts.items():
        belonging = [e.name for e in pipeline.environments if pipeline.manifest_path(e.name) == path]
        try:
            document = load(text, path, "manifest")
        except InvalidDocument as invalid:
            problems += invalid.problems
            continue
        for model, rows in (document.data["models"] or {}).items():
            for environment, row in rows.items():
                if environment not in belonging:
                    message = f"this file has no environment “{environment}”{nearest(environment, belonging)}"
                    problems.append(document.problem_at(("models", model, environment), message))
                entries[model, environment] = _entry(row)
    if problems:
        raise InvalidDocument(problems)
    return Manifest(entries)


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(row["version"], row["digest"], row.get("release", ""))
