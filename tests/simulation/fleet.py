"""A large fleet of models: MLflow's pages over HTTP, GitHub in this process, both counted and delayed.

What the bot does with its answers is real: its gateways, MLflow's client, the cache on Valkey. Only the two services
are simulated, of one state: each model has 20 versions, the last is live everywhere, and nothing is left to do.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from bot.domain import naming
from bot.domain.world import LIVE_MARKER
from bot.gateways.cache import Cache
from bot.gateways.redis_connection import connect
from bot.sandbox.github import GitHubSandbox, SandboxRepository
from bot.sandbox.github.state import App, Issue, Pull
from bot.settings import AppCredentials, Secret, Settings
from bot.wiring import Gateways
from tests.simulation.github import SimulatedGitHubClient

REPOSITORY: Final = "acme/models"
VERSIONS: Final = 20
ENVIRONMENTS: Final = ("staging", "canary", "production")
ALIASES: Final = {"staging": "staging", "canary": "canary", "production": "champion"}
_PEM: Final = "-----BEGIN RSA PRIVATE KEY-----\nnothing is signed\n-----END RSA PRIVATE KEY-----"
_DIGEST: Final = f"sha256:{'a' * 64}"
_REGISTERED: Final = datetime(2026, 1, 5, tzinfo=UTC)
_PIPELINE: Final = """\
apiVersion: promotion-bot/v1
kind: Pipeline
manifest: versions.yaml
models: ["model-*"]
environments:
  - {name: staging, policy: policies/p.yaml, propose: on_registration, merge: auto,
     registry: {stage: Staging, alias: staging}}
  - {name: canary, policy: policies/p.yaml, propose: {after: staging, soak: 0s}, merge: auto,
     registry: {alias: canary}}
  - {name: production, policy: policies/p.yaml, propose: {after: canary, soak: 0s}, merge: manual,
     registry: {stage: Production, alias: champion, archive_existing: true}}
"""
_POLICY: Final = """\
apiVersion: promotion-bot/v1
kind: Policy
name: p
checks:
  - {id: accuracy, metric: {name: accuracy, at_least: 0.9}}
"""


def model_name(number: int) -> str:
    """The models' names, which sort as their numbers do."""
    return f"model-{number:05d}"


# --- MLflow -----------------------------------------------------------------------------------------------------------


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing is printed."""


class MlflowPages:
    """MLflow's REST API as far as looks read it, with its own page sizes, tokens and layout of JSON.

    Answers are made when they are asked for, so that nothing of the size of the registry is kept here. `latency` is
    in seconds and is waited for before each answer; `delays` are those of some paths instead.
    """

    def __init__(self, models: int, latency: float = 0.0, delays: Mapping[str, float] | None = None) -> None:
        self._models = models
        self._latency = latency
        self._delays = delays or {}
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on a free port; its address."""
        server = make_server("127.0.0.1", 0, self._application, threaded=True, request_handler=_Quiet)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _application(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        path = request.path.partition("/mlflow/")[2]
        with self._lock:
            self.requests[path] += 1
        time.sleep(self._delays.get(path, self._latency))
        match path:
            case "registered-models/search":
                body = self._page(request, "registered_models", self._models, lambda at: _model(at + 1))
            case "registered-models/get":
                body = {"registered_model": _model(_number(request.args["name"]))}
            case "model-versions/search" if "filter" in request.args:
                number = _number(re.findall(r"'(.*)'", request.args["filter"])[0])
                body = {"model_versions": [_version(number, version) for version in range(1, VERSIONS + 1)]}
            case "model-versions/search":
                body = self._page(
                    request,
                    "model_versions",
                    self._models * VERSIONS,
                    lambda at: _version(at // VERSIONS + 1, at % VERSIONS + 1),
                )
            case _:
                return Response("{}", 404)(environ, start_response)
        return Response(json.dumps(body, indent=2), content_type="application/json")(environ, start_response)

    @staticmethod
    def _page(request: Request, name: str, there: int, row: Callable[[int], object]) -> dict[str, object]:
        token, size = request.args.get("page_token", ""), int(request.args["max_results"])
        start = json.loads(base64.b64decode(token))["offset"] if token else 0
        end = min(there, start + size)
        body: dict[str, object] = {name: [row(at) for at in range(start, end)]}
        if end < there:
            body["next_page_token"] = base64.b64encode(json.dumps({"offset": end}).encode()).decode()
        return body


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def _model(number: int) -> dict[str, object]:
    at = int(_REGISTERED.timestamp() * 1000)
    return {
        "name": model_name(number),
        "creation_timestamp": at,
        "last_updated_timestamp": at,
        "latest_versions": [_version(number, VERSIONS - 1), _version(number, VERSIONS)],  # one of each stage
        "aliases": [{"alias": alias, "version": str(VERSIONS)} for alias in ALIASES.values()],
    }


def _version(number: int, version: int) -> dict[str, object]:
    at = int(_REGISTERED.timestamp() * 1000) + version
    tags = {
        "validation_status": "passed",
        "promotion.release": f"1.{version}.0",
        "git_commit": "c",
        "data_version": "1",
    }
    return {
        "name": model_name(number),
        "version": str(version),
        "creation_timestamp": at,
        "last_updated_timestamp": at,
        "current_stage": "Production" if version == VERSIONS else "Archived",
        "source": f"models:/m-{number:08x}{version:024x}",
        "run_id": f"{number:08x}{version:024x}",
        "status": "READY",
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }


# --- GitHub -----------------------------------------------------------------------------------------------------------


@dataclass
class Wire:
    """What the way to GitHub costs: its requests, and the CPU seconds of the stand-in, which is in this process.

    `latency` is in seconds and is waited for at each request.
    """

    latency: float = 0.0
    standin: float = 0.0
    requests: int = field(default=0)

    def carry(self, _writes: bool, _what: str, do: Callable[[], Any]) -> Any:
        """One request and its answer."""
        started = time.process_time()
        answer = do()
        self.standin += time.process_time() - started
        self.requests += 1
        time.sleep(self.latency)
        return answer


class SignedIn(SimulatedGitHubClient):
    """The real client on the wire; its worker needs no sign-in before it forks."""

    def __init__(self, github: GitHubSandbox, app: App, cache: Cache, wire: Wire) -> None:
        super().__init__(github, app, cache, wire.carry, kept_back=frozenset())  # what is unchanged is counted there
        self._parts = github, app, cache, wire

    def again(self) -> SignedIn:
        """The same, with nothing read."""
        return SignedIn(*self._parts)

    def prepare(self, repository: str) -> None:
        """It is signed in."""


@dataclass
class Deployed:
    """A deploy repository on the stand-in, and the gateways of a bot that serves it."""

    github: GitHubSandbox
    repository: SandboxRepository
    gateways: Gateways
    wire: Wire

    def as_in_a_new_process(self) -> Gateways:
        """The gateways as a job finds them that was forked just now: what they read stands in the shared cache only."""
        gateways = Gateways(self.gateways.settings, self.gateways.cache)
        gateways.__dict__["registry"] = self.gateways.registry
        client = self.gateways.github_client
        assert isinstance(client, SignedIn)
        gateways.__dict__["github_client"] = client.again()
        return gateways

    def record_history(self, models: int) -> None:
        """Have the entries of so many models come from merged proposals of the bot's instead of being adopted."""
        commit = self.repository.push({"README.md": "Models\n"})
        for number in range(1, models + 1):
            for environment in ENVIRONMENTS:
                pull = self._merged_pull(environment, model_name(number), commit)
                self._deployment(environment, model_name(number), commit, pull)

    def _merged_pull(self, environment: str, model: str, commit: str) -> int:
        repo, now = self.repository.repo, _REGISTERED + timedelta(seconds=len(self.repository.repo.pulls))
        number = len(repo.pulls) + 1
        body = f"{LIVE_MARKER}\n" + "| accuracy | 0.95 | at least 0.9 |\n" * 60  # some two kilobytes, as a proposal's
        title = naming.title(environment, model, VERSIONS)
        repo.issues[number] = Issue(number, title, body, "promotion-bot[bot]", now, now, "closed", "alice")
        branch = naming.branch_name(environment, model, VERSIONS)
        repo.pulls[number] = Pull(number, branch, "main", commit, commit, now, "alice", commit)
        return number

    def _deployment(self, environment: str, model: str, commit: str, pull: int) -> None:
        world = self.github.world
        creator = {"login": "promotion-bot[bot]", "type": "Bot"}
        payload = {"model": model, "version": VERSIONS, "digest": _DIGEST, "release": f"1.{VERSIONS}.0"}
        payload |= {"ruling": "authorised", "kind": "promotion", "pull_request": pull, "reasons": [], "lacking": []}
        payload |= {"by": "alice", "policy": "b" * 40}
        at = f"{_REGISTERED:%Y-%m-%dT%H:%M:%SZ}"
        row = {"id": world.next_id(), "sha": commit, "ref": commit, "task": "promotion", "environment": environment}
        self.repository.repo.deployments.append({**row, "creator": creator, "created_at": at, "payload": payload})
        status = {"id": world.next_id(), "state": "success", "creator": creator, "created_at": at}
        self.repository.repo.deployment_statuses[int(str(row["id"]))] = [status]


def manifest(models: int) -> str:
    """Every model live with its last version in each environment."""
    entry = f"      version: {VERSIONS}\n      digest: {_DIGEST}\n      release: 1.{VERSIONS}.0\n"
    entries = "".join(f"    {environment}:\n{entry}" for environment in ENVIRONMENTS)
    rows = "".join(f"  {model_name(number)}:\n{entries}" for number in range(1, models + 1))
    return f"apiVersion: promotion-bot/v1\nkind: ModelVersions\nmodels:\n{rows}"


@contextmanager
def deployed(
    models: int, mlflow_url: str, redis_url: Secret, latency: float = 0.0, *, adopted: bool = True
) -> Iterator[Deployed]:
    """A repository whose first commit states what is live of so many models; its adoption is recorded, or not yet."""
    github, wire = GitHubSandbox(), Wire(latency)
    github.world.url = "http://github.test"
    app = App(github.world.next_id(), "promotion-bot", "", "", None, "")
    github.world.apps[app.id] = app
    files = {"promotion.yaml": _PIPELINE, "policies/p.yaml": _POLICY, "versions.yaml": manifest(models)}
    repository = github.add_repository(REPOSITORY, files, {"alice": "write"}, [app])
    settings = Settings(
        mlflow_tracking_uri=mlflow_url,
        mlflow_webhook_secrets=(Secret("m"),),
        github_webhook_secrets=(Secret("g"),),
        github_credentials=AppCredentials(str(app.id), Secret(_PEM)),
        github_api_url=github.url,
        repositories=(REPOSITORY,),
        redis_url=redis_url,
    )
    gateways = Gateways(settings, Cache(connect(redis_url)))
    gateways.__dict__["github_client"] = SignedIn(github, app, gateways.cache, wire)
    if adopted:
        known = gateways.github(REPOSITORY)
        known.deployments.record_adoption(known.git.head())
    try:
        yield Deployed(github, repository, gateways, wire)
    finally:
        github.close()


def environment_of(settings: Settings) -> Mapping[str, str]:
    """The variables from which a worker's job reads these settings."""
    credentials = settings.github_credentials
    assert isinstance(credentials, AppCredentials)
    assert settings.redis_url is not None
    return {
        "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "GITHUB_APP_ID": credentials.app_id,
        "GITHUB_APP_PRIVATE_KEY": credentials.private_key.reveal(),
        "GITHUB_API_URL": settings.github_api_url,
        "PROMOTION_REPOSITORIES": ",".join(settings.repositories),
        "REDIS_URL": settings.redis_url.reveal(),
    }
