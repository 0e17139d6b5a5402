"""The registry gateway in front of a server that answers anything at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.gateways.artifacts import Artifacts
from bot.gateways.registry import Registry
from policies.evidence import Evidence
from tests.fuzz.bounds import drawn, inputs, leaves_nothing_behind, value_or_complaint
from tests.fuzz.mlflow_stand_in import ANSWERS, MODEL, MlflowStandIn, Reply
from tests.fuzz.strategies import JSON_PIECES, as_json, changed, damaged, texts, values

TIMES: Final = (0, -1, 10**11, 10**14, 10**17, 10**30, "x", 1.5, None)
JSON_TYPE: Final = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def mlflow() -> Iterator[MlflowStandIn]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # every answer counts at once
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
        with MlflowStandIn().running() as server:
            yield server


@pytest.fixture(scope="module")
def registry(mlflow: MlflowStandIn) -> Registry:
    return Registry(mlflow.url)


def odd_bodies(answer: Any) -> st.SearchStrategy[bytes]:
    """Bodies that are a little or quite unlike the answer."""
    return (
        changed([answer], values | st.sampled_from(TIMES) | texts).map(as_json)
        | damaged([as_json(answer)], JSON_PIECES)
        | values.map(as_json)
        | st.binary(max_size=40)
        | st.just(b"<!doctype html><html><body>Sign in</body></html>")
    )


@st.composite
def replies(draw: st.DrawFn) -> tuple[str, Reply]:
    """One of the answers, made odd."""
    name = draw(st.sampled_from(sorted(ANSWERS)))
    body = draw(odd_bodies(ANSWERS[name]))
    kind = draw(st.sampled_from(("odd", "odd", "odd", "status", "truncated", "redirect")))
    match kind:
        case "status":
            code = draw(st.sampled_from((201, 204, 400, 401, 403, 404, 405, 409, 429, 500, 501, 502, 503)))
            error = draw(st.sampled_from(("RESOURCE_DOES_NOT_EXIST", "INTERNAL_ERROR", "", 7, None)) | texts)
            said = as_json({"error_code": error, "message": draw(texts)}) if draw(st.booleans()) else body
            return name, Reply(code, b"" if code == 204 else said, JSON_TYPE)
        case "truncated":
            return name, Reply(200, body, JSON_TYPE, announced=len(body) + 100)
        case "redirect":
            where = draw(
                st.sampled_from(("/", "/login", "http://127.0.0.1:9/", "ftp://x", "//", "/api/2.0/mlflow/runs/get"))
            )
            return name, Reply(draw(st.sampled_from((301, 302, 307, 308))), body, {"Location": where})
        case _:
            html = {
                "Content-Type": draw(
                    st.sampled_from(("application/json", "text/html", "application/octet-stream", "x"))
                )
            }
            return name, Reply(200, body, html)


def look(mlflow: MlflowStandIn, registry: Registry, name: str, reply: Reply) -> None:
    """Ask everything that a look asks, while one answer is odd."""
    mlflow.instead = {name: reply}
    value_or_complaint(registry.models)
    model = value_or_complaint(lambda: registry.model("fraud"))
    if model is not None:
        artifacts = Artifacts(registry)
        for version in model.versions[:2]:
            found = value_or_complaint(lambda version=version: registry.version_evidence(model, version))
            if found is not None:
                Evidence("production", found, None, version.created_at).digest()
            value_or_complaint(lambda version=version: registry.model_file(version))
            value_or_complaint(lambda version=version: artifacts.listing(version))
            value_or_complaint(lambda version=version: artifacts.fetch_of_run(version, "eval.json", 1_000_000))


def test_the_stand_in_answers_as_mlflow_does(mlflow: MlflowStandIn, registry: Registry) -> None:
    mlflow.instead = {}
    (model,) = registry.models()
    assert registry.model("fraud") == model
    (version,) = model.versions
    evidence = registry.version_evidence(model, version)
    assert {metric.name for metric in evidence.metrics} == {"accuracy", "f1"}
    assert registry.model_file(version).flavors == ("a",)


def versions(**fields: object) -> tuple[str, Reply]:
    """Both answers about a version, with these fields."""
    return "/model-versions/search", Reply(
        body=as_json({"model_versions": [{**MODEL["latest_versions"][0], **fields}]})
    )


@inputs(100)
@given(replies())
@example(versions(creation_timestamp=10**17))
@example(versions(creation_timestamp=-(10**17)))
@example(versions(creation_timestamp=253_402_300_799_999))
@example(versions(version="x"))
@example(versions(version=""))
@example(versions(version="9" * 5_000))
@example(versions(status="NEW_STATUS"))
@example(versions(tags=7))
@example(versions(source="models:/m-/../x"))
@example(versions(source="models:/fraud/" + "9" * 5_000))
@example(versions(source="http://[::1"))
@example(versions(source="\ud800"))
@example(versions(name="\ud800"))
@example(
    (
        "/registered-models/get",
        Reply(body=as_json({"registered_model": {**MODEL, "aliases": [{"alias": "a", "version": "x"}]}})),
    )
)
@example(("/registered-models/get", Reply(body=b"[" * 100_000)))
@example(("/registered-models/get", Reply(body=b'{"registered_model": {"name": ' + b"9" * 5_000 + b"}}")))
@example(("/runs/get", Reply(302, headers={"Location": "/api/2.0/mlflow/runs/get"})))
def test_any_answer_is_a_value_or_a_complaint(
    mlflow: MlflowStandIn, registry: Registry, odd: tuple[str, Reply]
) -> None:
    look(mlflow, registry, *odd)


def test_pages_without_end_are_not_followed_for_ever(mlflow: MlflowStandIn, registry: Registry) -> None:
    mlflow.instead = {
        "/registered-models/search": Reply(body=json.dumps({"next_page_token": "again"}).encode()),
    }
    assert value_or_complaint(registry.models) is None


def test_looks_leave_nothing_behind(mlflow: MlflowStandIn, registry: Registry) -> None:
    leaves_nothing_behind(lambda odd: look(mlflow, registry, *odd), drawn(replies(), 200))
