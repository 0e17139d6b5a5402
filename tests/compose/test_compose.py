"""compose.yaml: a valid file whose services come up healthy together, by their own commands, outside of containers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import requests
import yaml
from mlflow import MlflowClient

from bot.sandbox.company import people_and_repository
from bot.sandbox.github import GitHubSandbox
from tests.compose.outside import NOT_HERE, PORTS, Outside
from tests.compose.project import FILE, ROOT, Service, read, read_env
from tests.conftest import wait_until
from tests.documentation.pages import blocks
from tests.registering import register

ONCE = {"bucket", "webhooks", "doctor"}


@pytest.fixture(scope="module")
def dotenv(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a .env that the command in docs/compose.md makes."""
    folder = tmp_path_factory.mktemp("env")
    (folder / ".env.example").write_bytes((ROOT / ".env.example").read_bytes())
    command = next(block for block in blocks("docs/compose.md") if not block.not_run)
    subprocess.run(["bash", "-euo", "pipefail", "-c", command.code], cwd=folder, check=True, timeout=60)
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    return read_env(folder / ".env")


@pytest.fixture(scope="module")
def services(dotenv: dict[str, str]) -> dict[str, Service]:
    return read(dotenv)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_what_the_compose_specification_says() -> None:
    command = [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_secrets_come_from_the_environment_and_each_is_its_own(dotenv: dict[str, str]) -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", FILE.read_text()))
    secrets = needed - {"PROMOTION_REPOSITORIES"}
    assert secrets == {name for name, value in dotenv.items() if len(value) >= 40}
    assert len({dotenv[name] for name in secrets}) == len(secrets)
    assert not secrets & set(read_env(ROOT / ".env.example"))
    for missing in needed:
        with pytest.raises(KeyError, match=rf"{missing}: see docs/compose\.md"):
            read({name: value for name, value in dotenv.items() if name != missing})
    ignored = subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=ROOT, timeout=60)
    assert ignored.returncode == 0


def test_services_have_few_rights_and_pinned_images(services: dict[str, Service]) -> None:
    for service in services.values():
        assert service.raw["read_only"] is True
        assert service.raw["cap_drop"] == ["ALL"]
        assert service.raw["security_opt"] == ["no-new-privileges:true"]
        assert re.search(r":(v?\d+(\.\d+)+(-full)?|RELEASE\.[\dTZ-]+)$", service.image), service.image
        assert service.name == "minio" or "user" in service.raw or service.image.startswith("promotion-bot:")
        assert bool(service.health) == (service.name not in ONCE)
    assert re.search(r"^USER 10001:10001$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_only_this_machine_reaches_the_two_ports(services: dict[str, Service]) -> None:
    published = {name: service.ports for name, service in services.items() if service.ports}
    assert published == {"mlflow": ("127.0.0.1:5000:5000",), "web": ("127.0.0.1:8080:8080",)}


def test_whoever_talks_to_a_service_shares_a_network_with_it(services: dict[str, Service]) -> None:
    for service in services.values():
        said = " ".join([*service.environment.values(), *service.command])
        for other in PORTS:
            if other != service.name and re.search(rf"\b{other}:{PORTS[other]}\b", said):
                assert service.networks & services[other].networks, f"{service.name} cannot reach {other}"
    assert services["minio"].networks == services["postgres"].networks == {"stores"}
    assert "stores" not in services["web"].networks | services["worker"].networks


def test_credentials_are_where_they_are_needed_only(services: dict[str, Service], dotenv: dict[str, str]) -> None:
    def holders(secret: str) -> set[str]:
        return {s.name for s in services.values() if any(dotenv[secret] in value for value in s.environment.values())}

    assert holders("POSTGRES_PASSWORD") == {"postgres", "mlflow"}
    assert holders("MINIO_ROOT_PASSWORD") == {"minio", "bucket", "mlflow"}
    assert holders("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY") == {"mlflow"}
    assert holders("GITHUB_WEBHOOK_SECRET") == {"web", "webhooks", "doctor"}
    with_github = {name for name, service in services.items() if "GITHUB_TOKEN" in service.environment}
    assert with_github == {"worker", "doctor"}


def test_a_service_starts_when_what_it_needs_is_there(services: dict[str, Service]) -> None:
    healthy, done = "service_healthy", "service_completed_successfully"
    assert {name: dict(service.after) for name, service in services.items() if service.after} == {
        "bucket": {"minio": healthy},
        "mlflow": {"postgres": healthy, "bucket": done},
        "web": {"valkey": healthy},
        "worker": {"valkey": healthy, "mlflow": healthy},
        "webhooks": {"mlflow": healthy, "web": healthy},
    }
    assert {name for name, service in services.items() if service.raw.get("profiles")} == {"doctor"}


def test_what_must_outlive_a_container_is_in_a_volume(services: dict[str, Service]) -> None:
    """Where the images keep their data, and where files pass through that are too large for memory."""
    mounted = {name: service.raw["volumes"] for name, service in services.items() if "volumes" in service.raw}
    assert mounted == {
        "postgres": ["postgres:/var/lib/postgresql"],
        "minio": ["minio:/data"],
        "valkey": ["valkey:/data"],
        "mlflow": ["mlflow-tmp:/tmp"],
        "worker": ["worker-tmp:/tmp"],
    }
    assert "/data" in services["minio"].command


def test_what_the_page_says_is_passed_on(dotenv: dict[str, str]) -> None:
    """Notifications, the logs' form, where traces go, the public address, GitHub's address and MLflow's names."""
    bot, worker = ("web", "worker", "webhooks", "doctor"), ("worker",)
    passed = {
        "PROMOTION_NOTIFY_SLACK_URL": worker,
        "PROMOTION_NOTIFY_WEBHOOK_URL": worker,
        "PROMOTION_NOTIFY_WEBHOOK_SECRET": worker,
        "PROMOTION_NOTIFY_EVENTS": worker,
        "PROMOTION_LOG_FORMAT": bot,
        "OTEL_EXPORTER_OTLP_ENDPOINT": bot,
        "PROMOTION_PUBLIC_URL": bot,
        "PROMOTION_REPOSITORIES": bot,
        "GITHUB_API_URL": ("worker", "doctor"),
    }
    services = read({**dotenv, **{name: f"said-{name}" for name in passed}, "MLFLOW_ALLOWED_HOSTS": "ml.example.com"})
    for name, wanted in passed.items():
        holders = {each for each, service in services.items() if service.environment.get(name) == f"said-{name}"}
        assert holders == set(wanted), name
    assert services["mlflow"].environment["MLFLOW_SERVER_ALLOWED_HOSTS"] == "ml.example.com"


def test_databases_and_the_queue_reach_nothing_outside() -> None:
    networks = yaml.safe_load(FILE.read_text())["networks"]
    assert networks == {"stores": {"internal": True}, "queue": {"internal": True}, "services": {}}


# --- the services -----------------------------------------------------------------------------------------------------


@pytest.fixture
def github() -> Iterator[GitHubSandbox]:
    with GitHubSandbox() as sandbox:
        yield sandbox


@pytest.mark.slow
def test_everything_comes_up_and_promotes_a_model(
    dotenv: dict[str, str], github: GitHubSandbox, tmp_path: Path
) -> None:
    app, repository = people_and_repository(github, None, dotenv["GITHUB_WEBHOOK_SECRET"])
    key = app.private_key_pem.replace("\n", "\\n")
    bot = {"GITHUB_API_URL": github.api_url, "GITHUB_APP_ID": str(app.id), "GITHUB_APP_PRIVATE_KEY": key}
    bot["PROMOTION_PUBLIC_URL"] = "http://web:8080"
    with Outside(read({**dotenv, **bot}), tmp_path) as outside:
        outside.start_object_store()
        outside.start("valkey")
        outside.start_postgres()
        wait_until(lambda: is_up(f"http://{outside.address('minio')}/"), "the object store answers")
        assert outside.start("bucket").wait(240) == 0, outside.log("bucket")
        wait_until(lambda: answers_ping(outside, dotenv), "Valkey answers")
        assert not answers_ping(outside, {"VALKEY_PASSWORD": "wrong"})

        outside.start("mlflow")
        outside.start("web")
        outside.wait_until_healthy("web")
        app.webhook_url = f"http://{outside.address('web')}/webhooks/github"
        outside.wait_until_healthy("mlflow")
        assert not outside.is_healthy("worker")
        outside.start("worker")
        for _ in range(2):  # each start of the whole runs it again
            webhooks = outside.start("webhooks")
            assert webhooks.wait(240) == 0, outside.log("webhooks")
            outside.work("webhooks").rmdir()
        outside.wait_until_healthy("worker")

        mlflow = f"http://{outside.address('mlflow')}"
        assert asked_as(mlflow, "mlflow:5000") == 200
        assert asked_as(mlflow, "evil.example.com") == 403
        version = register(
            MlflowClient(mlflow), "breast-cancer", {"accuracy": 0.96, "f1_score": 0.96}, {"model.txt": b"weights"}, {}
        )
        wait_until(lambda: "staging" in aliases(mlflow), "the version is promoted to staging")
        assert version == aliases(mlflow)["staging"]
        assert re.search(r'promotion_webhooks_total\{.*source="mlflow",status="202"', metrics(outside, dotenv))
        assert repository.pulls("all")[0].merged
        doctor = outside.start("doctor")
        assert doctor.wait(240) == 0, outside.log("doctor")
        assert "✓ MLflow webhook" in outside.log("doctor")
        for name in ("mlflow", "web", "worker"):  # whose file systems are read-only
            assert not list(outside.work(name).iterdir()), f"{name} writes into its root"


def test_every_health_check_is_run_but_those_of_programs_that_no_wheel_brings(services: dict[str, Service]) -> None:
    programs = {name: " ".join(service.health) for name, service in services.items() if service.health}
    assert {name for name, said in programs.items() if any(program in said for program in NOT_HERE)} == {
        "minio",
        "valkey",
    }
    assert set(programs) == {"postgres", "minio", "mlflow", "valkey", "web", "worker"}


def is_up(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def answers_ping(outside: Outside, dotenv: dict[str, str]) -> bool:
    """What Valkey's own check asks."""
    try:
        return bool(redis.Redis(port=outside.ports["valkey"], password=dotenv["VALKEY_PASSWORD"]).ping())
    except redis.RedisError:
        return False


def asked_as(url: str, host: str) -> int:
    """The status of an API request by that name of the server."""
    path = "/api/2.0/mlflow/registered-models/search"
    return requests.get(url + path, headers={"Host": host}, timeout=60).status_code


def aliases(mlflow: str) -> dict[str, int]:
    found = MlflowClient(mlflow).get_registered_model("breast-cancer").aliases
    return {name: int(version) for name, version in found.items()}


def metrics(outside: Outside, dotenv: dict[str, str]) -> str:
    token = {"Authorization": f"Bearer {dotenv['PROMOTION_BOARD_TOKEN']}"}
    return requests.get(f"http://{outside.address('web')}/metrics", headers=token, timeout=60).text
