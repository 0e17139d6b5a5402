"""Who may write to Redis can ask for looks, and make no worker run, import, load or call anything else."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import pytest
import redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Callback, Job
from rq.serializers import JSONSerializer
from rq.webhook import Webhook

from bot.domain.keys import ModelKey, Urgency, dump_key
from bot.gateways.queue import RQ_QUEUES, WorkQueue
from bot.settings import Secret
from workers.process import dispatch
from workers.queued_job import ENTRY, QueuedLook

ROOT = Path(__file__).parents[2]
QUEUE = RQ_QUEUES[Urgency.PEOPLE]
KEY = dump_key(ModelKey("acme/models", "quick"))
# A module that shows whether anything of it was imported or called.
EVIL = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
def ran(*_arguments):
    Path(__file__).with_name("ran").touch()
"""
# A worker as the service starts it, which ends when its queues are empty.
WORKER = textwrap.dedent(
    """
    import os, sys
    from tests.workers import looks
    looks.stand_in()
    import workers.process
    from bot.settings import load_settings
    from rq import Worker
    from rq.job import Job
    if sys.argv[1] == "rq":
        workers.process.QueuedLook = Job
    class Once(workers.process.KeyWorker):
        def work(self, **options):
            Worker.work(self, burst=True, **options)
            self.is_told_to_stop = True
    workers.process.KeyWorker = Once
    workers.process.run_worker(load_settings(os.environ))
    """
)


class Opened:
    """Unpickled, it calls the evil module."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("import evil; evil.ran()",)


def jobs(connection: redis.Redis) -> Queue:
    return Queue(QUEUE, connection=connection, serializer=JSONSerializer)


def stored(connection: redis.Redis, job: str, **fields: bytes | str) -> None:
    """Write a job by hand, as somebody would who has only Redis, and put it into the queue."""
    connection.hset(f"rq:job:{job}", mapping={"origin": QUEUE, "status": "queued", **fields})  # type: ignore[arg-type]
    connection.rpush(f"rq:queue:{QUEUE}", job)


def packed(*call: object) -> bytes:
    return zlib.compress(json.dumps(call).encode())


def attack(connection: redis.Redis, folder: Path, told: str) -> None:
    """Everything that RQ would do for whoever writes to its Redis."""
    jobs(connection).enqueue_call("evil.ran", args=(KEY, "token"))
    jobs(connection).enqueue_call("os.system", args=(f"touch {folder / 'ran'}",))
    Queue(QUEUE, connection=connection).enqueue_call("evil.ran")  # in RQ's usual serializer, which is pickle
    stored(connection, "opened", data=zlib.compress(pickle.dumps(("evil.ran", None, (Opened(),), {}))))
    stored(connection, "bound", data=packed("__class__", "an instance", [], {}))
    for name, callback in {"on_success": "evil.ran", "on_failure": "evil.ran", "on_stopped": "evil.ran"}.items():
        jobs(connection).enqueue_call(ENTRY, args=(KEY, "token"), **{name: Callback(callback)})
        jobs(connection).enqueue_call(ENTRY, args=("no key", "token"), **{name: Callback(callback)})
    for status in ("finished", "failed"):
        jobs(connection).enqueue_call(ENTRY, args=(KEY, "token"), webhooks=[Webhook(told, status)])
    call = packed(ENTRY, None, [KEY, "token"], {})
    stored(connection, "remembers", data=call, result=pickle.dumps(Opened()), meta=pickle.dumps(Opened()))
    # One that was begun and left: a worker cleans up after it when it starts.
    connection.hset("rq:job:left", mapping={"data": call, "status": "started", "failure_callback_name": "evil.ran"})
    connection.zadd(f"rq:wip:{QUEUE}", {"left:execution": 1})


def work(url: Secret, environ: dict[str, str], folder: Path, as_whom: str) -> str:
    """Have one worker empty the queues; what it logged."""
    (folder / "evil.py").write_text(EVIL)
    environment = {
        **os.environ,
        **environ,
        "REDIS_URL": url.reveal(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]),
    }
    ended = subprocess.run(
        [sys.executable, "-c", WORKER, as_whom], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    return ended.stderr


def test_nothing_but_looks_is_run(
    valkey: redis.Redis, valkey_url: Secret, environ: dict[str, str], tmp_path: Path
) -> None:
    queue = WorkQueue(valkey)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        attack(valkey, tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}/")
        queue.request(ModelKey("acme/models", "quick"))
        dispatch(queue, {urgency: jobs(valkey) for urgency in Urgency})
        said = work(valkey_url, environ, tmp_path, "promotion-bot")
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert valkey.get(f"seen:done:{KEY}") == b"1", said
    assert valkey.llen(f"rq:queue:{QUEUE}") == 0
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"evil.py"}
    assert "it is not a look" in said


def test_rq_alone_would_have_run_it(
    valkey: redis.Redis, valkey_url: Secret, environ: dict[str, str], tmp_path: Path
) -> None:
    jobs(valkey).enqueue_call("evil.ran", args=(KEY, "token"))
    work(valkey_url, environ, tmp_path, "rq")
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not packed",
        zlib.compress(b"not JSON"),
        zlib.compress(b"[" * 60_000),
        zlib.compress(b" " * 10_000_000),
        pickle.dumps(Opened()),
        packed(),
        packed("workers.execution.run", None, [KEY, "token"], {}),
        packed(f"{ENTRY} ", None, [KEY, "token"], {}),
        packed(ENTRY, "instance", [KEY, "token"], {}),
        packed(ENTRY, None, [KEY], {}),
        packed(ENTRY, None, [KEY, "token", "more"], {}),
        packed(ENTRY, None, [KEY, {"token": 1}], {}),
        packed(ENTRY, None, [KEY, "token"], {"more": 1}),
        packed(ENTRY, None, ["no key", "token"], {}),
        packed(ENTRY, None, ['["repository",{}]', "token"], {}),
        packed(ENTRY, None, [KEY, "t" * 1000], {}),
    ],
)
def test_what_is_not_a_look_is_not_there(valkey: redis.Redis, data: bytes) -> None:
    stored(valkey, "forged", data=data)
    with pytest.raises(NoSuchJobError):
        QueuedLook.fetch("forged", connection=valkey, serializer=JSONSerializer)


def test_a_look_brings_only_its_key_and_token(valkey: redis.Redis) -> None:
    fields = {
        "timeout": "-1",
        "result_ttl": "-1",
        "dependency_ids": '["other"]',
        "retries_left": "1000000",
        "repeats_left": "1000000",
        "repeat_intervals": "[0]",
        "rate_limit_key": "x",
        "rate_limit_concurrency": "1",
        "group_id": "x",
        "success_callback_name": "evil.ran",
        "description": "x",
        "enqueue_at_front": "1",
    }
    stored(valkey, "dressed", data=packed(ENTRY, None, [KEY, "token"], {}), **fields)
    job = QueuedLook.fetch("dressed", connection=valkey, serializer=JSONSerializer)
    plain = Job("dressed", connection=valkey, serializer=JSONSerializer)
    assert (job.func_name, list(job.args), job.kwargs) == (ENTRY, [KEY, "token"], {})
    assert (job.timeout, job.result_ttl, job.failure_ttl) == (3600, 0, 3600)
    for name in ("_dependency_ids", "retries_left", "repeats_left", "rate_limit_key", "group_id", "success_callback"):
        assert getattr(job, name) == getattr(plain, name)
