"""What a policy asks for beyond metrics, against real files, real signatures and a team's own CI."""

from __future__ import annotations

import json
import os
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import signing

from bot.cli import cli
from bot.settings import AppCredentials, Secret
from policies.verdict import Status, Verdict
from tests.e2e.house import FILES, House, house

HEAD = "apiVersion: promotion-bot/v1\nkind: Policy\nname: staging\nchecks:\n"


@pytest.fixture
def built(registry_url: str, cache_url: Secret, request: pytest.FixtureRequest) -> Iterator[House]:
    """A house whose policy for staging has the checks of the test's parameter."""
    files = {"policies/staging.yaml": HEAD + request.param}
    if "public_key" in request.param:
        files["keys/mlops.pub"] = KEY.public
    with house(registry_url, cache_url, files) as world:
        yield world


class _Key:
    """A team's signing key."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        self.private = key.private_bytes(pem, pkcs8, plain)
        self.public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, files: dict[str, bytes]) -> bytes:
        """The signature of a model's files."""
        with tempfile.TemporaryDirectory() as folder:
            model, private = Path(folder) / "model", Path(folder) / "key.pem"
            for path, content in files.items():
                (model / path).parent.mkdir(parents=True, exist_ok=True)
                (model / path).write_bytes(content)
            private.write_bytes(self.private)
            config = signing.Config().use_elliptic_key_signer(private_key=private)
            config.sign(model, Path(folder) / "model.sig")
            return (Path(folder) / "model.sig").read_bytes()


KEY = _Key()


class Evil:
    """Creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._path}",)


def with_checks(*checks: str) -> object:
    return pytest.mark.parametrize("built", ["".join(f"  - {{{check}}}\n" for check in checks)], indirect=True)


@with_checks("id: no-code, scan: {}, remedy: Ask the platform team.")
def test_code_in_a_models_files_is_refused_and_never_runs(built: House, tmp_path: Path) -> None:
    proof = tmp_path / "loaded"
    version = built.register(files={"data/model.pkl": pickle.dumps(Evil(proof))})
    built.event()
    assert built.repository.pulls("all") == []
    reason = built.tags(version)["promotion.staging.reason"]
    assert f"no-code: measured data/model.pkl: {os.system.__module__}.system, required no unsafe code" in reason
    assert "Ask the platform team." in reason
    assert not proof.exists()

    harmless = built.register(files={"data/model.pkl": pickle.dumps({"weights": [1, 2, 3]})})
    built.event()
    assert built.proposed("staging", harmless).merged


@with_checks("id: no-code, scan: {}", "id: signed, signed: {public_key: keys/mlops.pub}")
def test_files_are_downloaded_once_for_everything_that_looks_into_them(
    built: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    downloads = []
    downloaded = type(built.gateways.artifacts).downloaded

    def counted(self: object, version: object) -> object:
        downloads.append(version)
        return downloaded(self, version)  # type: ignore[arg-type]

    monkeypatch.setattr(type(built.gateways.artifacts), "downloaded", counted)
    content = {"MLmodel": b"model\n", "data/weights.bin": b"0123456789" * 1000}
    built.register(files={**content, "model.sig": KEY.sign(content)})
    built.event()
    assert built.proposed("staging", 1).merged
    assert len(downloads) == 1

    changed = {**content, "data/weights.bin": b"1123456789" * 1000}
    version = built.register(files={**changed, "model.sig": KEY.sign(content)})
    built.event()
    assert built.proposal("staging", version) is None
    assert "signed: measured model.sig is not valid" in built.tags(version)["promotion.staging.reason"]
    assert list(tmp_path.iterdir()) == [], "what was downloaded is removed"


@with_checks("id: ci, github_check: {name: tests, app: github-actions}")
def test_a_teams_own_ci_holds_back_the_merge_and_not_the_proposal(built: House) -> None:
    actions = built.github.add_app("github-actions")
    built.register()
    built.event()
    pull = built.proposed("staging", 1)
    assert pull.is_open
    assert pull.check("promotion/policy") == "in_progress"
    built.repository.check_run(actions, pull.head_sha, "tests", "failure")
    built.settle()
    assert pull.is_open
    assert pull.check("promotion/policy") == "failure"
    built.repository.check_run(actions, pull.head_sha, "tests", "success")
    built.settle()
    assert pull.merged
    assert built.stage(1) == "Staging"


@with_checks("id: from-main, lineage: {require: [git_commit], git: {repository: acme/training, branch: main}}")
def test_the_training_commit_is_on_the_branch_that_the_policy_names(built: House) -> None:
    training = built.github.add_repository("acme/training", {"train.py": "pass\n"}, install=built.repository.repo.apps)
    aside = training.push({"train.py": "import this\n"}, branch="experiment")
    version = built.register(tags={"git_commit": aside})
    built.event()
    assert f"{aside[:12]} is not on main" in built.tags(version)["promotion.staging.reason"]
    version = built.register(tags={"git_commit": training.head()})
    built.event()
    assert built.proposed("staging", version).merged


@with_checks("id: from-main, lineage: {require: [git_commit], git: {repository: acme/elsewhere, branch: main}}")
def test_a_repository_that_the_bot_cannot_read_is_no_pass_and_stops_nothing_else(built: House) -> None:
    built.register()
    built.event()
    assert built.repository.pulls("all") == []
    assert built.tags(1)["promotion.staging.status"] == "waiting"


@with_checks(
    "id: better, compare: {metric: accuracy, tolerance: 0.1, significance: {table: eval.json, column: correct}}"
)
def test_a_difference_has_to_hold_example_by_example(built: House) -> None:
    def log(version: int, *values: int) -> None:
        run = built.mlflow.get_model_version(built.model, str(version)).run_id
        table = {"columns": ["correct"], "data": [[value] for value in values]}
        built.mlflow.log_text(run, json.dumps(table), "eval.json")

    log(built.register(accuracy=0.95), *([1] * 19 + [0]) * 5)
    built.event()
    assert built.proposed("staging", 1).merged
    second = built.register(accuracy=0.94)
    built.event()
    assert built.proposal("staging", second) is None, "its results are not there yet"
    log(second, *([0, 1] * 9 + [1, 1]) * 5)
    built.event()
    assert "differs by" in built.tags(second)["promotion.staging.reason"]
    log(third := built.register(accuracy=0.96), *([1] * 20) * 5)
    built.event()
    assert built.proposed("staging", third).merged


@with_checks("id: tidy, artifact: {max_size: 1KB, require: [MLmodel], forbid: ['**/*.exe'], pinned: true}")
def test_files_are_what_they_should_be(built: House) -> None:
    built.register(files={"data/run.exe": b"MZ", "requirements.txt": b"numpy>=2\n", "big": bytes(2000)})
    built.event()
    reason = built.tags(1)["promotion.staging.reason"]
    assert "data/run.exe is forbidden" in reason
    assert "“numpy>=2” is not pinned" in reason
    assert "KB in " in reason
    built.register(files={"requirements.txt": b"numpy==2.0.1\n"})
    built.event()
    assert built.proposed("staging", 2).merged


@with_checks("id: aged, soak: {environment: production, for: 1s}", "id: a, metric: {name: accuracy, at_least: 0}")
def test_a_soak_that_never_began_waits(built: House) -> None:
    built.register()
    built.event()
    assert built.repository.pulls("all") == []
    assert built.tags(1)["promotion.staging.status"] == "waiting"


def test_a_changed_policy_shows_whom_it_would_have_refused_and_accepted(world: House) -> None:
    world.register()
    world.register(accuracy=0.5)
    world.event()
    stricter = FILES["policies/staging.yaml"].replace("at_least: 0.92", "at_least: 0.99")
    world.repository.push({"policies/staging.yaml": stricter}, branch="stricter", as_user="alice")
    pull = world.repository.open_pull("stricter", "Ask for more", as_user="alice")
    world.settle()
    (run,) = [r for r in world.repository.check_runs(pull.head_sha) if r["name"] == "promotion/backtest"]
    assert run["conclusion"] == "success"
    assert run["output"]["title"] == "Of 2 decisions 1 newly refused, 0 newly accepted"
    assert f"| `{world.model}` v1 | staging | newly refused | `accuracy-floor: 0.95` |" in run["output"]["summary"]
    world.settle()
    assert len([r for r in world.repository.check_runs(pull.head_sha) if r["name"] == "promotion/backtest"]) == 1


def test_a_verdict_is_kept_with_its_version_and_reads_back(world: House, tmp_path: Path) -> None:
    world.register()
    world.to_production(1)
    version = world.mlflow.get_model_version(world.model, "1")
    short = json.loads(version.tags["promotion.production.verdict"])
    assert short["status"] == "pass"
    assert short["checks"]["accuracy-floor"] == "pass"
    for environment in ("staging", "production"):
        file = world.mlflow.download_artifacts(version.run_id, f"promotion/{environment}/verdict.json", str(tmp_path))
        record = json.loads(Path(file).read_text())
        verdict = Verdict.from_dict(record["verdict"])
        assert verdict.status is Status.PASS
        assert verdict.to_dict() == record["verdict"]
        assert record["environment"] == environment
        assert record["digest"].startswith("sha256:")


def test_what_a_policy_would_have_decided_is_told_on_the_command_line(
    world: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register()
    world.register(accuracy=0.5)
    world.event()
    settings, app = world.gateways.settings, world.gateways.settings.github_credentials
    assert isinstance(app, AppCredentials)
    environment = {
        "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "GITHUB_API_URL": settings.github_api_url,
        "PROMOTION_REPOSITORIES": settings.repositories[0],
        "GITHUB_APP_ID": app.app_id,
        "GITHUB_APP_PRIVATE_KEY": app.private_key.reveal(),
    }
    for name in ("GITHUB_TOKEN", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["policy", *arguments], env=environment)

    unchanged = run("backtest", "--environment", "staging", "--json")
    assert unchanged.exit_code == 0, unchanged.output
    assert {row["difference"] for row in json.loads(unchanged.stdout)} == {"unchanged"}
    file = tmp_path / "staging.yaml"
    file.write_text(FILES["policies/staging.yaml"].replace("at_least: 0.92", "at_least: 0.4"))
    looser = run("backtest", "--policy", str(file), "--json")
    assert looser.exit_code == 0
    assert [row["difference"] for row in json.loads(looser.stdout)] == ["unchanged", "newly accepted"]
    file.write_text(FILES["policies/staging.yaml"].replace("at_least: 0.92", "at_least: 0.99"))
    stricter = run("backtest", "--policy", str(file))
    assert stricter.exit_code == 1
    assert "1 newly refused" in stricter.stdout

    explained = run("explain", world.model, "2", "--environment", "staging", "--json")
    assert explained.exit_code == 1
    (staging,) = json.loads(explained.stdout)
    assert staging["sources"]["accuracy-floor"] == "policies/staging.yaml"
    assert "metrics" in staging["evidence"]
    assert "measured 0.5" in run("explain", world.model, "2", "--environment", "staging").stdout
