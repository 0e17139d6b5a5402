"""Which key comes first: what people wait for, then what is new, then the sweep; and nothing waits for ever."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
import redis
from rq import Queue
from rq.serializers import JSONSerializer

from bot.domain.keys import (
    CommentKey,
    Key,
    ModelKey,
    PullRequestKey,
    RegisteredModelKey,
    RepositoryKey,
    Urgency,
    urgency_of,
)
from bot.gateways.queue import ACTIVE, INBOX, RQ_QUEUES, WINDOW, Claimed, WorkQueue
from workers.process import KeyWorker

REPOSITORY = "acme/models"
MODEL, OTHER = ModelKey(REPOSITORY, "fraud"), ModelKey(REPOSITORY, "churn")
PULL, COMMENT, SWEEP = PullRequestKey(REPOSITORY, 7), CommentKey(REPOSITORY, 7, 70), RepositoryKey(REPOSITORY)


class Workers:
    """The dispatcher and workers without their processes: jobs wait in RQ's lists until they are taken."""

    def __init__(self, queue: WorkQueue, valkey: redis.Redis) -> None:
        self.queue = queue
        self._valkey = valkey
        self._handed: dict[str, Claimed] = {}

    def dispatch(self) -> list[Claimed]:
        """Hand out what is due, as `workers.process.dispatch` does."""
        claimed = list(self.queue.claim())
        for each in claimed:
            self._valkey.rpush(f"rq:queue:{RQ_QUEUES[each.urgency]}", each.token)
            self._handed[each.token] = each
        return claimed

    def take(self) -> Claimed | None:
        """Begin the next job, as RQ's worker finds it."""
        for name in RQ_QUEUES.values():
            token = self._valkey.lpop(f"rq:queue:{name}")
            if isinstance(token, bytes):
                claimed = self._handed.pop(token.decode())
                if self.queue.begin(claimed):
                    return claimed
                return self.take()  # its key has another token by now
        return None

    def look(self) -> Key | None:
        """One job from its beginning to its end."""
        self.dispatch()
        claimed = self.take()
        if claimed is None:
            return None
        self.queue.finish(claimed)
        return claimed.key


@pytest.fixture
def queue(valkey: redis.Redis) -> WorkQueue:
    return WorkQueue(valkey)


@pytest.fixture
def workers(queue: WorkQueue, valkey: redis.Redis) -> Workers:
    return Workers(queue, valkey)


def looked_at(workers: Workers) -> list[Key]:
    return [key for key in iter(workers.look, None) if key is not None]


def test_what_people_wait_for_comes_before_what_is_new_before_the_sweep(queue: WorkQueue, workers: Workers) -> None:
    queue.request(SWEEP, urgency=Urgency.SWEEP)
    queue.request(MODEL)
    queue.request(COMMENT)
    queue.request(PULL)
    assert looked_at(workers) == [COMMENT, PULL, MODEL, SWEEP]


def test_what_is_urgent_overtakes_what_was_handed_out_already(queue: WorkQueue, workers: Workers) -> None:
    queue.request(*(RegisteredModelKey(f"m{n}") for n in range(WINDOW)))
    workers.dispatch()
    queue.request(COMMENT)
    assert workers.look() == COMMENT


@pytest.mark.parametrize(
    ("requests", "first"),
    [
        ([(MODEL, Urgency.SWEEP), (OTHER, Urgency.SWEEP), (OTHER, Urgency.PEOPLE)], OTHER),
        ([(OTHER, Urgency.PEOPLE), (OTHER, Urgency.SWEEP), (MODEL, Urgency.CANDIDATE)], OTHER),
        ([(MODEL, Urgency.CANDIDATE), (OTHER, Urgency.CANDIDATE), (MODEL, Urgency.CANDIDATE)], MODEL),
    ],
    ids=["a key becomes more urgent", "and never less", "asking again loses no place"],
)
def test_a_key_is_as_urgent_as_its_most_urgent_request(
    queue: WorkQueue, workers: Workers, requests: Iterable[tuple[Key, Urgency]], first: Key
) -> None:
    for key, urgency in requests:
        queue.request(key, urgency=urgency)
    assert workers.look() == first


def test_what_comes_due_is_as_urgent_as_its_kind(queue: WorkQueue, workers: Workers) -> None:
    queue.request_at(COMMENT, datetime.now(UTC))
    queue.request_at(MODEL, datetime.now(UTC))
    assert {c.key: c.urgency for c in workers.dispatch()} == {COMMENT: Urgency.PEOPLE, MODEL: Urgency.CANDIDATE}


@pytest.mark.parametrize("urgency", Urgency)
@pytest.mark.parametrize("key", [MODEL, PULL, COMMENT, SWEEP])
def test_what_is_put_back_stays_as_urgent_as_it_was(
    queue: WorkQueue, workers: Workers, key: Key, urgency: Urgency
) -> None:
    queue.request(key, urgency=urgency)
    workers.dispatch()
    claimed = workers.take()
    assert claimed is not None
    queue.finish(claimed, again_after=0.0)
    assert [(c.key, c.urgency) for c in workers.dispatch()] == [(key, urgency)]
    again = workers.take()
    assert again is not None
    queue.finish(again)
    queue.request_at(key, datetime.now(UTC))
    assert [c.urgency for c in workers.dispatch()] == [urgency_of(key)], "what was put back is over"


def test_what_waits_for_a_worker_is_overtaken_by_a_more_urgent_request_for_it(
    queue: WorkQueue, workers: Workers
) -> None:
    queue.request(PULL, urgency=Urgency.SWEEP)
    workers.dispatch()
    queue.request(*(ModelKey(REPOSITORY, f"m{n}") for n in range(3 * WINDOW)))
    workers.dispatch()
    queue.request(PULL)
    assert workers.look() == PULL
    assert [c for c in workers.dispatch() if c.key == PULL] == []
    assert looked_at(workers).count(PULL) == 0, "the first token runs nothing"


def test_each_eighth_job_is_one_of_the_others_by_turns(valkey: redis.Redis) -> None:
    """Where there is always something that people wait for, both others get on."""
    queues = [Queue(name, connection=valkey, serializer=JSONSerializer) for name in RQ_QUEUES.values()]
    worker = KeyWorker(queues, connection=valkey, serializer=JSONSerializer)
    first = []
    for _ in range(160):
        worker.reorder_queues(queues[0])
        first.append(worker._ordered_queues[0].name)
    assert [first.count(queue.name) for queue in queues] == [140, 10, 10]
    assert {queue.name for queue in worker._ordered_queues} == set(RQ_QUEUES.values())


def test_a_flood_of_one_models_events_delays_no_other(queue: WorkQueue, workers: Workers) -> None:
    """However often the loud model is asked for, it is looked at once before the quiet one's turn comes."""
    for _ in range(1000):
        queue.request(MODEL)
    queue.request(OTHER)
    seen = []
    for _ in range(4):
        workers.dispatch()
        claimed = workers.take()
        assert claimed is not None
        for _ in range(100):
            queue.request(MODEL)  # it never stops, not while a look runs either
        queue.finish(claimed)
        seen.append(claimed.key)
    assert seen == [MODEL, OTHER, MODEL, MODEL]


def test_no_more_than_a_window_of_each_urgency_waits_in_rq_and_all_get_their_turn(
    queue: WorkQueue, workers: Workers
) -> None:
    new = [RegisteredModelKey(f"m{n}") for n in range(3 * WINDOW)]
    swept = [ModelKey(REPOSITORY, f"m{n}") for n in range(2 * WINDOW)]
    queue.request(*new)
    queue.request(*swept, urgency=Urgency.SWEEP)
    assert len(workers.dispatch()) == 2 * WINDOW
    assert workers.dispatch() == []
    seen: set[Key] = set()
    for _ in range(len(new) + len(swept)):
        workers.dispatch()
        claimed = workers.take()
        assert claimed is not None
        if len(seen) % 3 == 0:
            queue.request(claimed.key, urgency=Urgency.SWEEP)  # asked for again while it runs: keeps no other out
        queue.finish(claimed)
        seen.add(claimed.key)
    assert seen >= set(new), "what is new comes first"
    assert set(looked_at(workers)) | seen == {*new, *swept}


def test_running_looks_that_are_asked_for_again_keep_no_other_out(queue: WorkQueue, workers: Workers) -> None:
    running = [RegisteredModelKey(f"m{n}") for n in range(WINDOW)]
    queue.request(*running)
    workers.dispatch()
    begun = [workers.take() for _ in running]
    queue.request(*running)
    queue.request(OTHER)
    assert [c.key for c in workers.dispatch()] == [OTHER]
    assert None not in begun


# --- two versions of the bot beside each other ------------------------------------------------------------------------


def test_a_kind_of_key_that_only_a_newer_version_knows_is_left_to_it(queue: WorkQueue, valkey: redis.Redis) -> None:
    valkey.zadd(INBOX, {'["shadow","acme/models"]': 0})
    queue.request(MODEL)
    assert [c.key for c in queue.claim()] == [MODEL]
    assert valkey.zcard(ACTIVE) == 1
    assert queue.depth().later == 1, "it is there for whoever knows it"


def test_what_nobody_knows_is_dropped_in_the_end(queue: WorkQueue, valkey: redis.Redis) -> None:
    for tries in range(20):
        assert valkey.zcard(INBOX) == (2 if tries else 0)
        valkey.zadd(INBOX, {"not a key": 0, b"\xff\xfe": 0})  # its time has come again
        assert queue.claim() == ()
    assert valkey.zcard(INBOX) == 0
    assert valkey.zcard(ACTIVE) == 0


@pytest.mark.parametrize(
    ("token", "urgency"),
    [
        ("6f1d-0-0", Urgency.PEOPLE),
        ("6f1d-17-2", Urgency.SWEEP),
        ("6f1d-17", Urgency.CANDIDATE),
        ("6f1d-1-9", Urgency.CANDIDATE),
        ("one", Urgency.CANDIDATE),
    ],
)
def test_a_token_of_another_version_is_for_what_is_new(token: str, urgency: Urgency) -> None:
    assert Claimed(MODEL, token).urgency is urgency


def test_a_lost_lease_comes_back_as_urgent_as_it_was(valkey: redis.Redis) -> None:
    hasty = WorkQueue(valkey, lease=0.0)
    hasty.request(MODEL, urgency=Urgency.SWEEP)
    hasty.request(OTHER)
    first = {c.key: c.urgency for c in hasty.claim()}
    assert {c.key: c.urgency for c in hasty.claim()} == first == {MODEL: Urgency.SWEEP, OTHER: Urgency.CANDIDATE}
