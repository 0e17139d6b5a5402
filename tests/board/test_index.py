"""The overview's rows: filtered and paged by the address, brought up to date by what has changed."""

from __future__ import annotations

import pytest
import redis

from bot.domain.board import Cell, Matter, MatterKind
from bot.gateways.boards import Boards, Mark
from bot.gateways.queue import WorkQueue
from bot.settings import load_settings
from bot.web.board.index import BoardIndex
from bot.web.board.links import Links
from bot.web.board.query import Query
from tests.board import company

HELD = Matter(MatterKind.HELD, "held", "Comment `/resume`.")


def row(model: str, *matters: Matter) -> tuple[Cell, ...]:
    live = company.entry(1, "1.0.0")
    return (Cell(model, "staging", live), Cell(model, "production", live, matters=matters))


@pytest.fixture
def boards(valkey: redis.Redis) -> Boards:
    boards = Boards(valkey)
    boards.show_all(
        "acme/models", {f"model-{n:03d}": row(f"model-{n:03d}", *[HELD] * (n % 10 == 0)) for n in range(120)}
    )
    boards.show_all("acme/risk", {"Model-Risk": row("Model-Risk")})
    boards.show_all("acme/other", {"model-other": row("model-other")})
    return boards


@pytest.fixture
def index(boards: Boards) -> BoardIndex:
    return BoardIndex(boards, ("acme/models", "acme/risk"))


def names(index: BoardIndex, **arguments: str) -> list[str]:
    return [row.model for row in index.select(Query.read(arguments)).rows]


def test_pages_are_of_fifty_and_only_of_what_is_served(index: BoardIndex) -> None:
    assert names(index)[:2] == ["model-000", "model-001"]
    assert len(names(index, page="3")) == 21
    assert names(index, page="3")[-1] == "Model-Risk"
    assert names(index, page="4") == []
    assert index.select(Query()).total == 121


def test_models_are_found_by_name_repository_environment_and_state(index: BoardIndex) -> None:
    assert names(index, q="RISK") == ["Model-Risk"]
    assert names(index, repository="acme/risk") == ["Model-Risk"]
    assert names(index, repository="acme/other") == []
    assert len(names(index, state="held")) == 12
    assert names(index, state="held", environment="staging") == []
    assert len(names(index, state="held", environment="production")) == 12
    assert dict(index.select(Query(text="model-00")).counts) == {"live": 10, "held": 1}


def test_what_has_changed_is_read_and_no_more(index: BoardIndex, boards: Boards) -> None:
    names(index)
    before = boards.mark()
    boards.show("acme/models", "model-001", row("model-001"))
    assert boards.mark() == before, "it stands as it stood"
    boards.show("acme/models", "model-001", row("model-001", HELD))
    assert list(boards.changes(before).rows) == [("acme/models", "model-001")]
    assert not boards.changes(before).is_all
    assert "model-001" in names(index, state="held")


def test_what_is_gone_is_gone_and_an_emptied_redis_is_read_anew(
    index: BoardIndex, boards: Boards, valkey: redis.Redis
) -> None:
    names(index)
    boards.show_all("acme/models", {"model-000": row("model-000")})
    assert names(index) == ["model-000", "Model-Risk"]
    valkey.flushall()
    assert names(index) == []
    boards.show_all("acme/models", {"other": row("other")})
    assert names(index) == ["other"]
    assert boards.changes(Mark()).is_all


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, Query()),
        ({"page": "-1", "size": "0", "state": "nonsense"}, Query(size=1)),
        ({"page": "²", "size": "9" * 50}, Query()),
        ({"page": "7", "size": "9999"}, Query(page=7, size=500)),
    ],
)
def test_every_address_is_some_question(arguments: dict[str, str], query: Query) -> None:
    assert Query.read(arguments) == query


def test_addresses_are_as_short_as_can_be() -> None:
    query = Query(text="a&b", page=3)
    assert query.url() == "/?q=a%26b"
    assert query.url(page=2, state="held") == "/?q=a%26b&state=held&page=2"
    assert Query(page=2).url() == "/"


@pytest.mark.parametrize(
    ("api", "page"),
    [
        ("https://api.github.com", "https://github.com/acme/models/pull/7"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com/acme/models/pull/7"),
        ("https://git.acme.example/api/v3", "https://git.acme.example/acme/models/pull/7"),
    ],
)
def test_links_lead_to_the_github_of_the_settings(environ: dict[str, str], api: str, page: str) -> None:
    assert Links.of(load_settings({**environ, "GITHUB_API_URL": api})).pull("acme/models", 7) == page


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("https://mlflow.acme.example/", "https://mlflow.acme.example/#/models/a%2Fb%23/versions/3"),
        ("https://user:password@mlflow.acme.example", ""),
        ("databricks", ""),
    ],
)
def test_links_to_mlflow_show_no_password(environ: dict[str, str], uri: str, page: str) -> None:
    assert Links.of(load_settings({**environ, "MLFLOW_TRACKING_URI": uri})).registered("a/b#", 3) == page


def test_a_page_of_the_company_is_drawn_without_gaps(valkey: redis.Redis) -> None:
    queue = WorkQueue(valkey)
    company.fill(queue)
    assert len(queue.boards.rows()) == len(company.rows())
    assert queue.details.model(company.REPOSITORY, company.FEATURED) is not None
    assert len(queue.details.judged(company.REPOSITORY, company.FEATURED)) == 2
