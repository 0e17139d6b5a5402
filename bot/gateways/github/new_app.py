"""An App that GitHub just made of a manifest, in exchange for the code that it sent the browser back with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import requests

from bot.domain.errors import Refused, Service, Unreachable
from bot.settings import Secret

_TIMEOUT: Final = 20  # seconds
_CODE: Final = re.compile(r"[0-9A-Za-z_-]{1,100}")


@dataclass(frozen=True, slots=True)
class NewApp:
    """The App and its secrets, which GitHub shows this once; `page` is where it is installed from."""

    app_id: int
    slug: str
    page: str
    private_key: Secret
    webhook_secret: Secret


def new_app(api_url: str, code: str) -> NewApp:
    """Exchange the code, which is good once and for an hour.

    https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest
    """
    if not _CODE.fullmatch(code):
        raise Refused("GitHub sent no code: the App was not made")
    try:
        answer = requests.post(
            f"{api_url}/app-manifests/{code}/conversions",
            headers={"Accept": "application/vnd.github+json", "User-Agent": "promotion-bot"},
            timeout=_TIMEOUT,
            allow_redirects=False,
            auth=lambda request: request,  # else a .netrc would be sent
        )
    except requests.RequestException as error:
        raise Unreachable(f"GitHub does not answer: {type(error).__name__}", service=Service.GITHUB) from None
    if answer.status_code >= 500 or answer.status_code == 429:
        raise Unreachable(f"GitHub answered with {answer.status_code}", service=Service.GITHUB)
    if answer.status_code != 201:
        raise Refused(f"GitHub does not take its code, good once and for an hour, any more ({answer.status_code})")
    return _read(answer)


def _read(answer: requests.Response) -> NewApp:
    try:
        said: Any = answer.json()
        return NewApp(
            int(said["id"]),
            str(said["slug"]),
            str(said["html_url"]),
            Secret(str(said["pem"])),
            Secret(str(said["webhook_secret"])),
        )
    except (ValueError, KeyError, TypeError):
        raise Refused("GitHub's answer is no App; is GITHUB_API_URL right?") from None
