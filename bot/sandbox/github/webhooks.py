"""Signed webhook deliveries, in order, from one thread; with switches for what can go wrong on the way."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests

from bot.sandbox.github.shapes import Shapes
from bot.sandbox.github.state import Repo, World


@dataclass
class Delivery:
    """One delivery: what was sent where, and how it was answered; `receiver` is the id of an App or a hook."""

    id: str
    event: str
    url: str
    secret: str
    payload: dict[str, Any]
    number: int = 0
    receiver: int = 0
    at: datetime | None = None
    status: int | None = None


@dataclass
class Webhooks:
    """Delivers every change to the App and the repository's hooks."""

    world: World
    shapes: Shapes
    deliveries: list[Delivery] = field(default_factory=list)
    _drop: int = 0
    _twice: int = 0
    _hold: int = 0
    _turn: int = 0
    _held: list[Delivery] = field(default_factory=list)
    _pending: queue.Queue[Delivery | None] = field(default_factory=queue.Queue)
    _thread: threading.Thread | None = None

    def drop(self, count: int) -> None:
        """Lose the next `count` deliveries."""
        self._drop = count

    def duplicate(self, count: int) -> None:
        """Deliver the next `count` deliveries twice."""
        self._twice = count

    def delay(self, count: int) -> None:
        """Keep the next `count` deliveries back until `release`."""
        self._hold = count

    def release(self) -> None:
        """Let go of what was kept back."""
        held, self._held, self._hold = self._held, [], 0
        for delivery in held:
            self._pending.put(delivery)

    def reorder(self, count: int) -> None:
        """Deliver the next `count` deliveries in the opposite order."""
        self._hold = self._turn = count

    def emit(self, repo: Repo, event: str, sender: str, **payload: Any) -> None:  # noqa: ANN401 - GitHub's payloads
        """Queue an event for everybody who listens."""
        body = {**payload, "repository": self.shapes.repository(repo), "sender": self.shapes.user(sender)}
        targets = [(app.id, app.webhook_url, app.webhook_secret) for app in repo.apps if app.webhook_url]
        targets += [(hook.id, hook.url, hook.secret) for hook in repo.hooks]
        for receiver, url, secret in targets:
            number, now = self.world.next_id(), self.world.clock()
            delivery = Delivery(str(uuid.uuid4()), event, url or "", secret, body, number, receiver, now)
            self.deliveries.append(delivery)
            self._send(delivery)

    def _send(self, delivery: Delivery) -> None:
        """On its way, unless a switch has something else in mind for it."""
        if self._drop:
            self._drop -= 1
        elif self._hold:
            self._hold -= 1
            self._held.append(delivery)
            if self._turn and self._turn == len(self._held):
                self._held.reverse()
                self._turn = 0
                self.release()
        else:
            self._pending.put(delivery)
            if self._twice:
                self._twice -= 1
                self._pending.put(delivery)

    def redeliver(self, delivery: Delivery) -> None:
        """Send a delivery again under its old id."""
        self._pending.put(delivery)

    def to(self, receiver: int) -> list[Delivery]:
        """What was sent to an App or a hook and came to an end, the newest first."""
        return [d for d in reversed(self.deliveries) if d.receiver == receiver and d.status is not None]

    def take(self) -> list[Delivery]:
        """What waits to be delivered, for a test that carries it itself."""
        taken = []
        while not self._pending.empty():
            delivery = self._pending.get()
            self._pending.task_done()
            if delivery is not None:
                taken.append(delivery)
        return taken

    def wait(self) -> None:
        """Until everything that was queued is delivered."""
        self._pending.join()

    def start(self) -> None:
        """Begin to deliver."""
        self._thread = threading.Thread(target=self._deliver, daemon=True, name="webhooks")
        self._thread.start()

    def stop(self) -> None:
        """Stop after what is under way."""
        self._pending.put(None)
        if self._thread:
            self._thread.join(timeout=15)

    def _deliver(self) -> None:
        session = requests.Session()
        while (delivery := self._pending.get()) is not None:
            body = json.dumps(delivery.payload).encode()
            digest = hmac.new(delivery.secret.encode(), body, hashlib.sha256).hexdigest()
            headers = {
                "Content-Type": "application/json",
                "X-GitHub-Event": delivery.event,
                "X-GitHub-Delivery": delivery.id,
                "X-Hub-Signature-256": f"sha256={digest}",
                "User-Agent": "GitHub-Hookshot/sandbox",
            }
            try:
                delivery.status = session.post(delivery.url, data=body, headers=headers, timeout=10).status_code
            except requests.RequestException:
                delivery.status = 502
            self._pending.task_done()
        self._pending.task_done()
