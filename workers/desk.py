"""What a look is given beside the gateways: the queue, as far as it may use it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.domain.errors import Service
from bot.domain.keys import CommentKey, Key, Urgency
from bot.gateways.origins import UNKNOWN, Origin
from bot.gateways.queue import Claimed, WorkQueue
from bot.tracing import carried


@dataclass(frozen=True, slots=True)
class Desk:
    """What a look may do with the queue. `origin` is what led to it.

    `answered` are the services that answered it; `silent` says of one that it went on without why it did.
    """

    queue: WorkQueue
    claimed: Claimed
    origin: Origin = UNKNOWN
    answered: set[Service] = field(default_factory=set)
    silent: dict[Service, str] = field(default_factory=dict)

    def still_mine(self) -> None:
        """Raise LostLock if another worker has taken the key over; asked before each effect."""
        self.queue.still_mine(self.claimed)

    def look_at(self, key: Key) -> None:
        """Queue another key, or this one once more after this run; it is as urgent as what led to it."""
        urgency = Urgency.PEOPLE if isinstance(key, CommentKey) else self.claimed.urgency
        self.queue.request(key, urgency=urgency, origin=replace(self.origin, trace=carried()))

    def look_again(self, at: datetime) -> None:
        """Queue this key for a later moment."""
        self.queue.request_at(self.claimed.key, at)

    def remember_who_answered(self) -> None:
        """Note which services are back, and which are away: those of whose answers this look had none at all."""
        self.queue.troubles.is_back(*self.answered)
        for service in self.silent.keys() - self.answered:
            self.queue.troubles.is_away(service, self.silent[service])
