"""Schemathesis drives the service by its own description: no 5xx, and no answer that is not described.

https://schemathesis.readthedocs.io
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import given
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core import NotSet
from schemathesis.core.transport import Response
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi import checks

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
WEBHOOKS: Final = OPERATIONS[-2:]


@pytest.fixture(scope="module")
def described(service: FlaskClient) -> BaseSchema:
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", service.application)


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


@pytest.mark.parametrize(("path", "method"), WEBHOOKS)
def test_what_is_not_signed_is_let_in_nowhere(described: BaseSchema, path: str, method: str) -> None:
    assert drive(described, path, method, GenerationMode.POSITIVE, Case.call) == {401}
