"""What looks leave behind for the board, from a real registry and the GitHub stand-in, and after Redis was emptied."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from bot.domain.board import Cell, MatterKind
from bot.domain.keys import RepositoryKey
from bot.domain.model_detail import ModelDetail
from bot.domain.timeline import Event, EventKind
from bot.gateways.queue import WorkQueue
from bot.sandbox.company import PRODUCTION_POLICY
from bot.settings import Secret
from bot.web.app import create_app
from policies.verdict import Status
from tests.e2e.house import House, house


@pytest.fixture(scope="module")
def told(registry_url: str, cache_url: Secret) -> Iterator[House]:
    """One version live everywhere by two approvals, one refused, one that waits for approvals, and a hold."""
    with house(registry_url, cache_url) as built:
        built.to_production(built.register(0.95))
        built.register(0.5)
        built.event()
        built.register(0.97)
        built.event()
        built.say(built.proposed("production", 3), "alice", "/hold because the audit is under way")
        yield built


def queue_of(built: House) -> WorkQueue:
    return WorkQueue(built.gateways.cache.connection)  # type: ignore[arg-type]


def cells(built: House) -> dict[str, Cell]:
    (row,) = queue_of(built).boards.rows()
    return {cell.environment: cell for cell in row.cells}


def in_full(built: House) -> ModelDetail:
    detail = queue_of(built).details.model(built.repository.repo.full_name, built.model)
    assert detail is not None
    return detail


def happened(built: House, environment: str, version: int) -> list[Event]:
    """The events of a version in an environment, oldest first."""
    return [e for e in reversed(in_full(built).events) if e.environment == environment and e.version == version]


def test_the_overview_says_what_is_live_and_what_waits_for_whom(told: House) -> None:
    staging, production = cells(told)["staging"], cells(told)["production"]
    assert staging.live is not None
    assert staging.live.version == 3
    assert production.live is not None
    assert (production.live.version, production.live.release, production.by) == (1, "1.0.0", "bob")
    (proposed,) = production.proposed
    assert proposed.waits_for == "2 approvals of @acme/ml-platform"
    assert production.has(MatterKind.WAITING)
    (held,) = (m for m in production.matters if m.kind is MatterKind.HELD)
    assert "the audit is under way" in held.what
    assert held.do.startswith(f"Comment `/resume {told.model} in production`")


def test_a_pull_requests_gates_say_what_it_lacks(told: House) -> None:
    place = (told.repository.repo.full_name, told.proposed("production", 3).number)
    gates = {gate.name: gate for gate in queue_of(told).details.gates([place])[place]}
    assert gates["promotion/policy"].state == "success"
    assert gates["promotion/approvals"].reasons == ("2 more of 2 approvals needed from @acme/ml-platform",)


def test_the_timeline_tells_the_story(told: House) -> None:
    story = happened(told, "production", 1)
    lasting = [event.kind for event in story if event.kind is not EventKind.VALIDATED]
    assert lasting == [EventKind.PROPOSED, EventKind.APPROVED, EventKind.MERGED, EventKind.LIVE]
    pulls = {event.pull_request for event in story if event.kind is EventKind.VALIDATED}
    assert pulls == {told.proposed("production", 1).number}
    approved = next(event for event in story if event.kind is EventKind.APPROVED)
    assert approved.by == "alice and bob"
    assert approved.pull_request == told.proposed("production", 1).number
    assert [e.version for e in in_full(told).events if e.kind is EventKind.REGISTERED] == [3, 2, 1]
    (commented,) = (e for e in in_full(told).events if e.kind is EventKind.COMMENTED)
    assert commented.by == "alice"
    assert commented.issue == told.proposed("production", 3).number
    assert "the audit is under way" in commented.what
    assert any(e.kind is EventKind.REFUSED and e.version == 2 for e in in_full(told).events)


def test_verdicts_are_kept_in_full_and_metrics_in_the_versions_tag(told: House) -> None:
    place = (told.repository.repo.full_name, told.model)
    judged = {(j.environment, j.version): j for j in queue_of(told).details.judged(*place)}
    refused = judged["staging", 2]
    failed = next(o for o in refused.verdict.outcomes if o.check == "accuracy-floor")
    assert (failed.measured, failed.required) == ("0.5", "at least 0.92")
    versions = {v.version: v for v in in_full(told).versions}
    assert {n: v.metrics["accuracy"] for n, v in versions.items()} == {1: 0.95, 2: 0.5, 3: 0.97}
    (checked,) = (c for c in versions[2].checked if c.environment == "staging")
    assert checked.checks["accuracy-floor"] is Status.FAIL


def test_a_policy_says_whom_it_refused(told: House) -> None:
    (seen,) = queue_of(told).details.repositories([told.repository.repo.full_name])
    staging = next(policy for policy in seen.policies if policy.name == "staging")
    floor = next(check for check in staging.checks if check.id == "accuracy-floor")
    assert (staging.judged, staging.refused, floor.refused, floor.metrics[0].low) == (3, 1, 1, 0.92)
    assert [(v.model, v.version) for v in floor.versions] == [(told.model, 2)]


def test_the_pages_show_it_without_asking_mlflow_or_github(told: House) -> None:
    web: FlaskClient = create_app(told.gateways.settings, queue_of(told)).test_client()
    with told.counted() as cost:
        pages = [
            web.get("/"),
            web.get("/model", query_string={"name": told.model}),
            web.get("/policies"),
            web.get("/service"),
            web.get("/api/v1/board"),
            web.get(f"/api/v1/models/{told.model}"),
        ]
    assert [page.status_code for page in pages] == [200] * 6
    assert (cost.github, cost.unchanged, cost.mlflow) == ([], 0, [])
    assert "2 more of 2 approvals needed" in pages[0].text
    assert "staging: at least 0.92" in pages[1].text


def test_a_sweep_rebuilds_it_from_nothing(told: House) -> None:
    queue, place = queue_of(told), (told.repository.repo.full_name, told.model)
    before = cells(told), in_full(told), queue.details.repositories([place[0]])[0].policies
    queue.connection.flushall()
    assert "being rebuilt" in create_app(told.gateways.settings, queue).test_client().get("/").text
    told.look_and_follow(RepositoryKey(place[0]))
    assert cells(told) == before[0]
    assert in_full(told).versions == before[1].versions
    lasting = {EventKind.VALIDATED, EventKind.REFUSED}  # a look's own memory: the versions' tags still tell
    assert [e for e in in_full(told).events if e.kind not in lasting] == [
        e for e in before[1].events if e.kind not in lasting
    ]
    assert queue.details.repositories([place[0]])[0].policies == before[2]
    assert queue.details.gates([(place[0], told.proposed("production", 3).number)])


def test_a_file_that_cannot_be_read_is_said(told: House) -> None:
    told.repository.push({"policies/production.yaml": "checks: ["}, "Break the policy", as_user="bob")
    told.look(RepositoryKey(told.repository.repo.full_name))
    state = json.loads(create_app(told.gateways.settings, queue_of(told)).test_client().get("/api/v1/service").data)
    (sweep,) = state["sweeps"]
    told.repository.push({"policies/production.yaml": PRODUCTION_POLICY}, "Mend it", as_user="bob")
    told.look(RepositoryKey(told.repository.repo.full_name))
    assert "production.yaml" in sweep["problem"]
