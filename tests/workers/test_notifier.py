"""Notifications against real receivers: signed, once, tried again, to the configured address alone, delaying nobody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
import redis

from bot.domain.errors import Misconfigured
from bot.domain.happening import Happening, HappeningKind
from bot.domain.pull_requests import Login
from bot.gateways.cache import Cache
from bot.gateways.measurements import NOTIFICATIONS
from bot.gateways.measurements import read as measured_by_all
from bot.gateways.outbox import MOST_TRIES, Outbox
from bot.gateways.receivers import SLACK, WEBHOOK, receivers_of
from bot.gateways.redis_connection import connect
from bot.settings import Secret, Settings, load_settings
from bot.wiring import Gateways
from tests.conftest import wait_until
from tests.receiver import Receiver, receiving
from workers.notifier import run_notifier, send_next
from workers.telling import page_of, tell

LIVE = Happening(HappeningKind.LIVE, "acme/models", "fraud", "production", 3, "c1", (), 7, "bob")
REFUSED = Happening(HappeningKind.REFUSED, "acme/models", "fraud", "production", 4, "p1", ("accuracy: 0.5",))


class Known(Gateways):
    """The outside world of a bot whose login is known without asking."""

    def login(self) -> Login:
        return Login("promo")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as listening:
        yield listening


@pytest.fixture
def gateways(settings: Settings, receiver: Receiver, valkey: redis.Redis) -> Gateways:
    known = replace(
        settings,
        notify_webhook_url=Secret(f"{receiver.url}/hook?token=hidden"),
        notify_webhook_secret=Secret("of the receiver"),
    )
    return Known(known, Cache(valkey))


@dataclass
class Clock:
    """The outbox' own, which stands."""

    now: float = 1e9

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stands = Clock()
    monkeypatch.setattr("bot.gateways.outbox.time", stands)
    return stands


def told(gateways: Gateways, *happened: Happening) -> None:
    tell(gateways, happened, datetime(2026, 1, 2, tzinfo=UTC))


def send_all(gateways: Gateways) -> int:
    sent = 0
    for outbox in gateways.outboxes:
        while send_next(gateways.settings, outbox, gateways.measurements):
            sent += 1
    return sent


DUE, TRIES = Outbox(None, WEBHOOK).due, Outbox(None, WEBHOOK).tries


def make_due(valkey: redis.Redis) -> None:
    for name in valkey.zrange(DUE, 0, -1):
        valkey.zadd(DUE, {name: 0})


def test_what_happened_arrives_once_signed_as_mlflow_signs(gateways: Gateways, receiver: Receiver) -> None:
    told(gateways, LIVE)
    told(gateways, LIVE)
    assert send_all(gateways) == 1
    ((path, headers, body),) = receiver.came
    assert path == "/hook"
    said = json.loads(body)
    assert {name: said[name] for name in ("event", "model", "environment", "version", "by")} == {
        "event": "live",
        "model": "fraud",
        "environment": "production",
        "version": 3,
        "by": "bob",
    }
    stamp, name = headers["X-Promotion-Timestamp"], headers["X-Promotion-Delivery-Id"]
    assert abs(int(stamp) - time.time()) < 60
    digest = hmac.new(b"of the receiver", f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()
    assert headers["X-Promotion-Signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert name == f"webhook:{LIVE.id}"


def test_slack_gets_a_text(gateways: Gateways, receiver: Receiver) -> None:
    changed = replace(gateways.settings, notify_slack_url=Secret(f"{receiver.url}/slack"), notify_webhook_url=None)
    gateways.settings = changed
    told(gateways, LIVE)
    assert send_all(gateways) == 1
    ((path, headers, body),) = receiver.came
    assert path == "/slack"
    assert "fraud v3 is live in production" in json.loads(body)["text"]
    assert "X-Promotion-Signature" not in headers


def test_only_what_was_asked_for(gateways: Gateways, receiver: Receiver) -> None:
    gateways.settings = replace(gateways.settings, notify_events=frozenset({HappeningKind.REFUSED}))
    told(gateways, LIVE, REFUSED)
    send_all(gateways)
    assert [json.loads(body)["event"] for _, _, body in receiver.came] == ["refused"]


def test_a_receiver_that_is_away_is_tried_again_later_and_later(
    gateways: Gateways, receiver: Receiver, valkey: redis.Redis, clock: Clock
) -> None:
    receiver.status = 503
    told(gateways, LIVE)
    for wait in (2, 4, 8):
        assert send_all(gateways) == 1
        ((_, due),) = valkey.zrange(DUE, 0, -1, withscores=True)
        assert due == clock.now + wait
        clock.now = due
    receiver.status = 204
    assert send_all(gateways) == 1
    assert len({headers["X-Promotion-Delivery-Id"] for _, headers, _ in receiver.came}) == 1
    assert valkey.zcard(DUE) == 0


def test_it_is_given_up_in_the_end(gateways: Gateways, receiver: Receiver, valkey: redis.Redis) -> None:
    receiver.status = 500
    told(gateways, LIVE)
    for _ in range(MOST_TRIES + 3):
        send_all(gateways)
        make_due(valkey)
    assert len(receiver.came) == MOST_TRIES
    assert valkey.zcard(DUE) == valkey.hlen(TRIES) == 0


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404])
def test_a_redirect_or_a_no_is_not_followed_and_not_tried_again(
    gateways: Gateways, receiver: Receiver, valkey: redis.Redis, status: int
) -> None:
    receiver.status, receiver.headers = status, {"Location": f"{receiver.url}/elsewhere"}
    told(gateways, LIVE)
    send_all(gateways)
    assert [path for path, _, _ in receiver.came] == ["/hook"]
    assert valkey.zcard(DUE) == 0


def test_a_message_waits_for_another_sender_when_one_dies(
    gateways: Gateways, receiver: Receiver, valkey: redis.Redis
) -> None:
    told(gateways, LIVE)
    (outbox,) = gateways.outboxes
    taken = outbox.take()
    assert taken is not None
    assert outbox.take() is None  # it is somebody's for a minute
    make_due(valkey)
    assert send_all(gateways) == 1
    assert len(receiver.came) == 1


@pytest.mark.usefixtures("clock")
def test_what_came_of_each_try_is_counted(gateways: Gateways, receiver: Receiver, valkey: redis.Redis) -> None:
    told(gateways, LIVE)
    send_all(gateways)
    for receiver.status in (503, 404):
        told(gateways, replace(LIVE, occasion=str(receiver.status)))
        send_all(gateways)
    (outbox,) = gateways.outboxes
    for number in range(1000):
        outbox.put(f"{number:04}", {})
    told(gateways, REFUSED)  # one waited already
    gateways.measurements.flush()
    counted = {sample.labels: sample.value for sample in measured_by_all(valkey)[NOTIFICATIONS]}
    assert counted == {("webhook", "sent"): 1, ("webhook", "retried"): 1, ("webhook", "given up"): 2}


def test_no_more_than_a_thousand_wait(gateways: Gateways, valkey: redis.Redis) -> None:
    (outbox,) = gateways.outboxes
    for number in range(1010):
        outbox.put(f"{number:04}", {})
    assert valkey.zcard(DUE) == 1000
    assert valkey.zrank(DUE, "webhook:1009") is not None


def test_what_somebody_else_put_there_is_let_go(valkey: redis.Redis) -> None:
    valkey.zadd(DUE, {"junk": 0})
    assert Outbox(valkey, WEBHOOK).take() is None
    assert valkey.zcard(DUE) == 0


def test_telling_waits_for_no_receiver_and_no_redis(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    connect_to = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", lambda *to: (asked.append(to[1]), connect_to(*to)))
    away = Known(
        replace(settings, notify_slack_url=Secret("http://192.0.2.1/x")), Cache(connect(Secret("unix:///nowhere")))
    )
    told(away, LIVE)
    assert set(asked) == {"/nowhere"}, "never the receiver"


@pytest.mark.parametrize(
    ("api", "page"),
    [
        ("https://api.github.com", "https://github.com/acme/models/pull/7"),
        ("https://ghe.example.com/api/v3", "https://ghe.example.com/acme/models/pull/7"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com/acme/models/pull/7"),
    ],
)
def test_where_it_can_be_looked_at(api: str, page: str) -> None:
    assert page_of(api, LIVE) == page


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"PROMOTION_NOTIFY_SLACK_URL": "file:///etc/passwd"}, "PROMOTION_NOTIFY_SLACK_URL is not an http"),
        ({"PROMOTION_NOTIFY_WEBHOOK_URL": "https://x.example"}, "PROMOTION_NOTIFY_WEBHOOK_SECRET is missing"),
        ({"PROMOTION_NOTIFY_EVENTS": "live,lost"}, "lost; there are drift, live"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], variables: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured, match="environment") as error:
        load_settings({**environ, **variables})
    assert says in str(error.value)


def test_the_addresses_are_secrets(environ: dict[str, str]) -> None:
    known = load_settings({**environ, "PROMOTION_NOTIFY_SLACK_URL": "https://hooks.slack.com/services/T0/B0/hidden"})
    assert "hidden" not in repr(known)


def test_the_process_sends_what_is_written_down_and_ends_when_told(
    gateways: Gateways, receiver: Receiver, valkey_url: Secret
) -> None:
    known = replace(gateways.settings, redis_url=valkey_url)
    assert receivers_of(known) == (WEBHOOK,)
    process = multiprocessing.get_context("fork").Process(target=run_notifier, args=(known, WEBHOOK))
    process.start()
    try:
        told(gateways, LIVE, REFUSED)
        wait_until(lambda: len(receiver.came) == 2, "both arrive")
    finally:
        process.terminate()
        process.join(60)
    assert process.exitcode == 0


def test_a_message_that_is_taken_slowly_is_sent_all_the_same(
    gateways: Gateways, receiver: Receiver, valkey_url: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the receiver has a time limit: a message whose sender was stopped as it took it would lie for a minute."""
    take = Outbox.take
    monkeypatch.setattr(Outbox, "take", lambda outbox: (time.sleep(1), take(outbox))[1])
    told(gateways, LIVE)
    known = replace(gateways.settings, redis_url=valkey_url)
    process = multiprocessing.get_context("fork").Process(target=run_notifier, args=(known, WEBHOOK, 0.5))
    process.start()
    try:
        wait_until(lambda: receiver.came, "it arrives", 30)
    finally:
        process.terminate()
        process.join(60)


@contextmanager
def talking_for_ever() -> Iterator[str]:
    """Where somebody answers a byte at a time, and never ends."""
    ended = threading.Event()

    def talk(server: socket.socket) -> None:
        with suppress(OSError):
            while not ended.is_set():
                caller, _ = server.accept()
                with caller, suppress(OSError):
                    caller.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not ended.wait(0.05):
                        caller.sendall(b"z")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=talk, args=(server,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_receiver_that_never_ends_is_given_its_time_and_keeps_nobody_else_from_hearing(
    gateways: Gateways, receiver: Receiver, valkey: redis.Redis, valkey_url: Secret
) -> None:
    tries = Outbox(None, SLACK).tries
    with talking_for_ever() as address:
        gateways.settings = replace(gateways.settings, redis_url=valkey_url, notify_slack_url=Secret(address))
        told(gateways, LIVE)
        fork = multiprocessing.get_context("fork")
        processes = [
            fork.Process(target=run_notifier, args=(gateways.settings, name, 0.5))
            for name in receivers_of(gateways.settings)
        ]
        for process in processes:
            process.start()
        try:
            wait_until(lambda: receiver.came, "the other one hears")
            wait_until(lambda: int(valkey.hget(tries, f"slack:{LIVE.id}") or 0) >= 2, "it is tried again")
        finally:
            for process in processes:
                process.terminate()
                process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
