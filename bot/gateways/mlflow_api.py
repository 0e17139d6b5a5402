"""One MLflow server: a client that is imported late, waits briefly, and speaks in the product's errors."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind

from bot import tracing
from bot.domain.errors import Misconfigured, PromotionError, Refused, Service, Unreachable

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow retries 7 times and waits 120 s for each answer, and as long as a Retry-After says: a worker that does so
# holds its key for many minutes. Its own queue retries better. What the user has set stays.
_CLIENT_DEFAULTS: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "GIT_PYTHON_REFRESH": "quiet",
}

# Names of error codes in MLflow's answers (mlflow/protos/databricks.proto).
MISSING: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
FORBIDDEN: Final = frozenset({"PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED"})
_UNKNOWN_CALL: Final = frozenset({"ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"})
_BAD_REQUEST: Final = frozenset(
    {
        "INVALID_PARAMETER_VALUE",
        "BAD_REQUEST",
        "RESOURCE_ALREADY_EXISTS",
        "ALREADY_EXISTS",
        "RESOURCE_CONFLICT",
    }
)
_MOST_PAGES: Final = 10_000
_CREDENTIALS: Final = "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"


class Missing(Refused):
    """MLflow says that the thing asked for does not exist, or not any more."""


def preload() -> None:
    """Import MLflow and set its client's limits; a worker does so once, before it forks.

    The import takes seconds and some 80 MB, so nothing that only verifies and queues may pay for it.
    """
    for name, value in _CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401

    # urllib3 warns at every retry; what came of them is told once, as Unreachable.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


Heard = Callable[[str, str, float], None]  # which service, how it answered, after how many seconds


def unheard(_service: str, _status: str, _seconds: float) -> None:
    """Nobody measures."""


class MlflowApi:
    """A tracking server and its registry; they are one server unless `registry_uri` names another.

    Credentials come from MLflow's own variables (https://mlflow.org/docs/latest/self-hosting/security/basic-http-auth/).
    """

    def __init__(self, tracking_uri: str, registry_uri: str | None = None, heard: Heard = unheard) -> None:
        self.tracking_uri: Final = tracking_uri
        self.registry_uri: Final = registry_uri or tracking_uri
        self._heard = heard
        self._client: MlflowClient | None = None
        self._lock = threading.Lock()
        self.answered: Final[set[Service]] = set()  # since somebody emptied it
        self.silent: Final[dict[Service, str]] = {}  # who did not answer, and what was said of it; likewise

    @property
    def client(self) -> MlflowClient:
        """MLflow's client, built at its first use."""
        with self._lock:
            if self._client is None:
                preload()
                from mlflow import MlflowClient

                self._client = MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.registry_uri)
            return self._client

    @contextmanager
    def asked_to(self, task: str) -> Iterator[MlflowClient]:
        """As `_asked_to`, measured as one request, however many MLflow's client makes of it."""
        started, status = time.perf_counter(), "2xx"
        try:
            with (
                tracing.inside("MLflow", {"promotion.asked_to": task}, SpanKind.CLIENT),
                self._asked_to(task) as client,
            ):
                yield client
        except PromotionError as error:
            status = "none" if isinstance(error, Unreachable) else "4xx"
            raise
        finally:
            self._heard("mlflow", status, time.perf_counter() - started)

    @contextmanager
    def _asked_to(self, task: str) -> Iterator[MlflowClient]:
        """The client, for one thing asked of it; what goes wrong is raised as the product's errors.

        `task` completes "MLflow was asked to …". Raises Missing for what does not exist, Refused for what MLflow
        will not accept, Misconfigured for credentials, permissions and addresses, Unreachable for everything that
        may be better later.
        """
        try:
            yield self.client
            self.answered.add(Service.MLFLOW)
        except PromotionError:
            raise
        except (OSError, ImportError) as error:
            raise self._translated(error, task) from None
        except Exception as error:
            from mlflow.exceptions import MlflowException

            if isinstance(error, MlflowException):
                said = self._translated(error, task)
                if isinstance(said, Refused):
                    self.answered.add(Service.MLFLOW)
                raise said from None
            if not _came_out_of_mlflow(error):
                raise
            # Its client takes an answer apart without looking at it first: whatever can go wrong with that may.
            raise self._misunderstood(task, f"{type(error).__name__}: {summary(error)}") from error

    @contextmanager
    def understanding(self, task: str) -> Iterator[None]:
        """Taking an answer apart here: what does not fit is raised as Misconfigured. `task` is what was asked for."""
        try:
            yield
        except OSError:
            raise  # some of the errors of a connection are ValueErrors too
        except (ValueError, TypeError, ArithmeticError) as error:
            raise self._misunderstood(task, f"{type(error).__name__}: {summary(error)}") from error

    def _translated(self, error: Exception, task: str) -> PromotionError:
        where = f"MLflow at {redacted(self.registry_uri)}"
        said = summary(error)
        if isinstance(error, ImportError):
            return Misconfigured(f"{where} needs a library that is not installed, to {task}: {said}")
        code = str(getattr(error, "error_code", "INTERNAL_ERROR"))
        if code in MISSING:
            return Missing(f"{where} was asked to {task}, and has no such thing: {said}")
        if code in FORBIDDEN:
            return Misconfigured(
                f"{where} does not let the bot {task}: {said}. Check {_CREDENTIALS}, and what that user may do "
                "(docs/registry.md lists what the bot needs)."
            )
        if code in _UNKNOWN_CALL:
            return Misconfigured(
                f"{where} does not know how to {task}: {said}. Check that MLFLOW_TRACKING_URI is the address of an "
                "MLflow server of version 3.1 or later."
            )
        if code in _BAD_REQUEST:
            return Refused(f"{where} refused to {task}: {said}")
        if "not in a valid JSON format" in str(error) or type(error).__name__ == "InvalidUrlException":
            return self._misunderstood(task, said)
        return Unreachable(f"{where} could not be reached to {task}: {said}", service=Service.MLFLOW)

    def _misunderstood(self, task: str, said: str) -> Misconfigured:
        """The error for an answer that is none of MLflow's."""
        return Misconfigured(
            f"MLflow at {redacted(self.registry_uri)} did not answer as MLflow does when asked to {task}: {said}. "
            "Check MLFLOW_TRACKING_URI; a login page or a proxy in between answers like this too."
        )


def pages_of(page: Callable[[str | None], Any]) -> Iterator[Any]:
    """What a list's pages hold, each asked for by the token of the one before; raises Misconfigured without end."""
    token: str | None = None
    for _ in range(_MOST_PAGES):
        found = page(token)
        yield from found
        if not found.token:
            return
        if found.token == token:
            break
        token = found.token
    raise Misconfigured(
        "MLflow's pages never end: what answers at MLFLOW_TRACKING_URI is no registry that can be read."
    )


def _came_out_of_mlflow(error: Exception) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(str(frame.f_globals.get("__name__")).startswith("mlflow.") for frame, _ in frames)


# What is another each time that the same thing goes wrong.
_EACH_TIME_ANOTHER: Final = re.compile(
    r" at 0x[0-9a-f]+"  # Python's objects
    r"|\bRequestId:\s*\S+|\bTime:\s*\d{4}-\d\d-\d\dT\S+"  # Azure
    r"|\s*\(Request ID: [^)]*\)"  # Amazon
)
# What `requests` and `http.client` say of a header that holds a line break, with all of it.
_UNSENDABLE: Final = re.compile(r"(header value:? ).*", re.DOTALL)


def redacted(text: str) -> str:
    """`text` without what URLs hide, user and password before the host and the query with its signatures, and without
    a credential that could not be sent.
    """
    text = _UNSENDABLE.sub(r"\1*** (does a credential end in a line break?)", text)
    text = re.sub(r"(\w://)[^/@\s'\"]+@", r"\1***@", text)
    return re.sub(r"((?:\w+://|url: /)[^\s?'\"()]*)\?[^\s'\")]*", r"\1?…", text)


def summary(error: BaseException, limit: int = 300) -> str:
    """What an error of MLflow or a store says, on one line, short, without secrets.

    The same error says the same each time: where an object lies, and when and under which number Azure was asked, are
    left out. What is shown to people would be written anew with each look else.
    """
    text = _EACH_TIME_ANOTHER.sub("", str(error)) or type(error).__name__
    if caused := re.search(r"\(Caused by (.+?)\)*$", text, re.DOTALL):
        text = caused[1]
    line = " ".join(redacted(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
