"""The picture of where a version comes from: whatever its tags say, it stays one picture."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from bot.comments.lineage import picture
from bot.comments.markdown import in_diagram
from policies.evidence import Run, RunStatus, VersionEvidence

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TAGS = ("data_version", "data_hash", "data_path", "git_commit", "git_repository", "git_branch", "mlflow.parentRunId")
LINE = re.compile(
    r"```(mermaid)?|flowchart LR"
    r'|  [a-z]+\d*\["[\w ._/…–<>#;-]*"\]'
    r"|  [a-z]+ (-->|-\.->) [a-z]+\d*"
)


def drawn(text: str) -> str:
    run = Run(text, RunStatus.FINISHED, text, tags=dict.fromkeys(TAGS, text))
    return "\n".join(picture(VersionEvidence(text, 3, NOW, run), "production", ("staging",)))


@given(st.text(max_size=200))
@example('"]\n```\n@acme/all <img src=x> #1 www.evil.com')
@example('x"] --> pull\n  click version "http://evil"')
@example("`markdown` **bold** <br/> &amp; %%{init: {}}%% \u202e")
def test_no_text_leaves_its_label(text: str) -> None:
    lines = drawn(text).splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    assert sum(line.startswith("```") for line in lines) == 2
    labels = [label for line in lines for label in re.findall(r'\["(.*)"\]', line)]
    assert not any("<" in label.replace("<br/>", "") for label in labels)
    assert max(len(part) for label in labels for part in label.split("<br/>")) <= 40 * len("#1114111;")


@given(st.text(max_size=300))
def test_a_label_is_short_and_means_nothing(text: str) -> None:
    label = in_diagram(text)
    assert label
    assert not set(label) & set("\"'`<>[](){}|\\&@:%*\n\r")
    assert len(re.sub(r"#\d+;", "x", label)) <= 40


def test_nothing_is_drawn_where_nothing_was_recorded() -> None:
    assert drawn("") != ""
    assert list(picture(VersionEvidence("m", 1, NOW), "production", ())) == []


def test_a_version_without_a_run_is_drawn_from_its_own_tags() -> None:
    kept = VersionEvidence("m", 1, NOW, tags={"data_version": "v7", "git_commit": "0f1e2d3c"})
    (text,) = picture(kept, "production", ())
    assert "  data --> version" in text
    assert "  code --> version" in text
    assert "run" not in text


def test_many_environments_are_cut() -> None:
    run = Run("r", RunStatus.FINISHED, "dana")
    (text,) = picture(VersionEvidence("m", 1, NOW, run), "production", tuple(f"e{n}" for n in range(100)))
    assert len(text.splitlines()) < 40
