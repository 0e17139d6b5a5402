"""The worker's health check: a worker of this host lives, whatever became of Redis meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import redis
from rq import Worker

from bot.domain.errors import Misconfigured, Unreachable
from bot.settings import Secret, load_settings
from workers.alive import is_alive, worker_name


def test_a_worker_of_this_host_is_heard_of_until_it_ends(
    valkey: redis.Redis, valkey_url: Secret, environ: dict[str, str]
) -> None:
    settings = load_settings({**environ, "REDIS_URL": valkey_url.reveal()})
    Worker(["looks"], name="elsewhere.1", connection=valkey).register_birth()
    assert not is_alive(settings)
    worker = Worker(["looks"], name=worker_name(), connection=valkey)
    worker.register_birth()
    assert is_alive(settings)
    valkey.flushall()
    assert not is_alive(settings)
    worker.heartbeat()
    assert is_alive(settings)
    worker.register_death()
    valkey.delete(worker.key)  # which RQ lets expire
    assert not is_alive(settings)


def test_no_queue_is_no_sign_of_life(environ: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="REDIS_URL is missing"):
        is_alive(load_settings(environ))
    with pytest.raises(Unreachable):
        is_alive(load_settings({**environ, "REDIS_URL": "redis://127.0.0.1:9/0"}))


def test_the_exit_code_says_it(valkey: redis.Redis, valkey_url: Secret) -> None:
    environment = {**os.environ, "REDIS_URL": valkey_url.reveal()}
    command = [sys.executable, "-m", "workers.alive"]
    dead = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert dead.returncode == 1
    assert "no worker of" in dead.stderr
    Worker(["looks"], name=worker_name(), connection=valkey).register_birth()
    assert subprocess.run(command, env=environment, timeout=120).returncode == 0
