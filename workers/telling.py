"""What happened, told to the metrics and to whoever is notified: after the effect, so that it did come to be."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from bot.comments.notifications import slack_text
from bot.domain.actions import Action, StoreVerdict
from bot.domain.github_app import site_of
from bot.domain.happening import Happening, HappeningKind
from bot.domain.plain import moment_text
from bot.gateways.measurements import CHECKS, HAPPENINGS, NOTIFICATIONS, TO_LIVE, TOUCHED, VERDICTS
from bot.gateways.receivers import SLACK, WEBHOOK
from bot.logs import about
from bot.wiring import Gateways

log = logging.getLogger("promotion-bot.worker")


def measure_verdict(gateways: Gateways, repository: str, action: Action) -> None:
    """Count a verdict and its checks."""
    if isinstance(action, StoreVerdict):
        measured, verdict = gateways.measurements, action.evaluation.verdict
        measured.count(VERDICTS, repository, action.environment, verdict.status_before_proposal.value)
        for outcome in verdict.outcomes:
            measured.count(CHECKS, repository, action.environment, outcome.check, outcome.status.value)


def tell(gateways: Gateways, happened: Iterable[Happening], now: datetime) -> None:
    """Log and count what happened, and write down whom to tell. Nothing is sent here."""
    for each in happened:
        place = {"repository": each.repository, "model": each.model, "environment": each.environment}
        with about(**place, version=each.version):
            log.info("%s%s", each.kind.replace("_", " "), f" (#{each.pull_request})" if each.pull_request else "")
        _measure(gateways, each, now)
        _notify(gateways, each, now)


def _measure(gateways: Gateways, happening: Happening, now: datetime) -> None:
    measured, place = gateways.measurements, (happening.repository, happening.environment)
    measured.count(HAPPENINGS, *place, happening.kind.value)
    if happening.kind is HappeningKind.LIVE:
        measured.count(TOUCHED, *place, "bot" if happening.by == gateways.login() else "people")
        if happening.registered_at is not None:
            measured.observe(TO_LIVE, max(0.0, (now - happening.registered_at).total_seconds()), *place)


def _notify(gateways: Gateways, happening: Happening, now: datetime) -> None:
    settings = gateways.settings
    if happening.kind not in settings.notify_events:
        return
    url = page_of(settings.github_api_url, happening)
    bodies = {
        SLACK: {"text": slack_text(happening, url), "unfurl_links": False, "unfurl_media": False},
        WEBHOOK: {**happening.to_dict(), "at": moment_text(now), "url": url},
    }
    for outbox in gateways.outboxes:
        for _crowded_out in range(outbox.put(happening.id, bodies[outbox.receiver])):
            gateways.measurements.count(NOTIFICATIONS, outbox.receiver, "given up")


def page_of(api_url: str, happening: Happening) -> str:
    """Where people look at it on GitHub: the pull request, or the repository."""
    page = f"{site_of(api_url)}/{happening.repository}"
    return f"{page}/pull/{happening.pull_request}" if happening.pull_request is not None else page
