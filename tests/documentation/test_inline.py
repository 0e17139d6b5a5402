from __future__ import annotations

import pytest

from tests.documentation.inline import wrong
from tests.documentation.pages import PAGES, inline


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_a_sentence_is_one(page: str) -> None:
    assert {code: found for code in inline(page) if (found := list(wrong(code)))} == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("make demo ARGS=--keep", []),
        ("make dmeo", ["dmeo"]),
        ("promotion-bot", []),
        ("promotion-bot webhooks sync", []),
        ("promotion-bot webhooks sink", ["sink"]),
        ("promotion-bot worker --workers N", []),
        ("promotion-bot worker --wrokers=2", ["--wrokers"]),
        ("python -m workers.alive", []),
        ("python -m workers.dead", ["workers.dead"]),
        ("it's text", []),
    ],
)
def test_what_names_nothing_is_found(code: str, found: list[str]) -> None:
    assert list(wrong(code)) == found
