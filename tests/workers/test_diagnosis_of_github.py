"""The doctor on GitHub's side: webhooks and their deliveries, tokens, clocks; each finding says what mends it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.gateways.cache import Cache
from bot.sandbox.github import GitHubSandbox, SandboxRepository
from bot.sandbox.github.state import App
from bot.settings import AppCredentials, Secret, Settings
from bot.wiring import Gateways
from workers.diagnosis import Diagnosis, State
from workers.diagnosis.clock import look_at_clocks
from workers.diagnosis.deploy_repository import look_at_repository
from workers.diagnosis.github_account import look_at_account

PUBLIC = "http://127.0.0.1:9"
ADDRESS = f"{PUBLIC}/webhooks/github"


@dataclass
class Site:
    """A GitHub with one repository, and the bot's settings for it."""

    github: GitHubSandbox
    repository: SandboxRepository
    app: App
    settings: Settings

    def gateways(self, **changed: object) -> Gateways:
        return Gateways(replace(self.settings, **changed), Cache(None))  # type: ignore[arg-type]

    def with_token(self, role: str, scopes: str | None = None) -> Gateways:
        self.repository.repo.collaborators["promo"] = role
        return self.gateways(github_credentials=Secret(self.github.add_token("promo", scopes)))

    def delivered(self, status: int) -> None:
        """GitHub delivered a push, which was answered so."""
        self.repository.push({"a.txt": f"{status}"})
        self.github.webhooks.wait()
        self.github.webhooks.deliveries[-1].status = status


@pytest.fixture
def site(settings: Settings) -> Iterator[Site]:
    with GitHubSandbox() as github:
        app = github.add_app("promotion-bot", ADDRESS, "secret")
        repository = github.add_repository("acme/models", {"README.md": ""}, {}, [app])
        known = replace(
            settings,
            github_api_url=github.api_url,
            github_credentials=AppCredentials(str(app.id), Secret(app.private_key_pem)),
            repositories=("acme/models",),
            public_url=PUBLIC,
        )
        yield Site(github, repository, app, known)


def found(gateways: Gateways, what: str) -> Diagnosis:
    everything = [*look_at_account(gateways), *look_at_repository(gateways, "acme/models", [])]
    for each in everything:
        assert each.state is State.GOOD or each.mend, f"nothing mends {each}"
    (named,) = [each for each in everything if each.what == what]
    return named


def test_a_webhook_that_is_right(site: Site) -> None:
    assert found(site.gateways(), "GitHub webhook").state is State.GOOD
    site.delivered(202)
    assert found(site.gateways(), "GitHub webhook: last delivery").says.endswith("answered with 202")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"webhook_url": f"{PUBLIC}/elsewhere"}, f"it delivers to {PUBLIC}/elsewhere instead of {ADDRESS}"),
        ({"webhook_secret": ""}, "it has no secret"),
        ({"events": ["push"]}, "it lacks the events check_run, check_suite, issue_comment, pull_request"),
        ({"webhook_url": None}, "there is none"),
    ],
)
def test_a_webhook_that_is_wrong(site: Site, change: dict[str, object], says: str) -> None:
    for name, value in change.items():
        setattr(site.app, name, value)
    webhook = found(site.gateways(), "GitHub webhook")
    assert webhook.state is State.BAD
    assert says in webhook.says
    assert "/settings/apps/promotion-bot" in webhook.mend


def test_the_event_of_merge_queues_may_be_missing_with_its_permission(site: Site) -> None:
    site.app.events = [
        "check_run",
        "check_suite",
        "issue_comment",
        "pull_request",
        "pull_request_review",
        "push",
        "status",
    ]
    assert found(site.gateways(), "GitHub webhook").state is State.GOOD


@pytest.mark.parametrize(
    ("status", "says", "mend"),
    [
        (401, "its secret is not the bot's", "GITHUB_WEBHOOK_SECRET"),
        (502, "was answered with 502", "Redeliver"),
        (0, "did not arrive", "Redeliver"),
    ],
)
def test_a_delivery_that_failed(site: Site, status: int, says: str, mend: str) -> None:
    site.delivered(202)
    site.delivered(status)
    last = found(site.gateways(), "GitHub webhook: last delivery")
    assert last.state is State.BAD
    assert says in last.says
    assert mend in last.mend


def test_nothing_was_delivered_yet(site: Site) -> None:
    assert found(site.gateways(), "GitHub webhook: last delivery").state is State.UNKNOWN


def test_nobody_said_where_it_is_reached(site: Site) -> None:
    webhook = found(site.gateways(public_url=None), "GitHub webhook: last delivery")
    assert webhook.state is State.UNKNOWN


@pytest.mark.parametrize(
    ("scopes", "state", "says"),
    [
        ("repo, read:org", State.GOOD, "has the scopes read:org, repo"),
        ("read:org", State.BAD, "lacks the scope repo"),
        ("repo, delete_repo, admin:org", State.UNKNOWN, "admin:org, delete_repo"),
    ],
)
def test_the_scopes_of_a_classic_token(site: Site, scopes: str, state: State, says: str) -> None:
    token = found(site.with_token("write", scopes), "GitHub token")
    assert token.state is state
    assert says in token.says


@pytest.mark.parametrize(
    ("role", "state", "says"),
    [
        ("write", State.GOOD, "write, and no more"),
        ("read", State.BAD, "it may not write"),
        ("admin", State.UNKNOWN, "it may more than it needs: admin, maintain"),
    ],
)
def test_the_rights_of_a_token_in_a_repository(site: Site, role: str, state: State, says: str) -> None:
    rights = found(site.with_token(role), "acme/models: the token's rights")
    assert rights.state is state
    assert says in rights.says


def test_a_repositorys_webhook_is_looked_at_where_a_token_may_see_it(site: Site) -> None:
    unseen = found(site.with_token("write"), "acme/models: webhook")
    assert unseen.state is State.UNKNOWN
    assert found(site.with_token("admin"), "acme/models: webhook").says == f"none delivers to {ADDRESS}"
    hook = site.repository.add_hook(ADDRESS, "secret")
    assert found(site.with_token("admin"), "acme/models: webhook").state is State.GOOD
    hook.active = False
    assert found(site.with_token("admin"), "acme/models: webhook").says == "it is switched off"
    site.delivered(401)
    assert found(site.with_token("admin"), "acme/models: webhook: last delivery").state is State.BAD


def test_a_missing_pipeline_is_mended_by_init(site: Site) -> None:
    assert "promotion-bot init --repository acme/models" in found(site.gateways(), "acme/models: promotion.yaml").mend


@pytest.mark.parametrize(
    ("off", "state", "says"),
    [(0, State.GOOD, "agrees"), (-90, State.BAD, "behind"), (300, State.BAD, "ahead")],
)
def test_a_clock_that_is_wrong_is_found_although_nobody_can_sign_in(
    site: Site, off: int, state: State, says: str
) -> None:
    gateways = Gateways(
        replace(site.settings, mlflow_tracking_uri="file:///nowhere"),
        Cache(None),
        lambda: datetime.now(UTC) + timedelta(seconds=off),
    )
    (clock,) = look_at_clocks(gateways)
    assert clock.state is state
    assert says in clock.says
    told = re.search(r"(\d+) s ", clock.says)
    assert (int(told[1]) if told else 0) == pytest.approx(abs(off), abs=25), "a header tells whole seconds"


def test_a_password_in_an_address_is_not_shown(site: Site) -> None:
    gateways = site.gateways(mlflow_tracking_uri="http://me:hunter2@127.0.0.1:9")
    _, mlflow = look_at_clocks(gateways)
    assert mlflow.state is State.AWAY
    assert "hunter2" not in str(mlflow)
