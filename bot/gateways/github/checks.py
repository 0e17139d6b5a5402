"""The bot's checks: check runs as an App, commit statuses with a token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from bot.domain.pull_requests import Check, CheckName, CheckState, Login
from bot.gateways.github.api import RepositoryApi, time_of
from policies.evidence import CiResult, CiState

DESCRIPTION_LIMIT: Final = 140  # characters of a status' and a deployment's description
_FINGERPRINT = re.compile(r" \[([0-9a-f]{16})\]$")


class Checks:
    """The bot's checks on the commits of one repository."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api

    def of(self, sha: str) -> dict[str, Check]:
        """The bot's own checks on a commit by name; what others wrote under the same names does not count."""
        if self._api.app_id is None:
            return self._statuses(sha)
        found: dict[str, tuple[int, Check]] = {}
        for page in self._api.pages(f"/commits/{sha}/check-runs", filter="latest"):
            for run in page:
                if (run.get("app") or {}).get("id") != self._api.app_id:
                    continue
                if run["name"] not in found or run["id"] > found[run["name"]][0]:
                    found[run["name"]] = (run["id"], _check_run(run))
        return {name: check for name, (_, check) in found.items()}

    def _statuses(self, sha: str) -> dict[str, Check]:
        found: dict[str, Check] = {}
        for page in self._api.pages(f"/commits/{sha}/statuses"):
            for row in page:
                if Login((row["creator"] or {}).get("login", "")) == self._api.login():
                    found.setdefault(row["context"], _status_check(row))
        return found

    def shown(self, sha: str) -> dict[str, Check]:
        """The promotion's checks on a commit as GitHub's page shows them, whoever wrote them: only for looking at."""
        found: dict[str, Check] = {}
        for row in (row for page in self._api.pages(f"/commits/{sha}/statuses") for row in page):
            if row["context"] in set(CheckName):
                found.setdefault(row["context"], _status_check(row))
        runs: dict[str, int] = {}
        for run in (run for page in self._api.pages(f"/commits/{sha}/check-runs", filter="latest") for run in page):
            if run["name"] in set(CheckName) and run["id"] > runs.get(run["name"], 0):
                runs[run["name"]], found[run["name"]] = run["id"], _check_run(run)
        return found

    def by_others(self, sha: str, name: str, author: str) -> CiResult | None:
        """The newest check run or status of a name that an App (its slug) or a user wrote on a commit."""
        runs = self._api.get_or_none(f"/commits/{sha}/check-runs", check_name=name, per_page=100)
        newest = max(
            (run for run in (runs or {}).get("check_runs", ()) if _slug(run) == author.casefold()),
            key=lambda run: int(run["id"]),
            default=None,
        )
        if newest is not None:
            return _ci_result(newest)
        for page in self._api.pages(f"/commits/{sha}/statuses"):
            for row in page:
                login = str((row["creator"] or {}).get("login", "")).casefold()
                if row["context"] == name and login in (author.casefold(), f"{author.casefold()}[bot]"):
                    state = {"success": CiState.SUCCESS, "pending": CiState.RUNNING}.get(row["state"], CiState.FAILURE)
                    return CiResult(state, row.get("target_url") or "")
        return None

    def write(self, sha: str, check: Check, url: str) -> None:
        """Write one check: a check run as an App, a commit status with a token."""
        if self._api.app_id is None:
            state = {CheckState.SUCCESS: "success", CheckState.IN_PROGRESS: "pending"}.get(check.state, "failure")
            self._api.write(
                "POST",
                f"/statuses/{sha}",
                state=state,
                context=check.name,
                description=_described(check),
                target_url=url,
            )
            return
        body: dict[str, object] = {
            "name": check.name,
            "head_sha": sha,
            "external_id": check.fingerprint,
            "output": {"title": check.title[:255], "summary": check.summary[:65_000] or check.title},
        }
        if url:
            body["details_url"] = url
        if check.state is CheckState.IN_PROGRESS:
            body["status"] = "in_progress"
        else:
            body |= {"status": "completed", "conclusion": check.state.value}
        self._api.write("POST", "/check-runs", **body)


def _slug(run: Mapping[str, Any]) -> str:
    return str((run.get("app") or {}).get("slug", "")).casefold()


def _ci_result(run: Mapping[str, Any]) -> CiResult:
    """A conclusion other than success is none: GitHub counts neutral and skipped as passed, a policy does not."""
    state = CiState.RUNNING
    if run["status"] == "completed":
        state = CiState.SUCCESS if run["conclusion"] == "success" else CiState.FAILURE
    return CiResult(state, run.get("html_url") or "")


def _check_run(run: Mapping[str, Any]) -> Check:
    state = CheckState.IN_PROGRESS
    if run["status"] == "completed":
        known = set(CheckState)
        state = CheckState(run["conclusion"]) if run["conclusion"] in known else CheckState.FAILURE
    output = run.get("output") or {}
    return Check(
        run["name"],
        state,
        output.get("title") or "",
        output.get("summary") or "",
        run.get("external_id") or "",
        time_of(run["started_at"]) if run.get("started_at") else None,
    )


def _status_check(row: Mapping[str, Any]) -> Check:
    states = {"success": CheckState.SUCCESS, "pending": CheckState.IN_PROGRESS}
    description = row["description"] or ""
    found = _FINGERPRINT.search(description)
    return Check(
        row["context"],
        states.get(row["state"], CheckState.FAILURE),
        _FINGERPRINT.sub("", description),
        fingerprint=found[1] if found else "",
        written_at=time_of(row["created_at"]),
    )


def _described(check: Check) -> str:
    """A status has no field for the fingerprint, so it stands at the end of the description."""
    suffix = f" [{check.fingerprint}]" if check.fingerprint else ""
    return status_title(check.title, check.fingerprint) + suffix


def status_title(title: str, fingerprint: str) -> str:
    """As much of a check's title as a commit status can carry beside the fingerprint."""
    room = DESCRIPTION_LIMIT - (len(fingerprint) + 3 if fingerprint else 0)
    return title if len(title) <= room else title[: room - 1] + "…"
