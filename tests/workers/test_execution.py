"""One job: what becomes of the key for each way in which a look can end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import redis
from rq.timeouts import JobTimeoutException

from bot.domain.errors import LostLock, Misconfigured, NotYet, Refused, Service, Unreachable
from bot.domain.keys import CommentKey, Key, ModelKey, PullRequestKey, RepositoryKey, Urgency, dump_key
from bot.gateways import troubles
from bot.gateways.queue import ACTIVE, Claimed, WorkQueue
from bot.gateways.registry import Registry
from bot.gateways.troubles import MOST_FAILURES, Cause, Standing
from tests.conftest import wait_until
from tests.passing import end_leases
from workers import execution
from workers.desk import Desk
from workers.execution import Result, backoff, give_back, run
from workers.process import TimeLimit

KEY = ModelKey("acme/models", "fraud-detector")


@pytest.fixture
def queue(valkey: redis.Redis) -> WorkQueue:
    return WorkQueue(valkey)


def handed_out(queue: WorkQueue) -> Claimed:
    queue.request(KEY)
    (claimed,) = queue.claim()
    return claimed


def results(queue: WorkQueue) -> list[tuple[str, int]]:
    return [(tally.result, tally.count) for tally in queue.tallies()]


def fail_with(error: Exception) -> object:
    def look(_desk: Desk) -> None:
        raise error

    return look


def test_a_look_runs_and_the_key_is_free_again(queue: WorkQueue) -> None:
    seen: list[Desk] = []
    run(handed_out(queue), queue, seen.append)
    assert len(seen) == 1
    depth = queue.depth()
    assert (depth.due, depth.later, depth.active) == (0, 0, 0)
    assert results(queue) == [(Result.DONE, 1)]


def test_a_look_may_ask_for_others_and_for_itself_later(queue: WorkQueue) -> None:
    from datetime import UTC, datetime, timedelta

    def look(desk: Desk) -> None:
        desk.still_mine()
        desk.look_at(RepositoryKey("acme/models"))
        desk.look_again(datetime.now(UTC) + timedelta(hours=1))

    run(handed_out(queue), queue, look)
    assert [c.key for c in queue.claim()] == [RepositoryKey("acme/models")]
    assert queue.depth().later == 1


def test_an_old_token_runs_nothing(queue: WorkQueue) -> None:
    claimed = handed_out(queue)
    seen: list[Desk] = []
    run(Claimed(claimed.key, "another"), queue, seen.append)
    assert seen == []
    assert queue.depth().active == 1


def test_what_is_unreachable_is_tried_again_later(queue: WorkQueue) -> None:
    run(handed_out(queue), queue, fail_with(Unreachable("no answer", retry_after=60)))
    depth = queue.depth()
    assert (depth.due, depth.later, depth.active) == (0, 1, 0)
    assert queue.count_attempt(KEY) == 2
    assert results(queue) == [(Result.RETRIED, 1)]


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Refused("no"), Result.REFUSED),
        (Misconfigured("mend it"), Result.MISCONFIGURED),
        (ValueError("a mistake"), Result.FAILED),
    ],
)
def test_what_a_retry_would_not_mend_waits_for_the_sweep(
    queue: WorkQueue, caplog: pytest.LogCaptureFixture, error: Exception, result: Result
) -> None:
    with caplog.at_level(logging.INFO):
        run(handed_out(queue), queue, fail_with(error))
    depth = queue.depth()
    assert (depth.due, depth.later, depth.active) == (0, 0, 0)
    assert results(queue) == [(result, 1)]
    assert str(error) in caplog.text


def test_what_has_to_wait_its_turn_failed_at_nothing(queue: WorkQueue) -> None:
    run(handed_out(queue), queue, fail_with(NotYet("others come first", 60)))
    assert (queue.depth().due, queue.depth().later) == (0, 1)
    assert results(queue) == [(Result.POSTPONED, 1)]
    assert queue.count_attempt(KEY) == 1, "it is no failure"
    assert queue.troubles.away() == ()


def test_a_service_that_is_away_is_tried_by_one_look_at_a_time(queue: WorkQueue) -> None:
    away = fail_with(Unreachable("no answer", service=Service.MLFLOW))
    for _ in range(3):
        run(handed_out(queue), queue, away)
    seen: list[Desk] = []
    run(handed_out(queue), queue, away)  # tries
    run(handed_out(queue), queue, seen.append)
    assert seen == []
    assert dict(results(queue)) == {Result.RETRIED: 4, Result.POSTPONED: 1}
    (told,) = queue.troubles.away()
    assert (told.service, told.failures) == (Service.MLFLOW, 4)


def test_what_does_not_need_it_goes_on(queue: WorkQueue) -> None:
    for _ in range(4):
        run(handed_out(queue), queue, fail_with(Unreachable("no answer", service=Service.MLFLOW)))
    queue.request(PullRequestKey("acme/models", 7))
    seen: list[Desk] = []
    run(queue.claim()[0], queue, seen.append)
    assert len(seen) == 1


def test_a_service_is_back_when_it_has_answered_and_not_before(queue: WorkQueue) -> None:
    for _ in range(3):
        run(handed_out(queue), queue, fail_with(Unreachable("no answer", service=Service.MLFLOW)))
    run(handed_out(queue), queue, lambda desk: desk.answered.add(Service.GITHUB))
    assert [away.service for away in queue.troubles.away()] == [Service.MLFLOW]

    def half(desk: Desk) -> None:
        desk.answered.add(Service.MLFLOW)
        raise Unreachable("no answer", service=Service.GITHUB)

    queue.troubles.is_back(Service.MLFLOW)
    queue.troubles.is_away(Service.MLFLOW, "no answer")
    run(handed_out(queue), queue, half)
    assert [away.service for away in queue.troubles.away()] == [Service.GITHUB]


def test_a_service_that_a_look_did_without_is_away_unless_it_answered_something(queue: WorkQueue) -> None:
    def without(desk: Desk) -> None:
        desk.silent[Service.ARTIFACTS] = "no answer from s3://models"

    def for_one_thing(desk: Desk) -> None:
        without(desk)
        desk.answered.add(Service.ARTIFACTS)

    run(handed_out(queue), queue, without)
    (away,) = queue.troubles.away()
    assert (away.service, away.said) == (Service.ARTIFACTS, "no answer from s3://models")
    run(handed_out(queue), queue, for_one_thing)
    assert queue.troubles.away() == ()
    assert dict(results(queue)) == {Result.DONE: 2}


def test_what_is_wrong_outside_is_shown_and_tried_on(queue: WorkQueue) -> None:
    for _ in range(MOST_FAILURES + 1):
        run(swept(queue), queue, fail_with(Misconfigured("GitHub does not accept the bot's credentials")))
    (failing,) = queue.troubles.failing()
    assert (failing.cause, failing.standing) == (Cause.OUTSIDE, Standing.TRIED)
    assert failing.what == "GitHub does not accept the bot's credentials"
    run(swept(queue), queue, lambda _desk: None)
    assert queue.troubles.failing() == ()


def test_one_request_that_never_gets_its_answer_is_shown_although_its_service_is_there(queue: WorkQueue) -> None:
    for tries in range(1, MOST_FAILURES + 1):
        assert queue.troubles.failing() == ()
        run(handed_out(queue), queue, fail_with(Unreachable("GitHub could not answer GET /x: 500")))
        assert queue.count_attempt(KEY) == tries + 1
        queue.forget_attempts(KEY)
        for _ in range(tries):
            queue.count_attempt(KEY)
    (failing,) = queue.troubles.failing()
    assert (failing.what, failing.standing) == ("GitHub could not answer GET /x: 500", Standing.TRIED)


class Silent(BaseHTTPRequestHandler):
    """Takes a request and never answers."""

    def do_GET(self) -> None:
        self.server.released.wait()  # type: ignore[attr-defined]

    do_POST = do_GET


@pytest.fixture
def silent() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads, server.released = True, threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.released.set()  # type: ignore[attr-defined]
        server.shutdown()


def test_a_look_whose_time_is_over_has_failed_whatever_it_waited_for(queue: WorkQueue, silent: str) -> None:
    """MLflow's client takes any exception for an outage; the end of a look's time must not be taken for one."""

    registry = Registry(silent)
    assert registry.client, "MLflow is imported, which takes longer"

    def look(_desk: Desk) -> None:
        with TimeLimit(1, JobTimeoutException):
            registry.model("fraud")

    run(handed_out(queue), queue, look)
    assert dict(results(queue)) == {Result.FAILED: 1}
    (failing,) = queue.troubles.failing()
    assert "took longer than 1 s" in failing.what
    assert queue.troubles.away() == ()


def swept(queue: WorkQueue, key: Key = KEY) -> Claimed:
    queue.request(key, urgency=Urgency.SWEEP)
    (claimed,) = queue.claim()
    return claimed


def test_a_poisoned_key_is_left_alone_by_the_sweep_after_some_tries_and_shown(
    queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = fail_with(KeyError("secret-token"))
    for _ in range(MOST_FAILURES + 3):
        run(swept(queue), queue, poison)
    assert dict(results(queue)) == {Result.FAILED: MOST_FAILURES, Result.SET_ASIDE: 3}
    (failing,) = queue.troubles.failing()
    assert failing.key == dump_key(KEY)
    assert failing.what.startswith("KeyError in test_execution.look, line ")
    assert "secret" not in failing.what, "an error's text may hold anything"
    monkeypatch.setattr(troubles, "SET_ASIDE_FOR", 0.0)
    run(swept(queue), queue, lambda _desk: None)
    assert queue.troubles.failing() == (), "it is tried again after a day, and what works is forgotten"


def test_a_poisoned_key_is_not_tried_for_ever(queue: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(troubles, "SET_ASIDE_FOR", 0.0)  # a day is over
    for _ in range(MOST_FAILURES + 20):
        run(swept(queue), queue, fail_with(KeyError()))
    assert dict(results(queue)) == {Result.FAILED: MOST_FAILURES + 20}, "however many failures there are in a week"
    monkeypatch.setattr(troubles, "GIVEN_UP_AFTER", 0.0)  # the week is over
    for _ in range(2):
        run(swept(queue), queue, fail_with(KeyError()))
    assert dict(results(queue))[Result.SET_ASIDE] == 2
    (failing,) = queue.troubles.failing()
    assert failing.standing is Standing.GIVEN_UP
    monkeypatch.setattr(troubles, "_FORGOTTEN", -1.0)
    assert queue.troubles.failing() == (failing,), "it stays in sight"
    run(handed_out(queue), queue, lambda _desk: None)
    assert queue.troubles.failing() == (), "whoever asks for it has it tried"


def test_another_version_of_the_bot_tries_anew(queue: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(troubles, "GIVEN_UP_AFTER", 0.0)
    for _ in range(MOST_FAILURES):
        run(swept(queue), queue, fail_with(KeyError()))
    monkeypatch.setattr(troubles, "_VERSION", "99.0")
    run(swept(queue), queue, fail_with(KeyError()))
    (failing,) = queue.troubles.failing()
    assert (failing.failures, failing.standing, failing.by) == (1, Standing.TRIED, "99.0")


def test_people_and_events_have_a_poisoned_key_tried_at_once(queue: WorkQueue) -> None:
    for _ in range(MOST_FAILURES):
        run(swept(queue), queue, fail_with(KeyError()))
    run(handed_out(queue), queue, fail_with(KeyError()))
    assert dict(results(queue)) == {Result.FAILED: MOST_FAILURES + 1}


def test_the_sweep_itself_is_never_set_aside(queue: WorkQueue) -> None:
    for _ in range(MOST_FAILURES + 2):
        run(swept(queue, RepositoryKey("acme/models")), queue, fail_with(KeyError()))
    assert dict(results(queue)) == {Result.FAILED: MOST_FAILURES + 2}
    assert [failing.standing for failing in queue.troubles.failing()] == [Standing.TRIED]


def test_what_kills_its_job_each_time_is_left_to_the_sweep_in_the_end(queue: WorkQueue) -> None:
    for tries in range(1, MOST_FAILURES + 1):
        claimed = handed_out(queue)
        assert queue.begin(claimed)
        give_back(claimed, queue, 1.0)
        depth = queue.depth()
        assert depth.due + depth.later == (1 if tries < MOST_FAILURES else 0)
    (failing,) = queue.troubles.failing()
    assert "killed" in failing.what


def test_what_a_look_asks_for_is_as_urgent_as_the_look(queue: WorkQueue) -> None:
    def look(desk: Desk) -> None:
        desk.look_at(KEY)
        desk.look_at(CommentKey("acme/models", 7, 70))

    run(swept(queue, RepositoryKey("acme/models")), queue, look)
    assert {c.key: c.urgency for c in queue.claim()} == {
        KEY: Urgency.SWEEP,
        CommentKey("acme/models", 7, 70): Urgency.PEOPLE,
    }


def test_success_forgets_earlier_attempts(queue: WorkQueue) -> None:
    queue.count_attempt(KEY)
    run(handed_out(queue), queue, lambda _desk: None)
    assert queue.count_attempt(KEY) == 1


def test_a_look_that_lost_its_key_stops_silently_and_touches_nothing(queue: WorkQueue, valkey: redis.Redis) -> None:
    effects: list[str] = []

    def look(desk: Desk) -> None:
        desk.still_mine()
        effects.append("first")
        valkey.flushall()
        queue.request(KEY)
        desk.still_mine()
        effects.append("second")

    run(handed_out(queue), queue, look)
    assert effects == ["first"]
    assert queue.depth().due == 1, "the key is somebody else's"
    assert results(queue) == [(Result.LOST, 1)]


def test_a_look_that_asks_nothing_keeps_its_lease_by_its_heartbeat(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = WorkQueue(valkey, lease=0.3)
    waits: list[float] = []

    class Beats(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return super().wait(timeout)

    monkeypatch.setattr(execution, "threading", SimpleNamespace(Event=Beats, Thread=threading.Thread))

    def look(_desk: Desk) -> None:
        for _ in range(3):
            end_leases(valkey, KEY)
            wait_until(lambda: valkey.zscore(ACTIVE, dump_key(KEY)), "the lease is extended")

    run(handed_out(queue), queue, look)
    assert results(queue) == [(Result.DONE, 1)]
    assert waits
    assert all(0 < each <= queue.lease / 2 for each in waits), "one that comes late is no loss"


def test_the_heartbeat_ends_with_the_look(valkey: redis.Redis) -> None:
    queue = WorkQueue(valkey, lease=0.2)
    run(handed_out(queue), queue, fail_with(LostLock("gone")))  # releases nothing
    wait_until(queue.claim, "the lease ends")


def test_a_killed_job_comes_back_less_and_less_often(queue: WorkQueue) -> None:
    claimed = handed_out(queue)
    assert queue.begin(claimed)
    give_back(claimed, queue, 1.0)
    depth = queue.depth()
    assert depth.active == 0
    assert depth.due + depth.later == 1
    assert results(queue) == [(Result.KILLED, 1)]
    assert queue.count_attempt(KEY) == 2


def test_backoff_grows_to_its_limit_and_honours_what_was_asked_for() -> None:
    for attempt in range(1, 2000):
        assert 0 <= backoff(attempt) <= min(300, 2**attempt)
        assert 90 <= backoff(attempt, retry_after=90) <= 390
    assert max(backoff(50) for _ in range(200)) > 200
