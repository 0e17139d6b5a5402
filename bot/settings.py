"""Settings from the environment: all problems said at once, no secret ever printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Flag, auto
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from bot import tracing
from bot.domain.errors import Misconfigured
from bot.domain.happening import HappeningKind
from bot.logs import LogFormat
from policies.durations import parse_duration

_REPOSITORY = re.compile(r"[A-Za-z0-9_-]{1,100}/(?!\.{1,2}$)[A-Za-z0-9_.-]{1,100}", re.ASCII)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[1-9][0-9]{0,4})?", re.ASCII)
_LOGIN = re.compile(r"[A-Za-z0-9_-]{1,100}(\[bot\])?", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}", re.ASCII)
_SHORTEST_TOKEN: Final = 16  # characters
_REDIS_SCHEMES: Final = ("redis", "rediss", "redis+sentinel", "unix")
_DATA_DIR: Final = "~/.local/share/promotion-bot"
_LEASE: Final = timedelta(seconds=30)
_SWEEP: Final = timedelta(minutes=5)
T = TypeVar("T")


class Needs(Flag):
    """What a command cannot do without; what it does not need may be missing, but not wrong."""

    WEBHOOKS = auto()  # the secrets
    GITHUB = auto()  # credentials
    OWN_TOKEN = auto()  # a person's or a workflow's own token, for what is done in their name: never the bot's App
    REGISTRY = auto()  # MLflow's address
    EVERYTHING = WEBHOOKS | GITHUB | REGISTRY  # that the service needs


class Secret:
    """A value that prints as nothing; only `reveal` gives it out."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value, for the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """The GitHub App that the bot is."""

    app_id: str
    private_key: Secret


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment decides. URLs have no trailing slash; what may hold a password is not shown."""

    mlflow_tracking_uri: str = field(repr=False)
    mlflow_webhook_secrets: tuple[Secret, ...]
    github_webhook_secrets: tuple[Secret, ...]
    github_credentials: AppCredentials | Secret
    repositories: tuple[str, ...]
    github_api_url: str = "https://api.github.com"
    mlflow_registry_uri: str | None = field(default=None, repr=False)
    redis_url: Secret | None = None
    sweep_interval: timedelta = _SWEEP
    public_url: str | None = None
    internal_url: str | None = None
    data_dir: Path = field(default_factory=lambda: Path(_DATA_DIR).expanduser())
    queue_lease: timedelta = _LEASE
    board_tokens: tuple[Secret, ...] = ()
    board_user_header: str | None = None
    metrics_port: int | None = None
    dvc_roots: tuple[Path, ...] = ()
    dvc_hosts: tuple[str, ...] = ()
    bot_login: str | None = None
    log_format: LogFormat | None = None
    notify_slack_url: Secret | None = None
    notify_webhook_url: Secret | None = None
    notify_webhook_secret: Secret | None = None
    notify_events: frozenset[HappeningKind] = frozenset(HappeningKind)

    @property
    def knows_manifests(self) -> bool:
        """Whether a command that can do without them could read them: somebody to ask GitHub as, and repositories."""
        credentials = self.github_credentials
        return bool(self.repositories) and (isinstance(credentials, AppCredentials) or bool(credentials.reveal()))

    @property
    def mlflow_delivers_to(self) -> str | None:
        """The address for MLflow's webhooks, which may be another than the world's; None where neither is set."""
        base = self.internal_url or self.public_url
        return f"{base}/webhooks/mlflow" if base else None


def load_settings(environ: Mapping[str, str], needs: Needs = Needs.EVERYTHING) -> Settings:
    """The settings that `environ` holds; one Misconfigured names every variable that is missing or wrong."""
    reader = _Reader(environ)
    webhooks, registry = Needs.WEBHOOKS in needs, Needs.REGISTRY in needs
    serves = bool(needs & (Needs.WEBHOOKS | Needs.GITHUB | Needs.OWN_TOKEN))
    settings = Settings(
        mlflow_tracking_uri=reader.needed("MLFLOW_TRACKING_URI", "https://mlflow.example.com", _uri, "", registry),
        mlflow_registry_uri=reader.optional("MLFLOW_REGISTRY_URI", None, _uri),
        mlflow_webhook_secrets=reader.needed("MLFLOW_WEBHOOK_SECRET", "a long random text", _secrets, (), webhooks),
        github_webhook_secrets=reader.needed("GITHUB_WEBHOOK_SECRET", "a long random text", _secrets, (), webhooks),
        github_credentials=_credentials(reader, needs),
        github_api_url=reader.optional("GITHUB_API_URL", "https://api.github.com", _url),
        repositories=reader.needed("PROMOTION_REPOSITORIES", "acme/models,acme/risk", _repositories, (), serves),
        redis_url=reader.optional("REDIS_URL", None, _redis_url),
        sweep_interval=reader.optional("PROMOTION_SWEEP_INTERVAL", _SWEEP, _interval),
        public_url=reader.optional("PROMOTION_PUBLIC_URL", None, _url),
        internal_url=reader.optional("PROMOTION_INTERNAL_URL", None, _url),
        data_dir=reader.optional("PROMOTION_DATA_DIR", None, _directory) or _directory(_DATA_DIR),
        queue_lease=reader.optional("PROMOTION_QUEUE_LEASE", _LEASE, _interval),
        board_tokens=reader.optional("PROMOTION_BOARD_TOKEN", (), _board_tokens),
        board_user_header=reader.optional("PROMOTION_BOARD_USER_HEADER", None, _header),
        metrics_port=reader.optional("PROMOTION_METRICS_PORT", None, _port),
        dvc_roots=reader.optional("PROMOTION_DVC_ROOTS", (), _roots),
        dvc_hosts=reader.optional("PROMOTION_DVC_HOSTS", (), _hosts),
        bot_login=reader.optional("PROMOTION_BOT_LOGIN", None, _login),
        log_format=reader.optional("PROMOTION_LOG_FORMAT", None, _log_format),
        notify_slack_url=reader.optional("PROMOTION_NOTIFY_SLACK_URL", None, _receiver),
        notify_webhook_url=reader.optional("PROMOTION_NOTIFY_WEBHOOK_URL", None, _receiver),
        notify_webhook_secret=reader.optional("PROMOTION_NOTIFY_WEBHOOK_SECRET", None, Secret),
        notify_events=reader.optional("PROMOTION_NOTIFY_EVENTS", frozenset(HappeningKind), _events),
    )
    reader.problems.extend(tracing.problems(environ))
    if settings.notify_webhook_url is not None and settings.notify_webhook_secret is None:
        reader.problems.append("PROMOTION_NOTIFY_WEBHOOK_SECRET is missing; for example: a long random text")
    if reader.problems:
        lines = "\n".join(f"  {problem}" for problem in reader.problems)
        raise Misconfigured(f"the environment does not say what promotion-bot needs:\n{lines}")
    return settings


class _Reader:
    """Reads variables and collects what is wrong, so that one start shows every problem."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        """What the variable holds; empty and missing are the same."""
        return self._environ.get(name, "").strip()

    def needed(self, name: str, example: str, parse: Callable[[str], T], without: T, needed: bool) -> T:
        if not self.text(name) and needed:
            self.problems.append(f"{name} is missing; for example: {example}")
        return self.optional(name, without, parse)

    def optional(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        value = self.text(name)
        try:
            return parse(value) if value else default
        except ValueError as error:
            self.problems.append(f"{name} {error}")
            return default


def is_installation_token(credentials: AppCredentials | Secret) -> bool:
    """Whether a token is one that GitHub made for an App's installation, as it does for each run of a workflow.

    https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github
    """
    return isinstance(credentials, Secret) and credentials.reveal().startswith("ghs_")


def _credentials(reader: _Reader, needs: Needs) -> AppCredentials | Secret:
    """An App with its key, or a token, but not both: nobody should have to guess who the bot is."""
    needed = Needs.GITHUB in needs
    app_id, token = reader.text("GITHUB_APP_ID"), reader.text("GITHUB_TOKEN")
    key, key_file = reader.text("GITHUB_APP_PRIVATE_KEY"), reader.text("GITHUB_APP_PRIVATE_KEY_FILE")
    if token and (app_id or key or key_file) and Needs.OWN_TOKEN not in needs:
        reader.problems.append("GITHUB_TOKEN and GITHUB_APP_… are both set; keep one of them")
    elif token and not (token.isascii() and token.isprintable() and " " not in token):
        reader.problems.append("GITHUB_TOKEN holds characters that no token has; for example: github_pat_…")
    elif not token and Needs.OWN_TOKEN in needs:
        reader.problems.append(
            "GITHUB_TOKEN is missing: the pull request is opened as you, not as the bot; for example: github_pat_…"
        )
    elif not token and not app_id and (needed or key or key_file):
        reader.problems.append(
            "GITHUB_APP_ID is missing; for example: GITHUB_APP_ID=12345 with GITHUB_APP_PRIVATE_KEY or "
            "GITHUB_APP_PRIVATE_KEY_FILE=/run/secrets/app.pem (or GITHUB_TOKEN instead of all three)"
        )
    if token or not app_id:
        return Secret(token)
    if not (app_id.isascii() and app_id.isdecimal()):
        reader.problems.append("GITHUB_APP_ID is not the App's number; for example: 12345")
    if (key and key_file) or (needed and not key and not key_file):
        reader.problems.append(
            "GITHUB_APP_PRIVATE_KEY or GITHUB_APP_PRIVATE_KEY_FILE: with GITHUB_APP_ID one must be set, not both; "
            "for example: GITHUB_APP_PRIVATE_KEY_FILE=/run/secrets/app.pem"
        )
    elif key_file:
        key = reader.optional("GITHUB_APP_PRIVATE_KEY_FILE", "", _file)
    # A key that went through a one-line variable has its line breaks as \n.
    key = key.replace("\\n", "\n")
    if key and "PRIVATE KEY-----" not in key:
        name = "GITHUB_APP_PRIVATE_KEY_FILE" if key_file else "GITHUB_APP_PRIVATE_KEY"
        reader.problems.append(f"{name} does not hold a private key; it begins with: -----BEGIN RSA PRIVATE KEY-----")
    return AppCredentials(app_id, Secret(key))


def _file(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ValueError(f"cannot be read: {path}: {reason}; for example: /run/secrets/app.pem") from error


def _directory(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"starts with ~ but there is no home directory; for example: /var/lib/promotion-bot ({error})"
        ) from error


def _uri(text: str) -> str:
    if any(character.isspace() for character in text):
        raise ValueError("holds spaces; for example: https://mlflow.example.com")
    return text.rstrip("/") if text.startswith(("http://", "https://")) else text


def _url(text: str) -> str:
    example = "for example: https://promotion.example.com"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and text.isprintable()
    except ValueError:
        usable = False
    if not usable or " " in text:
        raise ValueError(f"is not an http or https address; {example}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"must be an address alone, without user, password, query and fragment; {example}")
    return text.rstrip("/")


def _log_format(text: str) -> LogFormat:
    if text not in set(LogFormat):
        raise ValueError("is neither json nor text")
    return LogFormat(text)


def _receiver(text: str) -> Secret:
    """An address whose path and query are secrets of their own, as those of Slack's are."""
    example = "for example: https://hooks.slack.com/services/…"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and text.isprintable()
    except ValueError:
        usable = False
    if not usable or " " in text:
        raise ValueError(f"is not an http or https address; {example}")
    return Secret(text)


def _events(text: str) -> frozenset[HappeningKind]:
    known = {kind.value for kind in HappeningKind}
    names = {part.strip() for part in text.split(",") if part.strip()}
    if wrong := sorted(names - known):
        raise ValueError(f"names what never happens: {', '.join(wrong)}; there are {', '.join(sorted(known))}")
    return frozenset(HappeningKind(name) for name in names)


def _secrets(text: str) -> tuple[Secret, ...]:
    secrets = tuple(Secret(part.strip()) for part in text.split(",") if part.strip())
    if not secrets:
        raise ValueError("holds no secret; separate several with commas, for example: the-new-one,the-old-one")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8; for example: a long random text of letters and digits") from None
    return secrets


def _board_tokens(text: str) -> tuple[Secret, ...]:
    tokens = _secrets(text)
    if any(len(token.reveal()) < _SHORTEST_TOKEN or not token.reveal().isascii() for token in tokens):
        raise ValueError(
            f"holds a token that is shorter than {_SHORTEST_TOKEN} characters or not ASCII; for example what"
            " `openssl rand -hex 32` prints"
        )
    return tokens


def _login(text: str) -> str:
    if not _LOGIN.fullmatch(text):
        raise ValueError("is not a login on GitHub; for example: promotion-bot[bot]")
    return text


def _header(text: str) -> str:
    if not _HEADER.fullmatch(text):
        raise ValueError("is not the name of a header; for example: X-Forwarded-User")
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65_536):
        raise ValueError("is not a port; for example: 9090")
    return int(text)


def _roots(text: str) -> tuple[Path, ...]:
    roots = tuple(Path(part.strip()) for part in text.split(",") if part.strip())
    wrong = [str(root) for root in roots if not root.is_absolute() or ".." in root.parts or root == Path(root.anchor)]
    if wrong or not roots:
        found = ", ".join(wrong) or "nothing in it"
        raise ValueError(f"is not a list of whole paths below /, comma separated: {found}; for example: /srv/dvc")
    return roots


def _hosts(text: str) -> tuple[str, ...]:
    parts = [part.strip().lower() for part in text.split(",") if part.strip()]
    wrong = [part for part in parts if not _HOST.fullmatch(part)]
    if wrong or not parts:
        found = ", ".join(wrong) or "nothing in it"
        raise ValueError(
            f"is not a list of hosts, comma separated: {found}; for example: dvc.example.com,minio.internal:9000"
        )
    return tuple(parts)


def _repositories(text: str) -> tuple[str, ...]:
    names = tuple({part.strip().lower(): part.strip() for part in text.split(",") if part.strip()}.values())
    wrong = [name for name in names if not _REPOSITORY.fullmatch(name)]
    if wrong or not names:
        found = ", ".join(wrong) or "nothing in it"
        raise ValueError(f"is not owner/name, comma separated: {found}; for example: acme/models,acme/risk")
    return names


def _redis_url(text: str) -> Secret | None:
    try:
        parts = urlsplit(text)
        # Sentinel's list of hosts is no port; the connection reads it.
        usable = parts.scheme in _REDIS_SCHEMES and (parts.scheme == "redis+sentinel" or parts.port != 0)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("is not redis://, rediss:// or redis+sentinel://; for example: redis://redis:6379/0")
    return Secret(text)


def _interval(text: str) -> timedelta:
    interval = parse_duration(text)  # says itself what is wrong, with examples
    if interval < timedelta(seconds=1):
        raise ValueError("is shorter than a second; for example: 30s")
    return interval
