"""Options and preparations that several commands share."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click

from bot import logs
from bot.domain.errors import Misconfigured
from bot.domain.versions import version_number
from bot.settings import Needs, Settings, load_settings


def version(text: str) -> int:
    """The type of an argument or option that is a version of a model: 7 or v7."""
    try:
        return version_number(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def address(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--host` and `--port`."""
    command = click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))(command)
    return click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")(command)


def prepared(needs: Needs = Needs.EVERYTHING, said: Mapping[str, str] | None = None) -> Settings:
    """The settings, and logging as a service wants it: a line an event on standard error.

    `said` are variables that the command line sets instead of the environment.
    """
    settings = load_settings({**os.environ, **(said or {})}, needs)
    logs.configure(settings.log_format)
    return settings


def expect_free(host: str, port: int) -> None:
    """Raise Misconfigured where nobody could listen on the address, instead of starting again and again."""
    _expect_free(host, port, f"--host {host} --port {port}")


def expect_free_for_metrics(host: str, settings: Settings) -> None:
    """The same for the metrics' own port, where they have one."""
    if settings.metrics_port is not None:
        _expect_free(host, settings.metrics_port, f"PROMOTION_METRICS_PORT={settings.metrics_port} on {host}")


def _expect_free(host: str, port: int, what: str) -> None:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise Misconfigured(f"{what}: {error.strerror or error}; choose another address") from error


def with_shared_queue(settings: Settings, command: str) -> Settings:
    """The settings, if they name a queue that other processes can reach too."""
    if settings.redis_url is None:
        raise Misconfigured(
            f"REDIS_URL is missing: `{command}` shares its queue with others. Set it, or run `promotion-bot up`"
        )
    return settings


@contextmanager
def queue_of_its_own(settings: Settings) -> Iterator[Settings]:
    """The settings with a queue: the one of REDIS_URL, else an embedded server that runs while the context lasts."""
    if settings.redis_url is not None:
        yield settings
        return
    from bot.gateways.embedded_redis import embedded_redis

    with embedded_redis(settings.data_dir) as url:
        yield replace(settings, redis_url=url)
