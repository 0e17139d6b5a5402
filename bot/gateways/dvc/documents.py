"""What DVC writes into a repository: `.dvc` files, `dvc.lock`, `.dvc/config`. Hostile until they are parsed.

Formats: https://dvc.org/doc/user-guide/project-structure
"""

from __future__ import annotations

import configparser
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from bot.domain.errors import Refused
from policies.documents import InvalidDocument, Limit, compose

LARGEST_FILE: Final = 1024 * 1024
LARGEST_CONFIG: Final = 64 * 1024
_LIMIT: Final = Limit(LARGEST_FILE, 50_000)
_MOST_NAMED: Final = 5

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?", re.ASCII)
_REMOTE_SECTION = re.compile(r"""'?remote "(?P<name>.+)"'?""")
_TRUE: Final = frozenset({"true", "yes", "on", "1"})


@dataclass(frozen=True, slots=True)
class Output:
    """One output that DVC tracks. `path` is its own in the repository, `root` where a remote keeps its objects.

    `md5` ends with `.dir` for a directory, whose object is its listing. `remote` is set where the output has one of
    its own.
    """

    path: str
    md5: str
    root: str = ""
    remote: str | None = None

    @property
    def place(self) -> str:
        """Its object's path below a remote's root."""
        return self.place_of(self.md5)

    @property
    def is_directory(self) -> bool:
        """Whether its object is the listing of others."""
        return self.md5.endswith(".dir")

    def place_of(self, md5: str) -> str:
        """The path of an object that belongs to it."""
        return f"{self.root}{md5[:2]}/{md5[2:]}"


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """One remote of DVC's as the repository describes it; `options` hold everything but its address."""

    name: str
    url: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """A `.dvc/config`: its remotes by name, and which is the default."""

    default: str | None
    remotes: Mapping[str, RemoteConfig]

    def remote(self, name: str | None) -> RemoteConfig:
        """The remote of that name, or the default one. Raises Refused where there is none."""
        wanted = name or self.default
        if wanted is None:
            raise Refused(".dvc/config names no default remote (`dvc remote default NAME`)")
        if wanted not in self.remotes:
            known = ", ".join(sorted(self.remotes)[:_MOST_NAMED]) or "none"
            raise Refused(f".dvc/config has no remote “{wanted[:100]}”; it has {known}")
        return self.remotes[wanted]


def output_in(content: bytes, file: str, wanted: str | None) -> Output:
    """The output of a `.dvc` file or a `dvc.lock` that is `wanted`, or its only one. Raises Refused."""
    rows = dict(_outputs(_read(content, file), file))
    if wanted is None and len(rows) != 1:
        some = ", ".join(sorted(rows)[:_MOST_NAMED])
        raise Refused(f"{file} has {len(rows)} outputs ({some or 'none'}): the check's `path` says which is meant")
    path = next(iter(rows)) if wanted is None else wanted
    if path not in rows:
        raise Refused(f"{file} has no output {path}; it has {', '.join(sorted(rows)[:_MOST_NAMED]) or 'none'}")
    return _output(path, rows[path], file)


def _read(content: bytes, file: str) -> Mapping[str, Any]:
    try:
        document = _plain(compose(content, file, _LIMIT))
    except InvalidDocument as invalid:
        raise Refused(f"{file} cannot be read: {invalid.problems[0]}") from invalid
    if not isinstance(document, dict):
        raise Refused(f"{file} is no file of DVC's: a mapping was expected")
    return document


def _plain(node: yaml.Node) -> Any:  # noqa: ANN401 - nested mappings, lists and texts
    """A node's value, in which every scalar is the text that stands there: a hash of digits is no number."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child) for child in node.value]
    return str(node.value)


def _outputs(document: Mapping[str, Any], file: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every output by its path in the repository."""
    folder = posixpath.dirname(file)
    if posixpath.basename(file) == "dvc.lock":
        for stage in _values(document.get("stages")):
            for row in _rows(stage):
                yield _joined(folder, row["path"]), row
        return
    workdir = document.get("wdir", "")
    for row in _rows(document):
        yield _joined(folder, workdir if isinstance(workdir, str) else "", row["path"]), row


def _values(stages: object) -> Sequence[object]:
    return list(stages.values()) if isinstance(stages, dict) else ()


def _rows(holder: object) -> Iterator[Mapping[str, Any]]:
    """The `outs` of a stage or a file; what is none is left out."""
    outs = holder.get("outs") if isinstance(holder, dict) else None
    for row in outs if isinstance(outs, list) else ():
        if isinstance(row, dict) and isinstance(row.get("path"), str):
            yield row


def _joined(*parts: str) -> str:
    return posixpath.normpath(posixpath.join(*parts))


def _output(path: str, row: Mapping[str, Any], file: str) -> Output:
    md5, remote = row.get("md5"), row.get("remote")
    if path.startswith(("/", "../")) or path == "..":
        raise Refused(f"{file} tracks {path[:100]}, which is outside of the repository")
    if not isinstance(md5, str) or not _MD5.fullmatch(md5):
        raise Refused(f"{file} has no MD5 for {path}: only what DVC keeps by its content can be checked")
    for option in ("cache", "push"):
        if str(row.get(option, "true")).lower() not in _TRUE:
            raise Refused(f"{file} says `{option}: false` for {path}: no remote ever gets it")
    # DVC 3 says which hash it is and keeps it below files/; a file of DVC 2 says nothing, and has its objects at the
    # root (https://dvc.org/doc/user-guide/upgrade).
    root = "files/md5/" if row.get("hash") == "md5" else ""
    return Output(path, md5, root, remote if isinstance(remote, str) and remote else None)


def parse_config(content: bytes) -> Config:
    """A `.dvc/config` (https://dvc.org/doc/user-guide/project-structure/configuration). Raises Refused."""
    parser = configparser.RawConfigParser(default_section="", inline_comment_prefixes=("#",), interpolation=None)
    try:
        # DVC indents options, which would make each a continuation of the one before.
        parser.read_string("\n".join(line.strip() for line in content.decode("utf-8-sig").splitlines()))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise Refused(f".dvc/config cannot be read: {str(error).splitlines()[0][:200]}") from error
    remotes = {}
    for section in parser.sections():
        found = _REMOTE_SECTION.fullmatch(section)
        if found is not None:
            options = {name: _unquoted(value) for name, value in parser.items(section)}
            name = found["name"]
            remotes[name] = RemoteConfig(name, options.pop("url", ""), options)
    default = _unquoted(parser.get("core", "remote", fallback=""))
    return Config(default or None, remotes)


def _unquoted(value: str | None) -> str:
    text = (value or "").strip()
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"" else text


def keeps_versions(remote: RemoteConfig) -> bool:
    """Whether the remote keeps files under their own names, by the cloud's versions, instead of by their content."""
    return any(remote.options.get(option, "").lower() in _TRUE for option in ("version_aware", "worktree"))
