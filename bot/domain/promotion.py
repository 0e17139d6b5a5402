"""The decision: what must happen next for one model, from one observation of the world."""

from __future__ import annotations

from datetime import datetime

from bot.domain.actions import Action
from bot.domain.candidates import propose_candidates
from bot.domain.drift import settle_drift
from bot.domain.merged import apply_manifest
from bot.domain.proposals import settle_proposals
from bot.domain.requests import fulfil_requests
from bot.domain.world import Observation


def decide(world: Observation, now: datetime) -> list[Action]:
    """What must happen next for one model in one repository; empty when the world is as it should be."""
    return [
        *apply_manifest(world, now),  # registry follows what was merged and authorised
        *settle_drift(world, now),  # the registry follows nothing else
        *settle_proposals(world, now),  # open pull requests: supersede, close, merge
        *fulfil_requests(world, now),  # what people asked for, and its answer
        *propose_candidates(world, now),  # new pull requests, refusals
    ]
