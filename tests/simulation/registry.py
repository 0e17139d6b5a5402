"""MLflow in memory: registered models, versions, runs and their files, with the interface of the real gateways."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.domain.errors import Refused
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.gateways.artifacts import ArtifactDigest
from bot.gateways.mlflow_api import Missing
from bot.gateways.registry import ModelFile, Registry
from policies.evidence import Metric, Run, RunStatus, VersionEvidence
from tests.simulation.github import Carry


@dataclass
class Version:
    """One version with its run and files."""

    number: int
    created_at: datetime
    metrics: dict[str, float]
    files: dict[str, bytes]
    status: RunStatus = RunStatus.FINISHED
    stage: str = "None"
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Model:
    """One registered model."""

    name: str
    versions: dict[int, Version] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Mlflow:
    """What MLflow holds; people write here directly, the bot through `SimulatedRegistry`."""

    models: dict[str, Model] = field(default_factory=dict)

    def digest(self, model: str, version: int) -> str:
        """The digest of a version's files as the product defines it."""
        files = self.models[model].versions[version].files
        lines = [f"{hashlib.sha256(files[p]).hexdigest()}  {p}\n" for p in sorted(files, key=str.encode)]
        return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


class SimulatedRegistry(Registry):
    """The registry and the artifact store of a worker."""

    def __init__(self, mlflow: Mlflow, carry: Carry) -> None:
        self._mlflow = mlflow
        self._carry = carry
        self.silent = {}

    # --- reading --------------------------------------------------------------------------------------------------

    def models(self) -> tuple[RegisteredModel, ...]:
        return self._read("list models", lambda: tuple(_model(m) for _, m in sorted(self._mlflow.models.items())))

    def model(self, name: str) -> RegisteredModel | None:
        return self._read(
            f"model {name}", lambda: _model(self._mlflow.models[name]) if name in self._mlflow.models else None
        )

    def version_evidence(self, model: RegisteredModel, version: ModelVersion) -> VersionEvidence:
        def read() -> VersionEvidence:
            found = self._find(version.name, version.version)
            run = Run(version.run_id or "", found.status, user="dana")
            metrics = tuple(Metric(name, value) for name, value in sorted(found.metrics.items()))
            return replace(self.registered_evidence(model, version), run=run, metrics=metrics)

        return self._read(f"run of {version.name} v{version.version}", read)

    def model_file(self, version: ModelVersion) -> ModelFile:
        return ModelFile()

    # --- writing --------------------------------------------------------------------------------------------------

    def set_stage(self, name: str, version: int, stage: str) -> None:
        self._write(f"stage of {name} v{version}: {stage}", lambda: setattr(self._find(name, version), "stage", stage))

    def set_alias(self, name: str, alias: str, version: int) -> None:
        def write() -> None:
            self._find(name, version)
            self._mlflow.models[name].aliases[alias] = version

        self._write(f"alias {alias} of {name}: v{version}", write)

    def delete_alias(self, name: str, alias: str) -> None:
        self._write(f"no alias {alias} of {name}", lambda: self._mlflow.models[name].aliases.pop(alias, None))

    def set_version_tags(self, name: str, version: int, tags: Mapping[str, str | None]) -> None:
        for key, value in tags.items():
            self._write(
                f"tag {key} of {name} v{version}", lambda k=key, v=value: _tag(self._find(name, version).tags, k, v)
            )

    def set_model_tags(self, name: str, tags: Mapping[str, str | None]) -> None:
        for key, value in tags.items():
            self._write(f"tag {key} of {name}", lambda k=key, v=value: _tag(self._mlflow.models[name].tags, k, v))

    def log_artifact(self, name: str, version: int, path: str, text: str) -> None:
        self._write(f"artifact {path} of {name} v{version}", lambda: None)

    # --- the files ------------------------------------------------------------------------------------------------

    def listing(self, version: ModelVersion) -> tuple[tuple[str, int], ...]:
        def read() -> tuple[tuple[str, int], ...]:
            return tuple((p, len(c)) for p, c in sorted(self._find(version.name, version.version).files.items()))

        return self._read(f"files of {version.name} v{version.version}", read)

    def digest(self, version: ModelVersion) -> ArtifactDigest:
        def read() -> ArtifactDigest:
            found = self._find(version.name, version.version)
            size = sum(map(len, found.files.values()))
            return ArtifactDigest(self._mlflow.digest(version.name, version.version), size, tuple(sorted(found.files)))

        return self._read(f"digest of {version.name} v{version.version}", read)

    @contextmanager
    def downloaded(self, version: ModelVersion) -> Iterator[tuple[Path, ArtifactDigest]]:
        raise Refused("no policy of the simulation looks into files")
        yield

    def _find(self, name: str, version: int) -> Version:
        model = self._mlflow.models.get(name)
        if model is None or version not in model.versions:
            raise Missing(f"{name} v{version} does not exist")
        return model.versions[version]

    def _read(self, what: str, do: Any) -> Any:
        return self._carry(False, f"MLflow: {what}", do)

    def _write(self, what: str, do: Any) -> None:
        self._carry(True, f"MLflow: {what}", do)


def _tag(tags: dict[str, str], key: str, value: str | None) -> None:
    if value is None:
        tags.pop(key, None)
    else:
        tags[key] = value


def _model(model: Model) -> RegisteredModel:
    return RegisteredModel(
        name=model.name,
        tags=dict(model.tags),
        aliases=dict(model.aliases),
        versions=tuple(
            ModelVersion(
                name=model.name,
                version=v.number,
                created_at=v.created_at,
                stage=v.stage,
                run_id=f"run-{model.name}-{v.number}",
                source=f"runs:/run-{model.name}-{v.number}/model",
                tags=dict(v.tags),
            )
            for _, v in sorted(model.versions.items())
        ),
    )
