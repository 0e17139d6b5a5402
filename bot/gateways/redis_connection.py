"""Connections to Redis, plain or through Sentinel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from bot.domain.errors import Misconfigured, Unreachable
from bot.settings import Secret

PREFIX: Final = "promotion:"
_CONNECT: Final = 2.0  # seconds; a webhook's sender waits for it
_ANSWER: Final = 5.0  # seconds


def connect(url: Secret) -> redis.Redis:
    """A connection pool for `redis://`, `rediss://`, `unix://` or `redis+sentinel://host:port,…/service`.

    Raises Misconfigured for a URL that cannot be read; nothing is connected to yet.
    """
    return _connect(url, _ANSWER)


def connect_waiting(url: Secret) -> redis.Redis:
    """A connection pool for commands that wait on the server for as long as they say themselves, as RQ's do."""
    return _connect(url, None)


def _connect(url: Secret, answer: float | None) -> redis.Redis:
    # One more try is for a connection that died while it was idle; whoever calls knows better when to come again.
    options: dict[str, Any] = {
        "socket_connect_timeout": _CONNECT,
        "socket_timeout": answer,
        "retry": Retry(NoBackoff(), 1),
        "health_check_interval": 30,
    }
    text = url.reveal()
    try:
        if text.startswith("redis+sentinel://"):
            return _through_sentinel(text, options)
        if text.startswith("unix://"):
            del options["socket_connect_timeout"]
        return redis.Redis.from_url(text, **options)
    except ValueError as error:
        # The error may quote the URL, which may hold a password.
        raise Misconfigured(
            "REDIS_URL cannot be read; for example: redis://redis:6379/0 or "
            "redis+sentinel://:password@host-1:26379,host-2:26379/service?db=0"
        ) from error


def _through_sentinel(text: str, options: dict[str, Any]) -> redis.Redis:
    """`redis+sentinel://[user:password@]host:port[,host:port…]/service[?db=0]`; the credentials are the server's."""
    parts = urlsplit(text)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    service = parts.path.strip("/")
    if not hosts or not service or "/" in service:
        raise ValueError("no hosts or no service")
    addresses = [(host.rpartition(":")[0] or host, int(host.rpartition(":")[2])) for host in hosts.split(",")]
    # redis-py would ask one Sentinel that is away again and again, for seconds, before it asks the next.
    asked = {"socket_connect_timeout": _CONNECT, "socket_timeout": _ANSWER, "retry": Retry(NoBackoff(), 0)}
    sentinel = Sentinel(addresses, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    master: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        service,
        db=int(parse_qs(parts.query).get("db", ["0"])[0]),
        username=unquote(user) or None,
        password=unquote(password) or None,
        **options,
    )
    return master


@contextmanager
def asked_of_redis() -> Iterator[None]:
    """Redis' errors as the product's own."""
    try:
        yield
    except (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise Misconfigured("Redis does not accept the credentials in REDIS_URL") from error
    except redis.exceptions.ResponseError as error:
        # Its first word is a code, such as MISCONF where the disk is full, READONLY, NOREPLICAS or LOADING.
        raise Unreachable(f"Redis refuses what it is asked: {_code(error)}") from error
    except redis.exceptions.RedisError as error:
        raise Unreachable(f"Redis does not answer: {type(error).__name__}") from error


def _code(error: redis.exceptions.ResponseError) -> str:
    """The code of Redis' error; its text may quote what was asked."""
    first = str(error).partition(" ")[0]
    return first if first.isupper() else type(error).__name__
