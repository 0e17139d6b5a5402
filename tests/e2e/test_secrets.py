"""No secret is in anything that somebody reads: logs, errors, GitHub, MLflow, the board, metrics, Redis."""

from __future__ import annotations

import base64
import contextlib
import itertools
import re
import subprocess
import sys
import threading
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit

import pytest
import redis

from bot.gateways.redis_connection import connect
from bot.sandbox.ports import free_port
from bot.settings import AppCredentials, Secret
from tests.conftest import wait_until
from tests.e2e.service import Service, service, web
from tests.gateways.test_redis_connection import answers, server

ROOT = Path(__file__).parents[2]
REDIS_PASSWORD = "redis-p@ss:/word-4711"
URL_PASSWORD = "mlflow-url-password-4711"
PASSWORDS = {
    "MLFLOW_WEBHOOK_SECRET": "mlflow-webhook-secret-new,mlflow-webhook-secret-old",
    "GITHUB_WEBHOOK_SECRET": "github-webhook-secret-new,github-webhook-secret-old",
    "PROMOTION_BOARD_TOKEN": "board-token-new-4711,board-token-old-4711",
    "MLFLOW_TRACKING_USERNAME": "promotion-bot",
    "MLFLOW_TRACKING_PASSWORD": "mlflow-password-4711",
    "MLFLOW_TRACKING_TOKEN": "mlflow-token-4711",
}


def secrets_of(running: Service) -> set[str]:
    """Everything that must be nowhere, as it is and as it would stand in an address or a header."""
    built = running.house
    credentials = built.gateways.settings.github_credentials
    assert isinstance(credentials, AppCredentials)
    known = {part for name, value in PASSWORDS.items() if "USER" not in name for part in value.split(",")}
    known |= {URL_PASSWORD, REDIS_PASSWORD, *built.github.world.tokens}
    known |= {line for line in credentials.private_key.reveal().splitlines() if len(line) > 40 and "-----" not in line}
    for user in ("promotion-bot", "me", ""):
        known |= {
            base64.b64encode(f"{user}:{password}".encode()).decode()
            for password in (PASSWORDS["MLFLOW_TRACKING_PASSWORD"], URL_PASSWORD, REDIS_PASSWORD)
        }
    return known | {quote(secret, safe="") for secret in known}


def leaked(secrets: Iterable[str], text: str | bytes) -> list[str]:
    """The secrets that stand in a text, and signed tokens of the App, which last ten minutes."""
    shown = text.decode("latin-1") if isinstance(text, bytes) else text
    return [secret for secret in secrets if secret in shown] + re.findall(r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.", shown)


def everything_in(connection: redis.Redis) -> Iterator[bytes]:
    """Every key and value of a server, and what is packed in them."""
    for key in connection.scan_iter():
        yield key
        match connection.type(key):
            case b"string":
                values = [connection.get(key)]
            case b"hash":
                values = [part for item in connection.hgetall(key).items() for part in item]
            case b"list":
                values = connection.lrange(key, 0, -1)
            case b"set":
                values = list(connection.smembers(key))
            case b"zset":
                values = connection.zrange(key, 0, -1)
            case kind:
                values = [connection.dump(key)]
                assert kind in (b"stream", b"none")
        for value in filter(None, values):
            yield value
            for start in (0, 40):  # a job of RQ's; below the seal and the time of a cached value
                with contextlib.suppress(zlib.error):
                    yield zlib.decompress(value[start:])


@pytest.fixture(scope="module")
def guarded_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secret]:
    """A server that asks for a password."""
    port = free_port()
    url = f"redis://:{quote(REDIS_PASSWORD, safe='')}@127.0.0.1:{port}/0"
    with server(tmp_path_factory.mktemp("redis"), "--requirepass", REDIS_PASSWORD, port=port):
        wait_until(lambda: answers(url), "the server answers")
        yield Secret(url)


def answered(url: str, path: str, body: bytes | None = None) -> str:
    """Status, headers and text of an answer, for somebody with the board's token."""
    headers = {"Authorization": "Bearer board-token-new-4711", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, body, headers), timeout=60) as response:
            return f"{response.status} {response.headers} {response.read().decode()}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.headers} {error.read().decode()}"
    except OSError:
        return ""


def told(environment: dict[str, str], *arguments: str) -> str:
    """What a command prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "bot.cli", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ended.stdout + ended.stderr


class Onlooker:
    """Somebody with the board's token who looks at every page again and again, whatever goes wrong meanwhile."""

    def __init__(self, url: str, model: str) -> None:
        own = (f"/api/v1/models/{model}", "/api/v1/board", "/api/v1/service", "/api/v1/openapi.json")
        self._pages = ("/", "/metrics", "/readyz", "/x", *own)
        self._url = url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.shown: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_ended: object) -> None:
        self._stopped.set()
        self._thread.join()

    def saw(self, name: str) -> bool:
        """Whether a page showed a value under this name."""
        return any(re.search(rf'"{name}": ?"[^"]+"', text) for text in tuple(self.shown))

    def saw_failing(self) -> bool:
        """Whether a page showed a look that failed."""
        return any(re.search(r'"failing": ?\[\s*\{', text) for text in tuple(self.shown))

    def saw_no_redis(self) -> bool:
        """Whether a page was asked for that cannot be made without Redis."""
        return any(text.startswith("503") for text in tuple(self.shown))

    def _look(self) -> None:
        while not self._stopped.wait(0.05):
            self.shown |= {answered(self._url, page) for page in self._pages}
            self.shown |= {answered(self._url, f"/webhooks/{sender}", b"{}") for sender in ("github", "mlflow")}


class Faults:
    """What goes wrong while the story is told: each in turn, and over after a moment.

    MLflow comes back when a look has failed for it and the onlooker has read of it, Redis when the onlooker has met its
    absence; GitHub makes sense again when the onlooker has read of it.
    """

    def __init__(self, running: Service, url: Secret, onlooker: Onlooker) -> None:
        self._running = running
        self._admin = connect(url)
        self._signed_in = connect(url).client()  # one connection, which stays when the password is another
        self._locked: threading.Thread | None = None
        self._onlooker = onlooker
        self._next = itertools.cycle(
            [self._github(500), self._mlflow, self._nonsense, self._github(401), self._redis, self._github(403)]
        )
        self.found_in_redis: list[str] = []

    def __call__(self) -> None:
        if self._locked is not None:
            self._locked.join()
        self.found_in_redis += (
            each for value in everything_in(self._admin) for each in leaked(secrets_of(self._running), value)
        )
        next(self._next)()

    def _github(self, status: int) -> Callable[[], None]:
        return lambda: self._running.house.github.fail("^(GET|POST) ", 2, status)

    def _mlflow(self) -> None:
        self._running.mlflow.away = True
        threading.Thread(target=self._bring_mlflow_back).start()

    def _bring_mlflow_back(self) -> None:
        try:
            wait_until(lambda: self._logged("MLflow at"), "a look failed as MLflow is away")
            wait_until(lambda: self._onlooker.saw("said"), "a page says so")
        finally:
            self._running.mlflow.away = False

    def _logged(self, words: str) -> bool:
        return words in self._running.worker.log.read_text()

    def _nonsense(self) -> None:
        """Answers that nobody expects make looks fail by a mistake."""
        if not self._onlooker.saw_failing():
            self._running.house.github.fail("^GET .*/deployments$", 3, 200)

    def _redis(self) -> None:
        """Its password is changed, and everybody has to sign in anew."""
        self._signed_in.config_set("requirepass", "another")
        for client in self._signed_in.client_list():
            if client["id"] != str(self._signed_in.client_id()):
                self._signed_in.client_kill_filter(_id=client["id"])
        self._locked = threading.Thread(target=self._open_redis)
        self._locked.start()

    def _open_redis(self) -> None:
        try:
            wait_until(self._onlooker.saw_no_redis, "a page could not be made")
        finally:
            self._signed_in.config_set("requirepass", REDIS_PASSWORD)


@pytest.mark.slow
def test_no_secret_is_shown_whatever_happens(registry_url: str, guarded_redis: Secret, tmp_path: Path) -> None:
    further = {
        **PASSWORDS,
        "MLFLOW_TRACKING_URI": f"http://me:{URL_PASSWORD}@{{mlflow}}",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "PROMOTION_QUEUE_LEASE": "5s",  # so long a look keeps its key that could not write down its end
    }
    with service(registry_url, guarded_redis, tmp_path, further) as running:
        with web(running, tmp_path / "web.log") as url, Onlooker(url, running.house.model) as onlooker:
            faults = Faults(running, guarded_redis, onlooker)
            running.worker.start()
            running.disturb(faults, every=3)
            running.story()
            running.disturb(lambda: None)
            wait_until(lambda: running.house.model in "".join(tuple(onlooker.shown)), "the board shows the model")
        shown = sorted(onlooker.shown)
        logs = {name: (tmp_path / name).read_text() for name in ("worker.log", "web.log")}
        faults()
        secrets = secrets_of(running)

    assert len(running.disturbed) >= 5, "things went wrong"
    for said in ("GitHub could not answer", "GitHub does not accept", "lacks the permission", "MLflow at", "Redis"):
        assert said in logs["worker.log"]
    assert onlooker.saw("said"), "the pages were read while a service was away"
    assert onlooker.saw_failing(), "the pages were read while looks failed"
    assert onlooker.saw_no_redis(), "the pages were read while Redis was away"
    assert any(token.startswith("ghs_") for token in running.house.github.world.tokens)
    assert {name: leaked(secrets, log) for name, log in logs.items()} == {"worker.log": [], "web.log": []}
    assert leaked(secrets, "\n".join(shown)) == []
    assert leaked(secrets, "\n".join(running.github.sent)) == []
    assert leaked(secrets, "\n".join(running.mlflow.sent)) == []
    assert faults.found_in_redis == []


WRONG = {
    "nobody at MLflow": {"MLFLOW_TRACKING_URI": f"http://me:{URL_PASSWORD}@127.0.0.1:9"},
    "no such scheme at MLflow": {"MLFLOW_TRACKING_URI": f"what://me:{URL_PASSWORD}@127.0.0.1:9"},
    "a wrong password for Redis": {"REDIS_URL": "redis://:hunter2-4711@127.0.0.1:{redis}/0"},
    "no port for Redis": {"REDIS_URL": "redis://:hunter2-4711@127.0.0.1:x/0"},
    "a sentinel without a service": {"REDIS_URL": "redis+sentinel://:hunter2-4711@127.0.0.1:1"},
    "nobody at GitHub": {"GITHUB_API_URL": "http://127.0.0.1:9"},
    "a wrong token": {"GITHUB_TOKEN": "hunter2-4711", "GITHUB_APP_ID": "", "GITHUB_APP_PRIVATE_KEY": ""},
    "a token and an App": {"GITHUB_TOKEN": "hunter2-4711"},
    "a broken key": {"GITHUB_APP_PRIVATE_KEY": "-----BEGIN RSA PRIVATE KEY-----\nhunter2-4711\n-----END"},
}


@pytest.mark.slow
def test_no_command_prints_a_secret_of_a_setting_that_is_wrong(
    registry_url: str, guarded_redis: Secret, tmp_path: Path
) -> None:
    further = {**PASSWORDS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with service(registry_url, guarded_redis, tmp_path, further) as running:
        secrets = secrets_of(running) | {"hunter2-4711", base64.b64encode(b":hunter2-4711").decode()}
        redis_port = str(urlsplit(guarded_redis.reveal()).port)
        for what, wrong in WRONG.items():
            changed = {name: value.replace("{redis}", redis_port) for name, value in wrong.items()}
            said = told({**running.environment, **changed}, "doctor")
            assert said, what
            assert leaked(secrets, said) == [], f"{what}: {said}"


def test_a_leak_would_be_found(cache_url: Secret) -> None:
    connection = connect(cache_url)
    connection.flushall()
    connection.hset("a", "b", zlib.compress(b"my secret is out"))
    connection.set("c", b"\0" * 40 + zlib.compress(b"eyJhbGciOiJSUzI1NiJ9.eyJpYXQiOjE3NjM5.c2ln"))
    found = [each for value in everything_in(connection) for each in leaked({"secret"}, value)]
    assert found[0] == "secret" or found[1] == "secret"
    assert len(found) == 2
