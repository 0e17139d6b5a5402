"""Schemathesis drives the service by its own description: no 5xx, and no answer that is not described.

https://schemathesis.readthedocs.io
"""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core import NotSet
from schemathesis.core.transport import Response
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi import checks

from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Secret, Settings
from bot.web.app import create_app
from tests.fuzz.bounds import inputs, soon
from tests.web.payloads import github, mlflow

CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
DESCRIPTION: Final = ("/api/v1/openapi.json", "GET")  # not among Schemathesis' own list, since it was read from there
OPERATIONS: Final = (
    DESCRIPTION,
    ("/", "GET"),
    ("/model", "GET"),
    ("/policies", "GET"),
    ("/policy", "GET"),
    ("/service", "GET"),
    ("/assets/{name}", "GET"),
    ("/api/v1/board", "GET"),
    ("/api/v1/models/{name}", "GET"),
    ("/api/v1/policies", "GET"),
    ("/api/v1/service", "GET"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/metrics", "GET"),
    ("/webhooks/github", "POST"),
    ("/webhooks/mlflow", "POST"),
)
TOKEN: Final = "a-token-of-16-and-more"
WEBHOOKS: Final = OPERATIONS[-2:]
READ: Final = OPERATIONS[:-2]
OPEN: Final = ("/healthz", "/readyz")

# What may stand in a header: anything but control characters, in the one encoding that HTTP has for it.
_HEADER: Final = st.text(st.characters(codec="latin-1", exclude_categories=("Cc",)), max_size=40).map(str.strip)
_SIGN_IN: Final = st.one_of(
    _HEADER,
    st.builds("{} {}".format, st.sampled_from(("Bearer", "bearer", "Basic", "Digest")), _HEADER),
    _HEADER.map(lambda said: f"Basic {base64.b64encode(said.encode()).decode()}"),
    st.integers(0, len(TOKEN) - 1).map(lambda length: f"Bearer {TOKEN[:length]}"),
    st.builds(lambda token, more: f"Bearer {token}{more}", st.just(TOKEN), _HEADER.filter(bool)),
)


@pytest.fixture(scope="module")
def described(service: FlaskClient) -> BaseSchema:
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", service.application)


@pytest.fixture(scope="module")
def guarded(served: Settings, valkey_url: Secret, service: FlaskClient) -> Iterator[BaseSchema]:
    """The same for those who have a token."""
    with connect(valkey_url) as connection:
        app = create_app(replace(served, board_tokens=(Secret(TOKEN),)), WorkQueue(connection))
        signed_in = {"Authorization": f"Bearer {TOKEN}"}
        yield schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app, headers=signed_in)


def test_the_description_is_valid_and_all_of_it_is_driven(described: BaseSchema) -> None:
    described.validate()
    found = {(result.ok().path, result.ok().method.upper()) for result in described.get_all_operations()}
    assert found == set(OPERATIONS) - {DESCRIPTION}


def sent(case: Case) -> Response:
    """The answer to a case; a webhook is signed, with the right secret, over the body as it is sent."""
    if not case.path.startswith("/webhooks"):
        return case.call()
    body = b"" if isinstance(case.body, NotSet) else case.body
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    delivery = github("", body) if case.path.endswith("github") else mlflow(body)
    signature = {name: value for name, value in delivery["headers"].items() if value}
    return case.call(data=body, headers={"Content-Type": "application/json", **signature})


def drive(
    described: BaseSchema, path: str, method: str, mode: GenerationMode, answer: Callable[[Case], Response]
) -> set[int]:
    """Send what the description allows, or what it does not; the statuses of the answers, each as described."""
    statuses: set[int] = set()

    @inputs(60)
    @given(described[path][method].as_strategy(generation_mode=mode))
    def each(case: Case) -> None:
        with soon():
            response = answer(case)
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    each()
    return statuses


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_is_allowed_is_answered_as_described(described: BaseSchema, path: str, method: str) -> None:
    statuses = drive(described, path, method, GenerationMode.POSITIVE, sent)
    assert statuses <= {200, 202, 204, 400, 404}


@pytest.mark.parametrize(("path", "method"), WEBHOOKS)
def test_what_is_not_allowed_is_answered_as_described(described: BaseSchema, path: str, method: str) -> None:
    drive(described, path, method, GenerationMode.NEGATIVE, sent)


@pytest.mark.parametrize(("path", "method"), READ)
def test_what_only_reads_takes_no_notice_of_what_nobody_asked_for(
    described: BaseSchema, path: str, method: str
) -> None:
    @inputs(60)
    @given(
        described[path][method].as_strategy(),
        st.dictionaries(st.text(), st.text(), max_size=3),
        st.dictionaries(st.sampled_from(("Accept", "Range", "If-None-Match", "Host", "X-Forwarded-For")), _HEADER),
        st.binary(max_size=100),
    )
    def each(case: Case, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
        with soon():
            response = case.call(params=query, headers=headers, data=body)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code in (200, 404)

    each()


@pytest.mark.parametrize(("path", "method"), READ)
def test_what_only_reads_cannot_be_asked_to_do_anything_else(service: FlaskClient, path: str, method: str) -> None:
    @inputs(30)
    @given(st.text(string.ascii_uppercase, min_size=1, max_size=10), st.binary(max_size=100))
    def each(other: str, body: bytes) -> None:
        with soon():
            answer = service.open(path.replace("{name}", "fraud"), method=other, data=body)
        assert other in (method, "HEAD") or answer.status_code == 405

    each()


@pytest.mark.parametrize(("path", "method"), READ)
def test_who_has_no_token_sees_nothing(guarded: BaseSchema, path: str, method: str) -> None:
    @inputs(60)
    @given(guarded[path][method].as_strategy(), _SIGN_IN)
    def each(case: Case, sign_in: str) -> None:
        with soon():
            response = case.call(headers={"Authorization": sign_in})
        case.validate_response(response, checks=CHECKS)
        assert response.status_code == 200 if path in OPEN else response.status_code == 401
        assert path in OPEN or b"fraud" not in response.content

    each()


@pytest.mark.parametrize(("path", "method"), READ)
def test_who_has_a_token_sees_what_is_described(guarded: BaseSchema, path: str, method: str) -> None:
    def signed_in(case: Case) -> Response:
        return case.call(headers={"Authorization": f"Bearer {TOKEN}"})

    assert drive(guarded, path, method, GenerationMode.POSITIVE, signed_in) <= {200, 404}


@pytest.mark.parametrize(("path", "method"), WEBHOOKS)
def test_what_is_not_signed_is_let_in_nowhere(described: BaseSchema, path: str, method: str) -> None:
    assert drive(described, path, method, GenerationMode.POSITIVE, Case.call) == {401}
