"""The board in a real browser: main paths, a phone, the keyboard, a screen reader, dark and light."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import resources
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import expect

from bot.domain.board import Cell, Matter, MatterKind
from bot.domain.model_detail import Checked, ModelDetail, VersionSeen
from bot.domain.timeline import Event, EventKind
from tests.board import company
from tests.board.conftest import Visit, Visits

MODEL = f"/model?repository={quote(company.REPOSITORY, safe='')}&name={company.FEATURED}"
POLICY = f"/policy?repository={quote(company.REPOSITORY, safe='')}&path=policies%2Fproduction.yaml"
PAGES = {"overview": "/", "model": MODEL, "policies": "/policies", "policy": POLICY, "service": "/service"}
NAMES = ("x" * 1_000, "long words " * 90, "\u202eevom", "a\r\nb\u2028c", "مرحبا بالعالم")
NOW = datetime.now(UTC)
SERIOUS = ("serious", "critical")


def findings(visit: Visit) -> list[str]:
    """What axe-core finds that is serious."""
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    visit.page.evaluate(axe)
    found = visit.page.evaluate("axe.run()")
    return [
        f"{v['id']}: {node['html'][:200]} {node['failureSummary']}"
        for v in found["violations"]
        if v["impact"] in SERIOUS
        for node in v["nodes"]
    ]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_every_page_is_accessible_and_fits_the_screen(visits: Visits, name: str, width: int, scheme: str) -> None:
    visit = visits.on(width, scheme=scheme)
    page = visit.open(PAGES[name])
    visit.picture(f"{name}-{width}-{scheme}")
    assert findings(visit) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"


def test_from_the_overview_to_what_waits(visits: Visits) -> None:
    page = visits.on().open()
    page.get_by_role("link", name="Waiting").click()
    page.wait_for_url("**/?state=waiting")
    assert page.locator(".board tbody tr").count() == 3
    page.get_by_role("link", name=company.FEATURED).click()
    page.wait_for_url("**/model?**")
    assert page.get_by_role("heading", level=1).text_content() == company.FEATURED
    assert page.locator(".matter.waiting").get_by_text("1 more of 2 approvals needed").is_visible()
    link = page.locator(".matter.waiting a").first
    assert link.get_attribute("href") == "https://github.com/acme/models/pull/148"


def test_what_is_typed_is_found_at_once_and_stays_in_the_address(visits: Visits) -> None:
    page = visits.on().open()
    page.get_by_role("searchbox").fill("fraud")
    expect(page.locator(".board tbody tr")).to_have_count(1)
    assert page.url.endswith("/?q=fraud")
    assert page.evaluate("document.activeElement.type") == "search"
    page.reload()
    assert page.locator(".board tbody tr").count() == 1


def test_a_page_that_is_open_follows_what_happens(visits: Visits) -> None:
    visit = visits.on()
    page = visit.open()
    page.get_by_role("link", name="churn").focus()
    visit.site.queue.boards.show(company.REPOSITORY, "zebra", (Cell("zebra", "staging"),))
    page.evaluate("htmx.trigger('#main', 'refresh')")
    page.wait_for_selector("text=zebra")
    assert page.evaluate("document.activeElement.textContent") == "churn", "the focus stays where it was"
    assert page.get_by_role("status").text_content() == "Up to date"


@pytest.mark.parametrize("gone", ["redis", "service"])
def test_a_page_that_is_open_says_that_it_is_not_up_to_date_and_keeps_what_it_shows(visits: Visits, gone: str) -> None:
    visit = visits.on()
    page = visit.open()
    asked = "**/?live=*"
    page.route(asked, lambda route: route.fulfill(status=503, body="away") if gone == "redis" else route.abort())
    page.evaluate("htmx.trigger('#main', 'refresh')")
    expect(page.get_by_role("status")).to_have_text("Not up to date: the service does not answer")
    assert page.get_by_role("link", name="churn").first.is_visible()
    page.unroute(asked)
    page.evaluate("htmx.trigger('#main', 'refresh')")
    expect(page.get_by_role("status")).to_have_text("Up to date")
    visit.complaints = [said for said in visit.complaints if "Failed to" not in said]  # what browsers say


def test_nothing_is_sent_again_while_nothing_has_changed(visits: Visits) -> None:
    visit = visits.on()
    page = visit.open(MODEL)
    with page.expect_response("**live=*") as answered:
        page.evaluate("htmx.trigger('#main', 'refresh')")
    assert answered.value.status == 204


def test_the_chart_shows_another_metric(visits: Visits) -> None:
    page = visits.on().open(MODEL)
    assert page.locator("#chart canvas").is_visible()
    assert "production asks for at least 0.9" in (page.locator("#chart").get_attribute("aria-label") or "")
    page.get_by_role("link", name="latency_p95_ms").click()
    page.wait_for_url("**metric=latency_p95_ms")
    assert page.locator("#chart canvas").is_visible()
    page.get_by_text("The values as a table").click()
    assert page.get_by_role("row", name="v11").first.get_by_text("42.5").is_visible()


def test_everything_is_reached_by_keyboard(visits: Visits) -> None:
    page = visits.on().open()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == company.FEATURED:
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/model?**")


def test_without_scripts_everything_is_there(visits: Visits) -> None:
    visit = visits.on(script=False)
    visit.page.goto(visit.site.url + MODEL)
    assert "0.941" in (visit.page.locator("details table").text_content() or "")
    assert "UTC" in (visit.page.locator(".timeline").text_content() or "")


def test_hostile_names_do_nothing(visits: Visits) -> None:
    visit = visits.on()
    visit.site.queue.boards.show(
        company.REPOSITORY, company.HOSTILE, (Cell(company.HOSTILE, company.HOSTILE, by=company.HOSTILE),)
    )
    page = visit.open("/?q=onerror")
    page.on("dialog", lambda dialog: visit.complaints.append(dialog.message))
    page.locator(".board tbody a").click()
    page.wait_for_url("**/model?**")
    assert "<img src=x" in (page.get_by_role("heading", level=1).text_content() or "")
    assert page.locator("img").count() == 0
    assert findings(visit) == []


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_of_any_kind_fits_a_phone(visits: Visits, name: str) -> None:
    visit = visits.on(width=375)
    matter = Matter(MatterKind.REFUSED, f"{name} was refused", f"Look at {name}.", since=NOW)
    cell = Cell(name, name, company.entry(3, "1.0.0"), NOW, by=name, matters=(matter,))
    event = Event(NOW, EventKind.NO_EFFECT, name, name, 3, name)
    version = VersionSeen(3, NOW, name, name, name, (name,), name, name, name, {name: 0.5}, (Checked(name, name),))
    visit.site.queue.boards.show(company.REPOSITORY, name, (cell,))
    visit.site.queue.details.show([ModelDetail(company.REPOSITORY, name, (version,), (event,))])
    for path in ("/?state=refused&size=500", f"/model?{urlencode({'name': name})}"):
        page = visit.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
    assert page.locator("h1").text_content()
    assert findings(visit) == []


def test_a_service_in_trouble_says_what_to_do(visits: Visits) -> None:
    visit = visits.on()
    company.disturb(visit.site.queue)
    page = visit.open()
    page.get_by_role("link", name="see what to do").click()
    page.wait_for_url("**/service")
    assert page.locator("h1").text_content() == "The service"
    assert page.get_by_text("MLflow does not answer").is_visible()
    assert page.get_by_text("promotion-bot sweep").is_visible()
    visit.picture("service-in-trouble")
    assert findings(visit) == []


def test_an_emptied_redis_says_that_the_board_is_being_rebuilt(visits: Visits) -> None:
    visit = visits.on()
    visit.site.queue.connection.flushall()
    page = visit.open()
    assert page.get_by_role("heading", name="The board is being rebuilt").is_visible()
    company.fill(visit.site.queue)
    page.evaluate("htmx.trigger('#main', 'refresh')")
    page.wait_for_selector(f"text={company.FEATURED}")
