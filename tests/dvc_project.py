"""A training repository as a team has it, made with git and the real `dvc`, and pushed to the GitHub stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bot.sandbox.github import SandboxRepository

_IDENTITY = {"GIT_AUTHOR_NAME": "dana", "GIT_AUTHOR_EMAIL": "dana@example.com"}
_IDENTITY |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in _IDENTITY.items()}


@dataclass(frozen=True)
class DvcProject:
    """A work tree below `folder`, with `remote` as its default DVC remote."""

    folder: Path
    remote: str

    @classmethod
    def create(cls, folder: Path, remote: str, **options: str) -> DvcProject:
        """An empty project; `options` are the remote's, such as `endpointurl`."""
        project = cls(folder, remote)
        folder.mkdir(parents=True)
        project.git("init", "--quiet", "--initial-branch", "main")
        project.dvc("init", "--quiet")
        project.dvc("config", "core.site_cache_dir", str(folder.parent / "site-cache"), "--local")
        project.dvc("remote", "add", "--default", "storage", remote)
        for name, value in options.items():
            project.dvc("remote", "modify", "storage", name, value)
        return project

    def git(self, *arguments: str) -> str:
        """What git prints."""
        return self._run("git", *arguments)

    def dvc(self, *arguments: str) -> str:
        """What the `dvc` beside this Python prints."""
        return self._run(str(Path(sys.executable).with_name("dvc")), *arguments)

    def _run(self, *command: str) -> str:
        nowhere = str(self.folder.parent / "no-configuration")
        environment = {
            **os.environ,
            **_IDENTITY,
            "DVC_NO_ANALYTICS": "true",
            "DVC_GLOBAL_CONFIG_DIR": nowhere,
            "DVC_SYSTEM_CONFIG_DIR": nowhere,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """A file of the work tree."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def commit(self, message: str) -> str:
        """Commit everything; the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def hash_of(self, file: str) -> str:
        """The hash of a `.dvc` file's output, as lineage records it."""
        return f"md5:{_yaml(self.folder / file)['outs'][0]['md5']}"

    def object_of(self, md5: str) -> Path:
        """Where a remote that is a directory keeps an object."""
        name = md5.removeprefix("md5:")
        return Path(self.remote) / "files" / "md5" / name[:2] / name[2:]

    def push_to(self, repository: SandboxRepository) -> None:
        """Have the stand-in's repository hold this history, its branch `main` and its tags."""
        store: Any = repository.repo.git.repo
        remote = store.remotes.create_anonymous(str(self.folder / ".git"))
        remote.fetch(["+refs/heads/main:refs/heads/main", "+refs/tags/*:refs/tags/*"])


def _yaml(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))
