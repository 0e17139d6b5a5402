"""Who may be asked at all.

A remote's address comes from a training repository, so whoever may push there chooses where the bot looks and, worse,
whom it would show its credentials. Those go to the clouds' own addresses and to endpoints of the bot's environment;
other hosts, and directories of the bot's machine, are asked only where the operator names them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from bot.domain.errors import Misconfigured, Refused
from bot.gateways.artifacts.google import EMULATOR
from bot.gateways.dvc.documents import RemoteConfig
from bot.gateways.mlflow_api import redacted

_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}

# Amazon's own: a load balancer of anybody's may be called s3-something below the same domain.
_AMAZON: Final = re.compile(r"s3(\.dualstack)?([.-][a-z]{2}(-[a-z]+)+-\d)?\.amazonaws\.com(\.cn)?", re.ASCII)
_S3_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL")
_GOOGLE_ENDPOINTS: Final = (EMULATOR,)


@dataclass(frozen=True, slots=True)
class Access:
    """What the operator lets the bot look into, beside the clouds: directories, and hosts with or without a port."""

    roots: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = ()

    def allows(self, parts: SplitResult) -> bool:
        """Whether a host may be asked; one that is named without a port may be at the scheme's own."""
        return (parts.hostname or "") != "" and bool(
            {host_of(parts), f"{parts.hostname}:{_port(parts)}"} & set(self.hosts)
        )

    def s3_endpoint(self, config: RemoteConfig) -> str | None:
        """The address of a store that speaks S3, if credentials may be sent there; None where the remote says none."""
        url = config.options.get("endpointurl", "")
        if url:
            parts = parts_of(url, config.name)
            if parts.scheme == "https" and _AMAZON.fullmatch(host_of(parts)):
                return url
        return self._endpoint(config, _S3_ENDPOINTS)

    def google_endpoint(self, config: RemoteConfig) -> str | None:
        """The address of a store that speaks as Google's does, if credentials may be sent there; None as above."""
        return self._endpoint(config, _GOOGLE_ENDPOINTS)

    def _endpoint(self, config: RemoteConfig, own: tuple[str, ...]) -> str | None:
        url = config.options.get("endpointurl", "")
        if not url:
            return None
        parts = parts_of(url, config.name)
        environment = {os.environ.get(name, "").rstrip("/") for name in own}
        if url.rstrip("/") in environment or (parts.scheme in _PORTS and self.allows(parts)):
            return url
        raise Misconfigured(not_named(config, host_of(parts), "the bot shows its credentials only to hosts"))


def parts_of(url: str, name: str) -> SplitResult:
    """The parts of the address of the remote `name`; Refused where it is none."""
    try:
        parts = urlsplit(url)
        _port(parts)
    except ValueError as error:
        raise Refused(f"the DVC remote “{name}” has no address that can be read: {redacted(url)[:200]}") from error
    if not url or not url.isprintable():
        raise Refused(f"the DVC remote “{name}” has no address that can be read: {redacted(url)[:200]!r}")
    return parts


def host_of(parts: SplitResult) -> str:
    """The host, with its port where that is not the scheme's own."""
    host, port = parts.hostname or "", _port(parts)
    return host if port == _PORTS.get(parts.scheme) else f"{host}:{port}"


def not_named(config: RemoteConfig, host: str, why: str) -> str:
    """What to say of a host that the operator has to name first."""
    return (
        f"the DVC remote “{config.name}” is at {host[:200] or 'no host'}, and {why} that PROMOTION_DVC_HOSTS names:"
        f" add it there if it is yours"
    )


def _port(parts: SplitResult) -> int | None:
    return parts.port or _PORTS.get(parts.scheme)
