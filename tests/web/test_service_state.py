"""What the service says of itself while something is wrong: on the board, as JSON, as metrics."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from bot.domain.errors import Service, Unreachable
from bot.domain.keys import CommentKey, ModelKey, RepositoryKey, Urgency
from bot.gateways import troubles
from bot.gateways.queue import WorkQueue
from bot.gateways.troubles import MOST_FAILURES, Cause

KEY = ModelKey("acme/models", "<b>fraud</b>")


def test_all_is_well(web: FlaskClient) -> None:
    state = json.loads(web.get("/api/v1/service").data)
    assert [sweep["at"] for sweep in state.pop("sweeps")] == [None, None]
    assert [counted["source"] for counted in state.pop("webhooks")] == ["github", "mlflow"]
    assert state == {
        "queue": {
            "due": 0,
            "asked": {"people": 0, "candidate": 0, "sweep": 0},
            "later": 0,
            "active": 0,
            "oldest_seconds": 0.0,
        },
        "workers": [],
        "budget": [],
        "away": [],
        "failing": [],
    }
    assert "0 keys wait" in web.get("/service").text


def test_while_mlflow_is_away_webhooks_are_taken_and_it_is_said_since_when(web: FlaskClient, queue: WorkQueue) -> None:
    for _ in range(3):
        queue.troubles.is_away(Service.MLFLOW, "MLflow at http://mlflow could not be reached")
    queue.request(RepositoryKey("acme/models"), urgency=Urgency.SWEEP)
    queue.request(CommentKey("acme/models", 7, 70), KEY)
    assert web.get("/readyz").status_code == 200
    state = json.loads(web.get("/api/v1/service").data)
    assert state["queue"]["asked"] == {"people": 1, "candidate": 1, "sweep": 1}
    (away,) = state["away"]
    assert (away["service"], away["failures"]) == ("MLflow", 3)
    page = web.get("/service").text
    assert "MLflow does not answer" in page
    assert "3 keys wait to be looked at" in page
    metrics = web.get("/metrics").text
    (since,) = (line for line in metrics.splitlines() if line.startswith("promotion_service_away_since_seconds{"))
    assert since.startswith('promotion_service_away_since_seconds{service="MLflow"} 1.')
    assert 'promotion_queue_asked{urgency="people"} 1.0' in metrics


@pytest.mark.parametrize(
    ("failures", "state"), [(1, "tried"), (MOST_FAILURES, "set aside"), (MOST_FAILURES + 1, "given up")]
)
def test_a_failing_key_ends_where_people_see_it_with_what_to_do(
    web: FlaskClient, queue: WorkQueue, failures: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(troubles, "GIVEN_UP_AFTER", 0.0 if state == "given up" else 60.0)
    for _ in range(failures):
        queue.troubles.failed(KEY, "KeyError in observe.state, line 7")
    (failing,) = json.loads(web.get("/api/v1/service").data)["failing"]
    assert failing["standing"] == state
    assert "promotion-bot sweep" in failing["do"]
    page = web.get("/service").text
    assert "KeyError in observe.state, line 7" in page
    assert "&lt;b&gt;fraud" in page
    assert f'promotion_failing_keys{{state="{state}"}} 1.0' in web.get("/metrics").text


def test_what_is_wrong_outside_says_what_to_mend(web: FlaskClient, queue: WorkQueue) -> None:
    queue.troubles.failed(KEY, "GitHub does not accept the bot's credentials", Cause.OUTSIDE)
    (failing,) = json.loads(web.get("/api/v1/service").data)["failing"]
    assert "promotion-bot doctor" in failing["do"]


@pytest.mark.parametrize("row", [b'[1, 2, 3, "x", 5]', b"[1, 2]", b"{}", b"no JSON", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("name", ["promotion:away", "promotion:failing"])
def test_what_another_version_wrote_otherwise_is_passed_over(
    web: FlaskClient, queue: WorkQueue, name: str, row: bytes
) -> None:
    queue._redis.hset(name, "MLflow", row)
    for page in ("/", "/api/v1/service", "/metrics", "/readyz"):
        assert web.get(page).status_code == 200
    queue.troubles.expect(*Service)


def test_a_service_that_asks_for_nothing_but_redis_says_when_that_is_away(
    web: FlaskClient, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Unreachable("Redis does not answer")

    monkeypatch.setattr(queue, "depth", away)
    assert web.get("/api/v1/service").status_code == 503
    assert web.get("/healthz").status_code == 200


def test_a_failing_key_of_what_is_not_served_any_more_is_not_told(web: FlaskClient, queue: WorkQueue) -> None:
    for repository in ("acme/models", "gone/models"):
        queue.troubles.failed(ModelKey(repository, "fraud"), "ValueError in somewhere")
    (told,) = web.get("/api/v1/service").get_json()["failing"]
    assert "acme/models" in told["key"]
    assert "1 look keeps failing" in web.get("/").text
    assert 'promotion_failing_keys{state="tried"} 1.0' in web.get("/metrics").text
