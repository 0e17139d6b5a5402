"""Record where a model comes from as tags of its MLflow run: code, data, parent, who, when, with what.

Copy this file beside your training code. It needs MLflow, and git where there is a repository; it reads what DVC
wrote, without DVC.

    with mlflow.start_run():
        record_lineage(data="data/dataset.csv", model_type="random_forest", framework="scikit-learn", random_seed=7)
        with training_time():
            model.fit(features, labels)

Nothing here ends a training: what cannot be found is left out, and a warning says what is missing and why.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import logging
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
import yaml

# Which of the tags a registration copies to the model version.
COPIED_TO_THE_VERSION = (
    *("git_commit", "git_branch", "git_dirty", "git_repository"),
    *("data_version", "data_hash", "data_path", "model_hash", "model_path"),
)

_log = logging.getLogger("promotion_bot_lineage")
_GIT_LIMIT = 60.0  # seconds
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_WITH_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?(?P<host>[^/:]{2,}):(?P<path>[^/].*)")


class Unknown(Exception):
    """A part of the lineage that cannot be found, with the reason."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """What DVC tracks: its place, the md5 that DVC wrote down, and the file that it wrote it to."""

    place: Path
    md5: str
    pointer: Path
    measurable: bool  # DVC 2 normalised the line ends of text before it took the md5


def record_lineage(
    *,
    data: str | os.PathLike[str] | None = None,
    model_type: str | None = None,
    framework: str | None = None,
    random_seed: int | None = None,
    parent_run_id: str | None = None,
    data_tags: str = "data-*",
    generated: Collection[str] = (),
) -> dict[str, str]:
    """Set the lineage tags on the active run, and return them.

    data: the file or directory that the training reads; DVC tracks it, or a directory around it.
    framework: the name of its package, for example `scikit-learn`.
    data_tags: which git tags name versions of the data.
    generated: paths from the repository's top that the pipeline itself writes, such as `dvc.lock`: a change there does
        not make the working tree dirty.
    """
    parts: list[Callable[[], Mapping[str, str]]] = [
        _about_now,
        _about_the_person,
        lambda: _code(generated),
        _branch,
        _remote,
    ]
    if data is not None:
        parts.append(lambda: _about_data(Path(data), data_tags))
    if framework is not None:
        parts.append(lambda: _about_framework(framework))
    given = {"model_type": model_type, "random_seed": random_seed, "mlflow.parentRunId": parent_run_id}
    tags = {name: str(value) for name, value in given.items() if value is not None}
    for part in parts:
        tags |= _found(part)
    _write(tags)
    return tags


def record_model(path: str | os.PathLike[str]) -> dict[str, str]:
    """Set the tags of a model file or directory that DVC tracks, or will when the stage ends; after it is written."""

    def about_the_model() -> dict[str, str]:
        place, root = _located(Path(path)), _root()
        if not place.exists():
            raise Unknown(f"{path} is not there")
        return {"model_path": _relative(place, root), "model_hash": f"md5:{_measured(place, root)}"}

    tags = dict(_found(about_the_model))
    _write(tags)
    return tags


@contextmanager
def training_time() -> Iterator[None]:
    """Set `training_duration_seconds` to the time that passes inside; not where the training fails."""
    started = time.monotonic()
    yield
    _write({"training_duration_seconds": f"{time.monotonic() - started:.3f}"})


def _found(part: Callable[[], Mapping[str, str]]) -> Mapping[str, str]:
    try:
        return part()
    except Unknown as unknown:
        _log.warning("lineage is incomplete: %s", unknown)
    except Exception:  # hours of training are worth more than a tag
        _log.warning("lineage is incomplete", exc_info=True)
    return {}


def _write(tags: Mapping[str, str]) -> None:
    if not tags:
        return
    run = mlflow.active_run()
    if run is None:
        _log.warning("lineage is not recorded: no MLflow run is active; call this inside `mlflow.start_run()`")
        return
    try:
        mlflow.set_tags(dict(tags))
    except Exception:  # as above
        _log.warning("lineage is not recorded: MLflow did not take the tags", exc_info=True)


# --- the person and the machine ---------------------------------------------------------------------------------------


def _about_now() -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"training_date": now, "python_version": platform.python_version()}


def _about_the_person() -> dict[str, str]:
    """GitHub's login in a workflow, else the name on this machine."""
    try:
        return {"trained_by": os.environ.get("GITHUB_ACTOR") or getpass.getuser()}
    except (OSError, KeyError, ImportError) as error:
        raise Unknown("trained_by: the user of this process has no name; set LOGNAME") from error


def _about_framework(name: str) -> dict[str, str]:
    try:
        return {"framework": name, "framework_version": version(name)}
    except PackageNotFoundError:
        _log.warning("lineage is incomplete: framework_version: no package is called “%s”", name)
        return {"framework": name}


# --- git --------------------------------------------------------------------------------------------------------------


def _git(*arguments: str, given: str = "") -> str:
    try:
        done = subprocess.run(
            ["git", *arguments],
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_LIMIT,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError as error:
        raise Unknown("the program git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Unknown(f"`git {arguments[0]}` did not end within {_GIT_LIMIT:g} seconds") from error
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0]
        raise Unknown(said or f"`git {arguments[0]}` ended with {done.returncode}")
    return done.stdout.rstrip("\n")


def _top() -> Path:
    return Path(_git("rev-parse", "--show-toplevel")).resolve()


def _root() -> Path:
    """The repository's, from which paths are told; this directory where there is no repository."""
    try:
        return _top()
    except Unknown:
        return Path.cwd().resolve()


def _code(generated: Collection[str]) -> dict[str, str]:
    """The commit, and whether the working tree differs from it: in a file that git knows, or one that it should."""
    try:
        commit = _git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except Unknown as unknown:
        why = "there is no commit yet" if "ended with" in str(unknown) else str(unknown)
        raise Unknown(f"git_commit, git_dirty: {why}") from unknown
    places = [":(top)", *(f":(top,exclude){path}" for path in generated)]
    changed = _git("status", "--porcelain", "--untracked-files=normal", "--", *places)
    return {"git_commit": commit, "git_dirty": "true" if changed else "false"}


def _branch() -> dict[str, str]:
    try:
        return {"git_branch": _git("symbolic-ref", "--quiet", "--short", "HEAD")}
    except Unknown as unknown:
        why = "HEAD is detached, on no branch" if "ended with" in str(unknown) else str(unknown)
        raise Unknown(f"git_branch: {why}") from unknown


def _remote() -> dict[str, str]:
    try:
        names = _git("remote").split()
        if not names:
            raise Unknown("the repository has no remote")
        shown = repository_of(_git("remote", "get-url", "origin" if "origin" in names else names[0]))
        if "@" in shown:
            raise Unknown("the remote's URL has an @ where none belongs: a password may be before it")
        return {"git_repository": shown}
    except Unknown as unknown:
        raise Unknown(f"git_repository: {unknown}") from unknown


def repository_of(url: str) -> str:
    """`owner/name` where a remote's URL says that much, else the URL without user, password, query and fragment."""
    if _WITH_SCHEME.match(url):
        try:
            parts = urlsplit(url)
            host, path = parts.hostname or "", parts.path
            port = f":{parts.port}" if parts.port else ""
        except ValueError as error:
            raise Unknown("the remote's URL is none") from error  # it may hold a password: it is not shown
        bare = f"{parts.scheme}://{host}{port}{path}"
    elif scp := _SCP_LIKE.fullmatch(url):
        host, path = scp["host"], scp["path"]
        bare = f"{host}:{path}"
    else:
        return url
    names = path.strip("/").removesuffix(".git").split("/")
    return "/".join(names) if host and len(names) == 2 and all(names) else bare


# --- DVC --------------------------------------------------------------------------------------------------------------


def _about_data(data: Path, data_tags: str) -> dict[str, str]:
    try:
        place, root = _located(data), _root()
        tracked = find_tracked(place, root)
        md5 = _read_by_training(tracked, root)
        named = _name_of(tracked, root, data_tags) if md5 == tracked.md5 else None
        return {
            "data_path": _relative(tracked.place, root),
            "data_hash": f"md5:{md5}",
            "data_version": named or md5[:12],
        }
    except Unknown as unknown:
        raise Unknown(f"data_version, data_hash: {unknown}") from unknown


def _located(path: Path) -> Path:
    """The absolute place without following a link at its end: DVC may link a file to its cache."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would follow the link
    return absolute.parent.resolve() / absolute.name


def _relative(place: Path, root: Path) -> str:
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)


def find_tracked(place: Path, root: Path) -> Tracked:
    """What DVC knows of a path, or of the nearest directory around it, below `root`; Unknown where it knows nothing."""
    if not place.is_relative_to(root):
        raise Unknown(f"{place} is outside of the repository {root}")
    for candidate in (place, *place.parents):
        if candidate == root:
            break
        beside = candidate.with_name(f"{candidate.name}.dvc")
        for pointer in (beside, *(folder / "dvc.lock" for folder in candidate.parents if folder.is_relative_to(root))):
            if not pointer.is_file():
                continue
            entry = _entry(pointer.read_text(errors="replace"), pointer, candidate)
            if entry is not None:
                return Tracked(candidate, _md5_of(entry, pointer), pointer, entry.get("hash") == "md5")
    raise Unknown(f"DVC does not track {_relative(place, root)}: `dvc add` it, or make it the output of a stage")


def _entry(text: str, pointer: Path, place: Path) -> Mapping[str, Any] | None:
    """The output `place` in a .dvc file or a dvc.lock; None where it is not in there."""
    try:
        document = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - it makes texts of everything: an md5 may look like a number
    except yaml.YAMLError as error:
        raise Unknown(f"{pointer.name} is no YAML; does it hold a merge conflict?") from error
    if not isinstance(document, dict):
        return None
    stages = document.get("stages")
    holders = list(stages.values()) if isinstance(stages, dict) else [document]
    for holder in holders:
        outputs = holder.get("outs") if isinstance(holder, dict) else None
        for output in outputs if isinstance(outputs, list) else ():
            if isinstance(output, dict) and _is_at(pointer.parent, output.get("path"), place):
                return output
    return None


def _is_at(folder: Path, path: object, place: Path) -> bool:
    return isinstance(path, str) and Path(os.path.normpath(folder / path)) == place


def _md5_of(entry: Mapping[str, Any], pointer: Path) -> str:
    md5 = entry.get("md5")
    if not isinstance(md5, str) or not _MD5.fullmatch(md5):
        raise Unknown(f"{pointer.name} holds no md5 of {entry.get('path')}: run `dvc commit`")
    return md5


def _read_by_training(tracked: Tracked, root: Path) -> str:
    """The md5 of the bytes that are there, which are what the training reads; what DVC says where that is unknown."""
    if not tracked.measurable or not tracked.place.exists():
        return tracked.md5
    md5 = _measured(tracked.place, root)
    if md5 != tracked.md5:
        _log.warning(
            "%s is not what %s says it is: its own hash is recorded. Run `dvc checkout`, or `dvc add` and commit",
            _relative(tracked.place, root),
            tracked.pointer.name,
        )
    return md5


def _measured(place: Path, root: Path) -> str:
    """The md5 as DVC 3 takes it: of a file's bytes; of a directory's list of files, with `.dir` at its end."""
    if place.is_file():
        return _md5(place)
    ignored = _ignored(place, root)
    files = sorted(
        (path.relative_to(place).as_posix(), path)
        for path in place.rglob("*")
        if path.is_file() and _relative(path, root) not in ignored
    )
    listing = [{"md5": _md5(path), "relpath": name} for name, path in files]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _ignored(place: Path, root: Path) -> frozenset[str]:
    """The files in a directory that a .dvcignore leaves out, told from `root`; git reads its patterns as DVC does."""
    above = [folder for folder in place.parents if folder.is_relative_to(root)]
    if not any((folder / ".dvcignore").is_file() for folder in above):
        return frozenset()
    listed = ("--full-name", "-z", "--others", "--ignored", "--exclude-per-directory=.dvcignore")
    return frozenset(_git("ls-files", *listed, "--", str(place)).split("\0"))


def _name_of(tracked: Tracked, root: Path, data_tags: str) -> str | None:
    """The newest git tag of those that `data_tags` matches at which DVC tracked the same data."""
    seen: dict[str, bool] = {}
    try:
        for name, blob in _pointer_at_tags(_relative(tracked.pointer, root), data_tags):
            if blob not in seen:
                entry = _entry(_git("cat-file", "blob", blob), tracked.pointer, tracked.place)
                seen[blob] = entry is not None and entry.get("md5") == tracked.md5
            if seen[blob]:
                return name
    except Unknown as unknown:
        _log.warning("lineage is incomplete: no git tag names the data: %s", unknown)
    return None


def _pointer_at_tags(path: str, data_tags: str) -> Iterator[tuple[str, str]]:
    """Each tag that has the file, newest first, with the blob that the file is there."""
    names = _git("for-each-ref", "--sort=-creatordate", "--format=%(refname:strip=2)", f"refs/tags/{data_tags}").split()
    asked = "".join(f"refs/tags/{name}:{path}\n" for name in names)
    answers = _git("cat-file", "--batch-check", given=asked).splitlines() if names else []
    for name, answer in zip(names, answers, strict=True):
        blob, _, kind = answer.partition(" ")
        if kind.startswith("blob"):
            yield name, blob
