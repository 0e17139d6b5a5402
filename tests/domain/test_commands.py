"""Tables: this comment, these commands; these instructions, this hold."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.command_lines import lines_of
from bot.domain.commands import (
    TABLE,
    AskStatus,
    BadCommand,
    Cancel,
    Command,
    Compare,
    Explain,
    Help,
    Hold,
    Line,
    OverrideCheck,
    Place,
    Promote,
    Resume,
    Rollback,
    Validate,
    looks_like_commands,
    parse,
)
from bot.domain.instructions import (
    Answer,
    Answered,
    HoldKind,
    Instruction,
    Said,
    Settled,
    Told,
    WentBack,
    holding,
    overrides_of,
    parse_answer,
    request_of,
)
from bot.domain.pull_requests import Login

HERE = Place("fraud", "production", 7)
NOWHERE = Place()
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("comment", "lines"),
    [
        ("/help", [(1, "/help")]),
        ("Hello\n/help\nthere", [(2, "/help")]),
        ("Hello\r\n\r\n/help\r\n/status\r\n", [(3, "/help"), (4, "/status")]),
        ("  /help  ", [(1, "/help")]),
        ("/hold\n---\n", [(1, "/hold")]),
        ("> /help", []),
        ("> said\n/help", []),
        ("- /help", []),
        ("1. /help\n   /status", []),
        ("    /help", []),
        ("```\n/help\n```", []),
        ("~~~sh\n/help\n", []),
        ("`/help`", []),
        ("`a\n/help\nb`", []),
        ("<!--\n/help\n-->", []),
        ("text <!--\n/help\n--> more", []),
        ("<details>\n/help\n</details>", []),
        ("- a\n  - b\n    - c\n\n/help", [(5, "/help")]),
        ("> " * 40 + "a\n\n" + "".join("  " * i + "- a\n" for i in range(40)) + "\n/help", [(44, "/help")]),
        ("[a](u '\n/help\n')", []),
        ("![a\n/help\n][r]\n\n[r]: /x", []),
        ("![a\n/help\n][r]", [(2, "/help")]),
        ("[" * 9 + "a" + "]" * 9 + "(u '\n/help\n')", []),
        ("please /help", []),
        ("/usr/bin/env is a path", []),
        ("//help", []),
        ("/", []),
        ("/help" + "x" * 70_000, [(1, "/help" + "x" * 65_531)]),
        ("a\n" * 40_000 + "/help", []),
        ("/promote fraud@\u200b3", [(1, "/promote fraud@3")]),
    ],
)
def test_commands_stand_at_the_start_of_a_line_outside_quotes_and_code(
    comment: str, lines: list[tuple[int, str]]
) -> None:
    assert [(line.number, line.text) for line in lines_of(comment)] == lines


@pytest.mark.parametrize(
    ("text", "place", "command"),
    [
        ("/promote fraud", NOWHERE, Promote("fraud", None, "")),
        ("/promote fraud@12 to staging", NOWHERE, Promote("fraud", 12, "staging")),
        ("/promote fraud@v12", NOWHERE, Promote("fraud", 12, "")),
        ("/PROMOTE fraud TO staging", NOWHERE, Promote("fraud", None, "staging")),
        ('/promote "credit risk"@3', NOWHERE, Promote("credit risk", 3, "")),
        ("/promote team@acme@3", NOWHERE, Promote("team@acme", 3, "")),
        ("/promote", HERE, Promote("fraud", None, "production")),
        ("/promote @9", HERE, Promote("fraud", 9, "production")),
        ("/promote churn", HERE, Promote("churn", None, "")),
        ("/validate", HERE, Validate()),
        ("/compare fraud v1 v2", NOWHERE, Compare("fraud", (1, 2))),
        ("/compare 1 2", HERE, Compare("fraud", (1, 2))),
        ("/explain accuracy", HERE, Explain("accuracy")),
        ("/status", NOWHERE, AskStatus("")),
        ("/status", HERE, AskStatus("fraud")),
        ("/status churn", HERE, AskStatus("churn")),
        ("/hold", HERE, Hold("fraud", "production", "")),
        ("/hold in staging because it's late", HERE, Hold("fraud", "staging", "it's late")),
        ("/hold in staging", NOWHERE, Hold("", "staging", "")),
        ("/hold churn in staging because in staging", NOWHERE, Hold("churn", "staging", "in staging")),
        ("/resume churn in staging", NOWHERE, Resume("churn", "staging")),
        (
            "/override window because of the outage",
            HERE,
            OverrideCheck("window", "fraud", 7, "production", "of the outage"),
        ),
        ("/override x churn@2 to staging because y", NOWHERE, OverrideCheck("x", "churn", 2, "staging", "y")),
        ("/rollback", HERE, Rollback("fraud", None, "production")),
        ("/rollback churn to v3 in staging", NOWHERE, Rollback("churn", 3, "staging")),
        ("/cancel", HERE, Cancel()),
        ("/help me", NOWHERE, Help()),
    ],
)
def test_a_line_becomes_a_command(text: str, place: Place, command: Command) -> None:
    assert parse(Line(1, text), place) == command


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("/promot fraud", NOWHERE, "did you mean “/promote”"),
        ("/deploy", NOWHERE, "`/help` lists them"),
        ("/promote", NOWHERE, "the model must be said"),
        ("/promote fraud@latest", NOWHERE, "“latest” is not a version"),
        ("/promote fraud staging", NOWHERE, "“staging” is not understood here"),
        ("/promote fraud to", NOWHERE, "something must follow “to”"),
        ("/validate now", HERE, "“now” is not understood here"),
        ("/compare fraud 1", NOWHERE, "two versions"),
        ("/explain", HERE, "the check must be said"),
        ("/explain accuracy", NOWHERE, "in the pull request of a promotion"),
        ("/hold", NOWHERE, "the environment must be said"),
        ("/hold fraud because", NOWHERE, "say why"),
        ("/override", HERE, "the check must be said"),
        ("/override accuracy", HERE, "needs a reason"),
        ("/override accuracy because x", NOWHERE, "MODEL@VERSION must be said"),
        ("/rollback fraud", NOWHERE, "the environment must be said"),
        ("/cancel", NOWHERE, "in its own pull request"),
    ],
)
def test_a_line_that_is_no_command_says_what_was_expected(text: str, place: Place, says: str) -> None:
    with pytest.raises(BadCommand, match=re.escape(says)):
        parse(Line(1, text), place)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_no_comment_breaks_the_parser_and_none_with_commands_is_overlooked(text: str) -> None:
    lines = lines_of(text)
    assert looks_like_commands(text) or not lines
    for line in lines:
        for place in (HERE, NOWHERE):
            with contextlib.suppress(BadCommand):
                parse(line, place)


def test_every_command_of_the_table_is_one_that_can_be_written() -> None:
    assert len({spec.name for spec in TABLE}) == len(TABLE) == 11
    assert all(spec.usage.startswith("/") and spec.does for spec in TABLE)


# --- what follows from what was said ----------------------------------------------------------------------------------


def said(said: Said, minute: int, model: str = "fraud", **told: object) -> Instruction:
    return Instruction(
        Told(said, "production", model, **told),  # type: ignore[arg-type]
        Login("alice"),
        NOW + timedelta(minutes=minute),
        issue=3,
        comment=100 + minute,
        line=1,
    )


BACK = WentBack(NOW, "bob", 4, "c" * 40)


@pytest.mark.parametrize(
    ("instructions", "rollback", "labelled", "kind"),
    [
        ((), None, None, None),
        ((), BACK, None, HoldKind.ROLLBACK),
        ((), None, 9, HoldKind.LABEL),
        ((said(Said.HOLD, 1),), None, None, HoldKind.COMMAND),
        ((said(Said.HOLD, 1, ""),), None, None, HoldKind.COMMAND),
        ((said(Said.HOLD, 1), said(Said.RESUME, 2)), None, None, None),
        ((said(Said.RESUME, 2), said(Said.HOLD, 1)), None, None, None),
        ((said(Said.HOLD, 2), said(Said.RESUME, 1)), None, None, HoldKind.COMMAND),
        ((said(Said.HOLD, 1, ""), said(Said.RESUME, 2)), None, None, HoldKind.COMMAND),
        ((said(Said.HOLD, 1), said(Said.RESUME, 2, "")), None, None, HoldKind.COMMAND),
        ((said(Said.HOLD, 1), said(Said.PROMOTE, 2, version=9)), None, None, HoldKind.COMMAND),
        ((said(Said.RESUME, 1),), BACK, None, None),
        ((said(Said.PROMOTE, 1, version=9),), BACK, None, None),
        ((said(Said.PROMOTE, -1, version=9),), BACK, None, HoldKind.ROLLBACK),
        ((said(Said.ROLLBACK, 1, version=4),), None, None, HoldKind.ROLLBACK),
        ((said(Said.ROLLBACK, 1, version=4), said(Said.CANCEL, 2)), None, None, None),
        ((said(Said.ROLLBACK, 1, version=4), said(Said.PROMOTE, 2, version=9)), None, None, None),
        ((said(Said.CANCEL, 1),), BACK, None, HoldKind.ROLLBACK),
    ],
)
def test_what_holds(
    instructions: tuple[Instruction, ...], rollback: WentBack | None, labelled: int | None, kind: HoldKind | None
) -> None:
    found = holding(instructions, rollback, labelled)
    assert (found.kind if found else None) is kind
    if found is not None and kind is HoldKind.COMMAND:
        assert "alice" in str(found)


@pytest.mark.parametrize(
    ("instructions", "version"),
    [
        ((), None),
        ((said(Said.PROMOTE, 1, version=3), said(Said.PROMOTE, 2, version=2)), 2),
        ((said(Said.PROMOTE, 2, version=3), said(Said.PROMOTE, 1, version=2)), 3),
        ((said(Said.PROMOTE, 1, version=3), said(Said.CANCEL, 2, version=3)), None),
        ((said(Said.CANCEL, 1, version=3), said(Said.ROLLBACK, 2, version=1)), 1),
        ((said(Said.HOLD, 5),), None),
    ],
)
def test_the_newest_request_counts(instructions: tuple[Instruction, ...], version: int | None) -> None:
    request = request_of(instructions)
    assert (request.told.version if request else None) == version


def test_an_override_is_for_one_version_and_the_newest_reason_is_shown() -> None:
    first = said(Said.OVERRIDE, 1, version=3, check="accuracy", reason="one")
    second = said(Said.OVERRIDE, 2, version=3, check="accuracy", reason="two")
    other = said(Said.OVERRIDE, 3, version=4, check="accuracy", reason="three")
    assert overrides_of([second, other, first], 3) == {"accuracy": second}


@given(
    st.builds(
        Answer,
        st.integers(1, 2**53),
        st.dictionaries(
            st.integers(1, 2000),
            st.builds(
                Answered,
                st.sampled_from(Settled),
                st.none()
                | st.builds(
                    Told,
                    st.sampled_from(Said),
                    st.text(min_size=1),
                    st.text(),
                    st.none() | st.integers(1, 10**9),
                    st.text(),
                    st.text(),
                ),
            ),
        ),
    )
)
def test_an_answer_reads_back_and_stays_inside_its_hidden_line(answer: Answer) -> None:
    marker = answer.marker()
    assert parse_answer(f"{marker}\nText.") == answer
    assert "\n" not in marker
    assert marker.count("-->") == marker.count("--") // 2 == 1 or marker[4:-3].count("--") == 0


@pytest.mark.parametrize("said", ["{}", "[]", '{"comment":1}', '{"comment":1,"lines":{"x":{}}}', "{"])
def test_what_is_no_answer_is_none(said: str) -> None:
    assert parse_answer(f"<!-- promotion-bot:answer {said} -->") is None
