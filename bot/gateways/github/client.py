"""Requests to GitHub's REST API: who asks, conditional reads, pages, and errors as the product's own.

PyGithub signs in (App or token) and carries the requests. Its objects are not used: they fetch lazily, and how many
requests a promotion costs is part of what this project promises.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import requests
from github import Auth, Github, GithubException
from github.Requester import Requester
from opentelemetry.trace import SpanKind

from bot import tracing
from bot.domain.errors import Misconfigured, Refused, Service, Unreachable
from bot.domain.keys import Urgency
from bot.domain.pull_requests import Login
from bot.gateways.cache import Cache
from bot.gateways.github.budget import Budget, owner_of
from bot.gateways.github.pace import Pace
from bot.gateways.measurements import ALLOWED, BUDGET, TOKEN, Measurements
from bot.settings import AppCredentials, Secret, is_installation_token

_TIMEOUT: Final = 20  # seconds for one request
_SHORTEST_PAUSE: Final = 60.0  # seconds, as GitHub wants it where it names no time
_SIGNED_WITH: Final = "RS256"  # the only one that GitHub takes from an App
_DAY: Final = 86_400
_CONDITIONAL_TTL: Final = 7 * _DAY
_IMMUTABLE_TTL: Final = 30 * _DAY
# Whose an installation's token is cannot be asked with it. No account has this name, so nothing of anybody's counts as
# its own.
_SOME_APP: Final = "an App's installation"

JSON = Any  # a decoded answer; typed by the functions that read it, never passed on


class GitHubRefusal(Refused):
    """GitHub understood and said no: a 404, 405, 409 or 422. `status` and `messages` are GitHub's."""

    def __init__(self, status: int, what: str, messages: str) -> None:
        super().__init__(f"GitHub refused {what}: {messages} ({status})")
        self.status = status
        self.messages = messages


@dataclass(frozen=True, slots=True)
class _Request:
    """One request to the API, before somebody signs it."""

    verb: str
    path: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


class GitHubClient:
    """The REST API as the bot sees it; one for the process, safe to use after a fork.

    `bot` is whose records count where the credentials are not the bot's own but a person's who only looks.
    """

    def __init__(
        self,
        api_url: str,
        credentials: AppCredentials | Secret,
        cache: Cache,
        served: Sequence[str] = (),
        bot: Login | None = None,
        measurements: Measurements | None = None,
    ) -> None:
        self._measurements = measurements or Measurements(None)
        self._api_url = api_url.rstrip("/")
        self._host = urlsplit(self._api_url).hostname
        self._credentials = credentials
        self._cache = cache
        self._requesters: dict[str, Requester] = {}
        self._installations: dict[str, int] = {}
        self._memo: dict[str, JSON] = {}
        self._login = bot
        self._urgency = Urgency.PEOPLE
        self.answered: Final[set[Service]] = set()  # since `serve` was called
        who = credentials.app_id if isinstance(credentials, AppCredentials) else credentials.reveal()
        self._who = hashlib.sha256(f"{self._api_url} {who}".encode()).hexdigest()[:16]
        self._pace = Pace(cache.connection, self._who)
        account_of = owner_of if self.app_id is not None else (lambda _repository: "")
        self.budget = Budget(cache.connection, self._who, served, account_of)

    @property
    def app_id(self) -> int | None:
        """The App that the bot is; None where it has a token and can therefore write no check runs."""
        return int(self._credentials.app_id) if isinstance(self._credentials, AppCredentials) else None

    def login(self) -> Login:
        """The bot's own login, `<slug>[bot]` for an App."""
        if self._login is None:
            key = f"github:login:{self._who}"
            known = self._cache.get(key)
            self._login = Login(known.decode() if known else self._ask_login())
            self._cache.set(key, self._login.encode(), _DAY)
        return self._login

    def _ask_login(self) -> str:
        if self.app_id is None:
            return _SOME_APP if is_installation_token(self._credentials) else str(self.get("", "/user")["login"])
        return f"{self.ask_as_app('/app')['slug']}[bot]"

    def permissions(self, repository: str) -> dict[str, str]:
        """What the App may do in a repository, as GitHub says now; raises Misconfigured where it is not installed."""
        try:
            answer = self.ask_as_app(f"/repos/{repository}/installation")
        except GitHubRefusal as refusal:
            raise self._not_installed(repository) from refusal
        return {str(name): str(level) for name, level in (answer.get("permissions") or {}).items()}

    def ask_as_app(self, path: str) -> JSON:
        """What GitHub answers the App itself, never from the cache; raises Misconfigured for a token."""
        return self._send(self._as_app(), _Request("GET", path))[1]

    def ask(self, repository: str, path: str) -> tuple[JSON, Mapping[str, str]]:
        """An answer with its headers, whose names are in lower case, never from the cache."""
        return self._request(repository, _Request("GET", path))[1:]

    def _not_installed(self, repository: str) -> Misconfigured:
        return Misconfigured(
            f"the GitHub App {self.app_id} is not installed on {repository}: install it there, or take the"
            " repository out of PROMOTION_REPOSITORIES"
        )

    def prepare(self, repository: str) -> None:
        """Sign in now, so that processes forked afterwards share the installation's token while it is valid."""
        requester = self._requester(repository)
        auth = requester.auth
        if auth is not None:
            try:
                _ = auth.token
            except (GithubException, requests.RequestException) as error:
                raise _translated(error, "the sign-in") from error

    # --- reading --------------------------------------------------------------------------------------------------

    def get(self, repository: str, path: str, /, **parameters: object) -> JSON:
        """The answer of one GET, asked for conditionally: unchanged, it costs nothing of GitHub's rate limit."""
        return self._conditional(repository, path, parameters)["body"]

    def get_or_none(self, repository: str, path: str, /, **parameters: object) -> JSON | None:
        """Like `get`; None where GitHub has no such thing."""
        try:
            return self.get(repository, path, **parameters)
        except GitHubRefusal as refusal:
            if refusal.status in (404, 409, 410):  # 409: the repository is empty
                return None
            raise

    def pages(self, repository: str, path: str, /, **parameters: object) -> Iterator[list[JSON]]:
        """The pages of a list, a hundred items each, read as far as the caller goes."""
        page = 1
        while True:
            answer = self._conditional(repository, path, {"per_page": 100, **parameters, "page": page})
            body = answer["body"]
            yield body if isinstance(body, list) else next(v for v in body.values() if isinstance(v, list))
            if 'rel="next"' not in answer["link"]:
                return
            page += 1

    def immutable(self, repository: str, path: str) -> JSON:
        """What stands below a git object id never changes: asked for once, then kept."""
        key = self._key("immutable", repository, path)
        if key in self._memo:
            return self._memo[key]
        known = self._cache.get(key)
        if known is None:
            body = self._request(repository, _Request("GET", path))[1]
            self._cache.set(key, json.dumps(body).encode(), _IMMUTABLE_TTL)
        else:
            body = json.loads(known)
        self._memo[key] = body
        return body

    def remember(self, repository: str, path: str, body: JSON) -> None:
        """Keep what is known already as the answer of `immutable` for `path`."""
        key = self._key("immutable", repository, path)
        self._memo[key] = body
        self._cache.set(key, json.dumps(body).encode(), _IMMUTABLE_TTL)

    # --- writing --------------------------------------------------------------------------------------------------

    def write(self, repository: str, verb: str, path: str, body: Mapping[str, object] | None = None) -> JSON:
        """The answer of one POST, PATCH, PUT or DELETE; raises GitHubRefusal where GitHub says no."""
        self._pace.wait(verb, path)
        try:
            return self._request(repository, _Request(verb, path, body=body))[1]
        except Unreachable as error:
            if error.retry_after is not None:
                self._pace.slow_down()
            raise

    # --- how ------------------------------------------------------------------------------------------------------

    def _conditional(self, repository: str, path: str, parameters: Mapping[str, object]) -> dict[str, JSON]:
        query = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
        key = self._key("conditional", repository, f"{path}?{query}")
        known = self._cache.get(key)
        stored: dict[str, JSON] | None = json.loads(known) if known else None
        headers = {"If-None-Match": stored["etag"]} if stored else {}
        status, body, answered = self._request(repository, _Request("GET", path, parameters, headers))
        if status == 304 and stored is not None:
            return stored
        answer = {"etag": answered.get("etag", ""), "link": answered.get("link", ""), "body": body}
        if answer["etag"]:
            self._cache.set(key, json.dumps(answer).encode(), _CONDITIONAL_TTL)
        return answer

    def serve(self, urgency: Urgency) -> None:
        """Spend the hour's requests as a look of this urgency may, from now on."""
        self.answered.clear()
        self._urgency = urgency

    def _request(self, repository: str, request: _Request) -> tuple[int, JSON, Mapping[str, str]]:
        self.budget.expect(repository, self._urgency)
        try:
            status, body, headers = self._send(self._requester(repository), request)
        except Unreachable as error:
            if error.retry_after is not None:
                self.budget.pause(repository, error.retry_after)
            if self.answered:
                error.service = None  # one request that failed among others that were answered is no outage
            raise
        self.answered.add(Service.GITHUB)
        if status != 304:
            self.budget.heard(repository, headers)
            self._keep_budget(repository, headers)
        return status, body, headers

    def _keep_budget(self, repository: str, headers: Mapping[str, str]) -> None:
        account = owner_of(repository) if self.app_id is not None else TOKEN
        for metric, name in ((BUDGET, "remaining"), (ALLOWED, "limit")):
            if (said := headers.get(f"x-ratelimit-{name}", "")).isdigit():
                self._measurements.keep(metric, float(said), account)

    def _send(self, requester: Requester, request: _Request) -> tuple[int, JSON, Mapping[str, str]]:
        started, status = time.perf_counter(), "none"
        about = {"http.request.method": request.verb, "url.path": request.path, "server.address": self._host}
        try:
            with tracing.inside(f"GitHub {request.verb}", about, SpanKind.CLIENT) as span:
                answer = self._answered(requester, request)
                span.set_attribute("http.response.status_code", answer[0])
            status = f"{answer[0] // 100}xx"
        except (Refused, Misconfigured):
            status = "4xx"
            raise
        finally:
            self._measurements.request("github", status, time.perf_counter() - started)
        return answer

    @staticmethod
    def _answered(requester: Requester, request: _Request) -> tuple[int, JSON, Mapping[str, str]]:
        what, body = str(request), None if request.body is None else dict(request.body)
        try:
            status, answered, text = requester.requestJson(
                request.verb, request.path, dict(request.parameters), dict(request.headers), body
            )
        except (GithubException, requests.RequestException) as error:
            raise _translated(error, what) from error
        if status >= 400:
            raise _refusal(status, what, answered, text)
        try:
            return status, json.loads(text) if text else None, answered
        except ValueError as error:
            raise Unreachable(f"GitHub's answer to {what} was not JSON; is GITHUB_API_URL right?") from error

    def _requester(self, repository: str) -> Requester:
        """The signed-in connection that may act on `repository`; its owner decides which installation that is."""
        owner = repository.partition("/")[0]
        if owner not in self._requesters:
            if isinstance(self._credentials, Secret):
                auth: Auth.Auth = Auth.Token(self._credentials.reveal())
            else:
                auth = self._app_auth.get_installation_auth(self._installation(repository))
            self._requesters[owner] = self._connect(auth)
        return self._requesters[owner]

    def _installation(self, repository: str) -> int:
        key = f"github:installation:{self._who}:{repository}"
        known = self._cache.get(key)
        if known is not None:
            return int(known)
        try:
            answer = self.ask_as_app(f"/repos/{repository}/installation")
        except GitHubRefusal as refusal:
            raise self._not_installed(repository) from refusal
        self._cache.set(key, str(answer["id"]).encode(), _DAY)
        return int(answer["id"])

    def _as_app(self) -> Requester:
        return self._connect(self._app_auth)

    @cached_property
    def _app_auth(self) -> Auth.AppAuth:
        """The App itself; its key is read once, which takes many times as long as signing with it."""
        if not isinstance(self._credentials, AppCredentials):
            raise Misconfigured("this needs a GitHub App: set GITHUB_APP_ID and its private key")
        try:
            key = jwt.get_algorithm_by_name(_SIGNED_WITH).prepare_key(self._credentials.private_key.reveal())
        except (ValueError, TypeError, jwt.PyJWTError):
            key = None  # and nothing of the message, which can hold part of it
        if not hasattr(key, "sign"):  # or it is a public key
            raise Misconfigured("GITHUB_APP_PRIVATE_KEY is not an RSA private key in PEM form")
        sign = partial(jwt.encode, key=key, algorithm=_SIGNED_WITH)
        return Auth.AppAuth(int(self._credentials.app_id), sign_func=sign)

    def _connect(self, auth: Auth.Auth) -> Requester:
        # Retries and pauses belong to the queue: a job that waits holds a worker, a key that waits does not.
        return Github(
            base_url=self._api_url,
            auth=auth,
            timeout=_TIMEOUT,
            retry=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            user_agent="promotion-bot",
        ).requester

    def _key(self, kind: str, repository: str, path: str) -> str:
        digest = hashlib.sha256(f"{repository} {path}".encode()).hexdigest()
        return f"github:{kind}:{self._who}:{digest}"


def _translated(error: Exception, what: str) -> Exception:
    if isinstance(error, GithubException):
        return _refusal(error.status, what, error.headers or {}, json.dumps(error.data))
    return Unreachable(f"GitHub could not be reached for {what}: {type(error).__name__}", service=Service.GITHUB)


def _refusal(status: int, what: str, headers: Mapping[str, str], text: str) -> Exception:
    """GitHub's error as ours (https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api)."""
    message = _messages(text)
    limited = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or "rate limit" in message.lower()
    if status == 429 or (status == 403 and limited):
        return Unreachable(f"GitHub asks for a pause after {what}: {message}", _pause(headers) or _SHORTEST_PAUSE)
    if status >= 500:
        return Unreachable(f"GitHub could not answer {what}: {status}", _pause(headers), Service.GITHUB)
    if status == 401:
        return Misconfigured(
            f"GitHub does not accept the bot's credentials for {what}: {message}. Check GITHUB_TOKEN, or GITHUB_APP_ID"
            " and its private key"
        )
    if status == 403:
        needed = headers.get("x-accepted-github-permissions")
        which = f". GitHub asks for {needed}" if needed else ""
        return Misconfigured(f"the token or App lacks the permission for {what}: {message}{which}")
    return GitHubRefusal(status, what, message)


def _messages(text: str) -> str:
    try:
        body = json.loads(text)
    except ValueError:
        return "no reason given"
    if not isinstance(body, dict):
        return "no reason given"
    errors = body.get("errors") or []
    details = [str(e.get("message") or e.get("code") or "") if isinstance(e, dict) else str(e) for e in errors]
    return "; ".join(part for part in [str(body.get("message", "")), *details] if part)[:500]


def _pause(headers: Mapping[str, str]) -> float | None:
    if headers.get("retry-after", "").isdigit():
        return float(headers["retry-after"])
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdigit():
        return max(1.0, float(headers["x-ratelimit-reset"]) - time.time())
    return None
