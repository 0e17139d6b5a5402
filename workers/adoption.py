"""Beginning with what is live: the first pull request of a deploy repository, under the caller's own token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files as packaged

import yaml

from bot.comments import adoption as text
from bot.domain.adoption import Start, Stated, state
from bot.domain.errors import Refused
from bot.domain.manifest import Entry
from bot.domain.manifest_editing import manifest_of
from bot.domain.pipeline import DEFAULT_MANIFEST, parse_pipeline
from bot.domain.pull_requests import PullRequest
from bot.domain.releases import release_of
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.gateways.github.client import GitHubRefusal
from bot.wiring import Gateways
from policies.documents import InvalidDocument
from policies.policy import parse_policy
from workers.deploy_files import PIPELINE_PATH


@dataclass(frozen=True, slots=True)
class Adoption:
    """What the first pull request says: the files by path, and what they state of the registry."""

    start: Start
    files: Mapping[str, str]
    entries: Mapping[tuple[str, str], Entry]
    stated: Stated


def prepare(
    gateways: Gateways, start: Start, models: tuple[RegisteredModel, ...], tell: Callable[[str, int], None]
) -> Adoption:
    """The files that state what is live of `models`; `tell` hears of each version before its files are digested.

    Raises Refused where the answers make no pipeline.
    """
    rules = _rules(start)
    known = {model.name: model for model in models}
    digests, unreadable = _digests(gateways, known, state(models, start.targets), tell)
    stated = state(models, start.targets, unreadable)
    entries = dict(_with_releases(gateways, known, stated, digests))
    return Adoption(start, {**rules, DEFAULT_MANIFEST: manifest_of(entries, tuple(start.targets))}, entries, stated)


def _rules(start: Start) -> dict[str, str]:
    """The pipeline and its policies, read once as the bot will read them."""
    files = {
        PIPELINE_PATH: text.pipeline(start),
        **{f"policies/{name}.yaml": text.policy(name, start.policy) for name in start.targets},
        **dict(_library(start.policy)),
    }
    try:
        for environment in parse_pipeline(files[PIPELINE_PATH], PIPELINE_PATH).environments:
            path = environment.policy
            parse_policy(files[path], path, lambda named: files[named].encode() if named in files else None)
    except InvalidDocument as invalid:
        raise Refused(f"these answers make no pipeline: {invalid}") from invalid
    return files


def _digests(
    gateways: Gateways, known: Mapping[str, RegisteredModel], stated: Stated, tell: Callable[[str, int], None]
) -> tuple[dict[tuple[str, int], str], dict[tuple[str, int], str]]:
    """The digest of every version that is live somewhere, and why others have none."""
    digests: dict[tuple[str, int], str] = {}
    unreadable: dict[tuple[str, int], str] = {}
    for name, number in sorted({(model, number) for (model, _), number in stated.versions.items()}):
        tell(name, number)
        try:
            digests[name, number] = gateways.artifacts.digest(_version(known, name, number)).digest
        except Refused as refusal:
            unreadable[name, number] = str(refusal)
    return digests, unreadable


def _with_releases(
    gateways: Gateways, known: Mapping[str, RegisteredModel], stated: Stated, digests: Mapping[tuple[str, int], str]
) -> Iterator[tuple[tuple[str, str], Entry]]:
    """The entries; a model's older versions get the lower releases."""
    given: dict[str, list[Entry]] = {}
    in_order = sorted(stated.versions.items(), key=lambda item: (item[0][0], item[1]))
    for (name, environment), number in in_order:

        def signature_of(number: int, name: str = name) -> Mapping[str, object] | None:
            return gateways.registry.model_file(_version(known, name, number)).signature

        earlier = given.setdefault(name, [])
        release = release_of(known[name], number, earlier, signature_of)
        entry = Entry(number, digests[name, number], release)
        earlier.append(entry)
        yield (name, environment), entry


def _version(known: Mapping[str, RegisteredModel], name: str, number: int) -> ModelVersion:
    version = known[name].version(number)
    if version is None:
        raise Refused(f"version {number} of “{name}” is not in the registry")
    return version


def _library(name: str) -> Iterator[tuple[str, str]]:
    """A policy of the library and those that it extends, at the paths where they name each other."""
    source = packaged("policies").joinpath("library", f"{name}.yaml").read_text(encoding="utf-8")
    yield f"{text.LIBRARY}/{name}.yaml", source
    for path in yaml.safe_load(source).get("extends", ()):
        yield from _library(path.rpartition("/")[2].removesuffix(".yaml"))


def expect_new(gateways: Gateways, name: str) -> str:
    """The head of a repository that has no pipeline and no manifest; raises Refused for any other."""
    git = gateways.github(name).git
    try:
        head = git.head()
    except GitHubRefusal as refusal:
        if refusal.status not in (404, 409):
            raise
        raise Refused(
            f"{name} has no default branch that your token may read: does it exist, and has it a first commit?"
        ) from refusal
    for path in (PIPELINE_PATH, DEFAULT_MANIFEST):
        if git.object_id(head, path) is not None:
            raise Refused(f"{name} has a {path} already; the bot adopts what its first manifest states")
    return head


def open_pull_request(gateways: Gateways, name: str, head: str, adoption: Adoption) -> PullRequest:
    """Open the pull request with the adoption's files on top of `head`; what stands of an earlier try is renewed.

    Raises Refused where one of the files is there already: somebody wrote it, and it is not said what for.
    """
    repository = gateways.github(name)
    if there := [path for path in sorted(adoption.files) if repository.git.object_id(head, path) is not None]:
        raise Refused(
            f"{name} has {', '.join(there)} already, which would be written over: move it to another place first"
        )
    commit = repository.git.create_commit(head, adoption.files, f"{text.TITLE}\n\nStates what is live today.\n")
    repository.git.point_branch(text.BRANCH, commit.sha)
    said = text.body(adoption.start, adoption.entries, adoption.stated.left_out)
    pull = repository.pulls.open(text.BRANCH, text.TITLE, said)
    if pull.body != said:
        repository.pulls.update_body(pull.number, said)
    return pull
