"""Real worker processes on a real queue: what is killed is picked up, what is stopped ends, nothing overlaps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from bot.domain.keys import Key, ModelKey, RepositoryKey, dump_key
from bot.gateways.embedded_redis import embedded_redis
from bot.gateways.queue import ACTIVE, INBOX, WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Secret
from tests.conftest import wait_until
from tests.passing import end_leases, make_due

ROOT = Path(__file__).parents[2]
PROGRAM = textwrap.dedent(
    """
    import os
    from tests.workers import looks
    looks.stand_in()
    import workers.process
    workers.process._GRACE = 300  # seconds; a slow machine is no reason to drop a look
    from bot.settings import load_settings
    from workers.process import Supervisor, add_workers
    with Supervisor() as supervisor:
        add_workers(supervisor, load_settings(os.environ), workers=2)
        supervisor.wait()
    """
)


class House:
    """A running supervisor with two workers, and what their looks left behind."""

    def __init__(self, process: subprocess.Popen[bytes], valkey: redis.Redis) -> None:
        self.process = process
        self.valkey = valkey
        self.queue = WorkQueue(valkey)

    def began(self, key: Key) -> list[int]:
        """The processes in which looks at the key began, in order."""
        return [int(pid) for pid in self.valkey.lrange(f"seen:began:{dump_key(key)}", 0, -1)]

    def done(self, key: Key) -> int:
        return int(self.valkey.get(f"seen:done:{dump_key(key)}") or 0)

    def lease_end(self, key: Key) -> float:
        return self.valkey.zscore(ACTIVE, dump_key(key)) or 0.0

    def go(self) -> None:
        self.valkey.set("seen:go", 1)

    def overlaps(self) -> int:
        return int(self.valkey.get("seen:overlaps") or 0)

    def worker_of(self, horse: int) -> int:
        parent = psutil.Process(horse).parent()
        assert parent is not None
        return parent.pid


@pytest.fixture
def lease() -> str:
    """Longer than a busy machine lets a process stand still: a test that wants its end says so."""
    return "12s"


@pytest.fixture
def environment(valkey_url: Secret, environ: dict[str, str], lease: str) -> dict[str, str]:
    """That of a supervisor with its workers."""
    return {
        **os.environ,
        **environ,
        "REDIS_URL": valkey_url.reveal(),
        "PROMOTION_QUEUE_LEASE": lease,
        "PROMOTION_REPOSITORIES": "acme/models",
    }


@contextmanager
def another(environment: dict[str, str], program: str = PROGRAM) -> Iterator[subprocess.Popen[bytes]]:
    """A second supervisor on the same queue, up when this begins and gone when it ends."""
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, cwd=ROOT)
    try:
        wait_until(lambda: len(psutil.Process(process.pid).children()) == 3, "its scheduler and two workers")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.fixture
def house(valkey: redis.Redis, environment: dict[str, str]) -> Iterator[House]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT)
    house = House(process, valkey)
    family: list[psutil.Process] = []
    try:
        wait_until(lambda: house.done(RepositoryKey("acme/models")), "the sweep at the start")
        family = psutil.Process(process.pid).children(recursive=True)
        yield house
    finally:
        house.go()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        wait_until(lambda: not any(alive(child) for child in family), "nothing is left running")


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def model(name: str) -> ModelKey:
    return ModelKey("acme/models", name)


def test_a_request_is_looked_at_and_one_during_the_look_once_more(house: House) -> None:
    key = model("slow")
    house.queue.request(key)
    wait_until(lambda: house.began(key), "the look began")
    for _ in range(5):
        house.queue.request(key)
    house.go()
    wait_until(lambda: house.done(key) == 2, "one more look")
    wait_until(lambda: house.queue.depth().active == 0, "both ended")
    assert len(house.began(key)) == 2
    assert house.overlaps() == 0


def test_a_killed_work_horse_gives_its_key_back(house: House) -> None:
    key = model("slow")
    house.queue.request(key)
    wait_until(lambda: house.began(key), "the look began")
    os.kill(house.began(key)[0], signal.SIGKILL)
    house.valkey.delete(f"seen:inside:{dump_key(key)}")  # the dead cannot take their mark away
    wait_until(lambda: len(house.began(key)) == 2, "another horse has the key")
    house.go()
    wait_until(lambda: house.done(key) == 1, "it is looked at")


def test_a_killed_worker_leaves_its_horse_which_keeps_the_key_alone(house: House) -> None:
    key, other = model("blocked"), model("quick")
    house.queue.request(key)
    wait_until(lambda: house.began(key), "the look began")
    horse = house.began(key)[0]
    worker = house.worker_of(horse)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(worker), "the worker is gone")
    house.queue.request(key)
    for _ in range(2):
        house.valkey.zadd(ACTIVE, {dump_key(key): 1e11}, xx=True)
        wait_until(lambda: 0 < house.lease_end(key) < 1e11, "the horse says anew how long its lease is")
        looked = house.done(other)
        house.queue.request(other)
        wait_until(lambda looked=looked: house.done(other) > looked, "others go on")
    assert house.began(key) == [horse]
    house.go()
    wait_until(lambda: house.done(key) == 2, "the horse ended, and then the request that came meanwhile")
    assert house.overlaps() == 0


def test_workers_wait_while_redis_refuses_writes(house: House) -> None:
    """As with a full disk: they do not end, since who is started again and again is started later and later."""
    key = model("blocked")
    house.queue.request(key)
    wait_until(lambda: house.began(key), "the look began")
    horse = house.began(key)[0]
    worker = house.worker_of(horse)
    house.valkey.config_set("min-replicas-to-write", 1)
    try:
        os.kill(horse, signal.SIGKILL)
        wait_until(lambda: refused(house, "sadd") > 1, "the worker was refused, and tried to begin anew")
    finally:
        house.valkey.config_set("min-replicas-to-write", 0)
    house.valkey.delete(f"seen:inside:{dump_key(key)}")
    end_leases(house.valkey, key)
    house.go()
    wait_until(lambda: house.done(key) == 1, "it is looked at")
    assert psutil.pid_exists(worker)


def refused(house: House, command: str) -> int:
    """How often the server refused a command."""
    statistics: dict[str, dict[str, int]] = house.valkey.info("commandstats")  # type: ignore[assignment]
    return statistics.get(f"cmdstat_{command}", {}).get("rejected_calls", 0)


def test_an_emptied_redis_is_survived(house: House) -> None:
    key, other = model("slow"), model("quick")
    house.queue.request(key)
    wait_until(lambda: house.began(key), "the look began")
    horse = house.began(key)[0]
    house.valkey.flushall()
    wait_until(lambda: not psutil.pid_exists(horse), "the look stops at its next effect")
    assert house.done(key) == 0
    house.queue.request(other)
    wait_until(lambda: house.done(other), "the workers go on")


def test_what_is_away_is_tried_until_it_answers(house: House) -> None:
    key = model("away")
    house.queue.request(key)
    wait_until(lambda: len(house.began(key)) >= 2, "a second try")
    house.go()

    def worked() -> int:
        make_due(house.valkey, key)  # however long the last tries make it wait
        return house.done(key)

    wait_until(worked, "the try that worked")


def test_a_mistake_is_not_repeated_and_leaves_no_record_in_rq(house: House) -> None:
    key = model("wrong")
    house.queue.request(key)
    wait_until(lambda: house.queue.depth().active == 0 and house.began(key), "the look failed")
    house.queue.request(model("quick"))
    wait_until(lambda: house.done(model("quick")), "others go on")
    assert len(house.began(key)) == 1
    wait_until(lambda: not list(house.valkey.scan_iter("rq:job:*")), "no job is kept")


def test_a_child_that_dies_is_started_again(house: House) -> None:
    supervisor = psutil.Process(house.process.pid)
    before = {child.pid for child in supervisor.children()}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len({c.pid for c in supervisor.children() if alive(c)} - before) == 3, "three new children")
    house.queue.request(model("quick"))
    wait_until(lambda: house.done(model("quick")), "and they work")


def test_a_stop_lets_the_running_look_end(house: House) -> None:
    key = model("slow")
    house.queue.request(key)
    wait_until(lambda: house.began(key), "the look began")
    house.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        house.process.wait(0.5)
    house.go()
    assert house.process.wait(60) == 0
    assert house.done(key) == 1


@pytest.mark.slow
def test_what_does_not_end_in_its_grace_time_is_handed_to_the_next_worker(
    house: House, environment: dict[str, str]
) -> None:
    hasty = PROGRAM.replace("_GRACE = 300", "_GRACE = 1.5")
    key = model("blocked")
    with another(environment, hasty) as short_lived:
        stop(house)
        house.queue.request(key)
        wait_until(lambda: house.began(key), "the look began")
        short_lived.send_signal(signal.SIGTERM)
        assert short_lived.wait(60) == 0
        assert house.done(key) == 0
    house.valkey.delete(f"seen:inside:{dump_key(key)}")  # the dead cannot take their mark away
    end_leases(house.valkey, key)
    with another(environment):
        wait_until(lambda: len(house.began(key)) == 2, "the next worker has it")
        house.go()
        wait_until(lambda: house.done(key) == 1, "it is looked at")


@pytest.mark.slow
def test_a_rolling_update_loses_no_work_while_both_run(house: House, environment: dict[str, str]) -> None:
    slow, keys = model("slow"), [model(f"m{n}") for n in range(60)]
    house.queue.request(slow, *keys[:20])
    wait_until(lambda: house.began(slow), "the old one looks")
    with another(environment):
        house.queue.request(*keys[20:40])
        house.process.send_signal(signal.SIGTERM)
        house.queue.request(*keys[40:])
        wait_until(lambda: all(house.done(key) for key in keys), "the new one does what waits, and what comes")
        assert house.process.poll() is None, "the old one still has its look"
        house.go()
        assert house.process.wait(60) == 0
        assert house.done(slow) == 1
        wait_until(lambda: house.queue.depth().due == 0, "nothing is left")
    assert house.overlaps() == 0


@pytest.mark.slow
@pytest.mark.parametrize("lease", ["3s"])  # the older one drops jobs of the newer one, whose keys wait for their leases
def test_a_rolling_update_to_a_version_that_writes_otherwise_loses_no_work(
    house: House, environment: dict[str, str]
) -> None:
    """Another kind of key, and other forms of tokens, jobs and rows in Redis: see `newer.py`."""
    keys, wrong, strange = [model(f"m{n}") for n in range(40)], model("wrong"), '["data-set","acme/models","prices"]'
    with another(environment, f"import tests.workers.newer\n{PROGRAM}"):
        house.queue.request(*keys[:20])
        house.valkey.zadd(INBOX, {strange: 0})
        for looks in range(1, 9):
            house.queue.request(wrong)
            wait_until(lambda looks=looks: len(house.began(wrong)) >= looks, "one or the other looks, and fails")
        wait_until(lambda: all(house.done(key) for key in keys[:20]), "one or the other does it")
        rows = [json.loads(row) for row in house.valkey.hvals("promotion:failing")]
        assert rows, "what the one wrote the other has read"
        assert house.queue.troubles.failing() is not None
        stop(house)
        house.queue.request(*keys[20:])
        if house.valkey.zscore(INBOX, strange):  # put back for some seconds by the one that does not know it
            house.valkey.zadd(INBOX, {strange: 0})
        wait_until(lambda: house.valkey.get(f"seen:done:{strange}"), "the later one does what only it knows")
        wait_until(lambda: all(house.done(key) for key in keys), "and all the rest")
        wait_until(lambda: house.queue.depth().active == 0, "nothing is left under a token that nobody has")
    assert house.overlaps() == 0
    assert house.queue.depth().due == 0


def stop(house: House) -> None:
    house.process.send_signal(signal.SIGTERM)
    assert house.process.wait(60) == 0


def test_a_killed_supervisor_takes_its_children_along(house: House) -> None:
    children = psutil.Process(house.process.pid).children(recursive=True)
    house.process.kill()
    wait_until(lambda: not any(alive(child) for child in children), "no orphans")


# --- the embedded server ----------------------------------------------------------------------------------------------


def test_the_embedded_queue_survives_a_restart_and_is_private(tmp_path: Path) -> None:
    key = model("quick")
    with embedded_redis(tmp_path) as url:
        WorkQueue(connect(url)).request(key)
        assert connect(url).config_get("port") == {"port": "0"}
        socket = Path(url.reveal().removeprefix("unix://"))
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    with embedded_redis(tmp_path) as url:
        assert [c.key for c in WorkQueue(connect(url)).claim()] == [key]


def test_a_data_directory_in_use_is_said(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from bot.gateways.embedded_redis import embedded_redis\n"
        "with embedded_redis(Path(sys.argv[1])): pass"
    )
    with embedded_redis(tmp_path):
        second = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
        )
    assert "Misconfigured" in second.stderr
    assert "is in use by another promotion-bot" in second.stderr


def test_a_server_left_behind_is_taken_over_with_its_data(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from bot.gateways.embedded_redis import embedded_redis\n"
        "with embedded_redis(Path(sys.argv[1])) as url: print(url.reveal(), flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    left_behind = connect(Secret(killed.stdout.strip()))
    old = left_behind.info("server")["process_id"]
    WorkQueue(left_behind).request(model("quick"))
    with embedded_redis(tmp_path) as url:
        assert connect(url).info("server")["process_id"] != old
        assert [c.key for c in WorkQueue(connect(url)).claim()] == [model("quick")]
    wait_until(lambda: not psutil.pid_exists(old), "the old server is gone")


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    with embedded_redis(tmp_path / ("long" * 30)) as url:
        WorkQueue(connect(url)).ready()


def test_ctrl_c_does_not_reach_the_server(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as url:
        server = connect(url)
        os.kill(server.info("server")["process_id"], signal.SIGINT)
        for _ in range(20):
            assert server.ping()
