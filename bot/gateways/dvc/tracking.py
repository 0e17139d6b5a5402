"""What DVC tracks at a commit of a training repository, and whether its remote has it."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Iterator
from typing import Final

from bot.domain.errors import Misconfigured, Refused, Unreachable
from bot.gateways.dvc.access import Access
from bot.gateways.dvc.directories import stored_directory
from bot.gateways.dvc.documents import (
    LARGEST_CONFIG,
    LARGEST_FILE,
    Config,
    Output,
    RemoteConfig,
    output_in,
    parse_config,
)
from bot.gateways.dvc.remotes import Remote, open_remote
from bot.gateways.github.git import Git
from policies.evidence import StoredDirectory, Tracked, TrackedOutput, Unreadable

# A directory that was whole is not looked through again for so long, by the same process.
_WHOLE_FOR: Final = 60  # seconds
_MOST_WHOLE: Final = 256


class Dvc:
    """Reads DVC's files through GitHub and looks into the remotes that `access` and the environment allow."""

    def __init__(self, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._clock = clock
        self._whole: dict[tuple[str, tuple[tuple[str, str], ...], str], tuple[float, StoredDirectory]] = {}

    def tracked(self, git: Git, wanted: Tracked, commit: str, version: str) -> TrackedOutput:
        """What `wanted` is at `commit`, an id; `version` is what people call the data's version.

        Raises Refused where it is not there, Misconfigured where the bot may not read the repository, and Unreachable
        where GitHub does not answer. A remote that cannot be asked is part of what is found.
        """
        found = git.find(commit)
        if found is None:
            raise Refused(f"{commit[:12]} is not in {wanted.repository}")
        output = _output_at(git, wanted, found.sha)
        if output is None:
            raise Refused(f"there is no {wanted.file} in {wanted.repository} at {found.sha[:12]}")
        config = _config_for(git, wanted, found.sha).remote(wanted.remote or output.remote)
        remote, stored = self._stored(config, output)
        return TrackedOutput(
            commit=found.sha,
            path=output.path,
            hash=f"md5:{output.md5}",
            hash_at_version=_hash_at(git, wanted, version),
            remote=remote,
            stored=stored,
        )

    def _stored(self, config: RemoteConfig, output: Output) -> tuple[str, bool | StoredDirectory | Unreadable]:
        """Where the object should be, and whether it is."""
        try:
            remote = open_remote(config, self._access)
            if not output.is_directory:
                return remote.name, remote.has(output.place)
            return remote.name, self._directory(config, remote, output)
        except (Misconfigured, Unreachable) as error:
            return f"the remote “{config.name}”", Unreadable(str(error))

    def _directory(self, config: RemoteConfig, remote: Remote, output: Output) -> bool | StoredDirectory | Unreadable:
        """Looked for once for all versions that one piece of work judges: many were trained on the same directory."""
        # An account is one of the options, and in no name.
        place = (config.url, tuple(sorted(config.options.items())), output.place)
        known = self._whole.get(place)
        if known is not None and self._clock() - known[0] < _WHOLE_FOR:
            return known[1]
        found = stored_directory(remote, output)
        if isinstance(found, StoredDirectory) and found.missing is None:
            if len(self._whole) >= _MOST_WHOLE:
                self._whole.clear()
            self._whole[place] = (self._clock(), found)
        return found


def _output_at(git: Git, wanted: Tracked, commit: str) -> Output | None:
    blob = git.file(commit, wanted.file, LARGEST_FILE)
    return None if blob is None else output_in(blob.content, wanted.file, wanted.output)


def _hash_at(git: Git, wanted: Tracked, version: str) -> str | None:
    """The hash as of the git tag that `version` names; None where none does, or the tag's commit has no such output."""
    commit = git.tagged(version)
    if commit is None:
        return None
    try:
        output = _output_at(git, wanted, commit.sha)
    except Refused:
        return None
    return None if output is None else f"md5:{output.md5}"


def _config_for(git: Git, wanted: Tracked, commit: str) -> Config:
    """The configuration of the DVC project that the file belongs to: the nearest `.dvc` folder above it."""
    for folder in _folders_above(wanted.file):
        blob = git.file(commit, posixpath.join(folder, ".dvc/config"), LARGEST_CONFIG)
        if blob is not None:
            return parse_config(blob.content)
    raise Refused(f"there is no .dvc/config above {wanted.file} in {wanted.repository} at {commit[:12]}")


def _folders_above(file: str) -> Iterator[str]:
    folder = posixpath.dirname(file)
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
    yield ""
