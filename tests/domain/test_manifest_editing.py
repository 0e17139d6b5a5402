from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.manifest import Entry, parse_manifest
from bot.domain.manifest_editing import _set_in_document, new_manifest, remove_entry, set_entry

NEW = Entry(77, "sha256:" + "c" * 64, "2.0.0")
TEXT = f"""\
# what is live
apiVersion: promotion-bot/v1
kind: ModelVersions
models:
  alpha:   # the first
    staging:
      version: 12   # twelve
      digest: sha256:{"a" * 64}
      release: 1.4.0

  # about gamma
  gamma:
    production: {{version: 9, digest: "sha256:{"b" * 64}"}}
"""
NAMES = [
    "alpha",
    "beta",
    "zeta",
    "a b",
    "a/b",
    "..",
    ".",
    "x" * 200,
    "🙂",
    "a\nb",
    "true",
    "1",
    "@x",
    "- a",
    "a: b",
    "#",
    "'",
    '"',
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("layout", ["\n", "\r\n", "no final newline", "bom"])
def test_one_entry_changes_and_every_other_byte_stays(name: str, environment: str, layout: str) -> None:
    text = {"\n": TEXT, "\r\n": TEXT.replace("\n", "\r\n"), "bom": "\ufeff" + TEXT}.get(layout, TEXT.rstrip("\n"))
    before = parse_manifest(text.encode(), "m").entries
    edited = set_entry(text, name, environment, NEW, ["staging", "production"])
    assert parse_manifest(edited.encode(), "m").entries == {**before, (name, environment): NEW}
    assert set_entry(edited, name, environment, NEW) == edited
    kept = [line for line in text.splitlines() if line in edited.splitlines()]
    assert len(text.splitlines()) - len(kept) <= 3
    if (name, environment) not in before:
        assert remove_entry(edited, name, environment) == text


def test_a_promotion_changes_the_lines_of_its_own_entry() -> None:
    edited = set_entry(TEXT, "alpha", "staging", NEW)
    changed = [(a, b) for a, b in zip(TEXT.splitlines(), edited.splitlines(), strict=True) if a != b]
    assert changed == [
        ("      version: 12   # twelve", "      version: 77   # twelve"),
        (f"      digest: sha256:{'a' * 64}", f"      digest: sha256:{'c' * 64}"),
        ("      release: 1.4.0", "      release: 2.0.0"),
    ]


@pytest.mark.parametrize("models", ["models: {}", "models:", "models: ~", "models:   # none", "models: {}  # none"])
def test_the_first_entry_of_an_empty_manifest(models: str) -> None:
    text = new_manifest().replace("models: {}", models)
    edited = set_entry(text, "m", "staging", NEW)
    assert parse_manifest(edited, "m").entries == {("m", "staging"): NEW}
    assert ("# none" in models) == ("# none" in edited)
    assert parse_manifest(remove_entry(edited, "m", "staging"), "m").entries == {}


def test_a_model_goes_in_at_its_sorted_place_else_at_the_end() -> None:
    def names(text: str) -> list[str]:
        return list(dict.fromkeys(model for model, _ in parse_manifest(text, "m").entries))

    assert names(set_entry(TEXT, "beta", "staging", NEW)) == ["alpha", "beta", "gamma"]
    unsorted = set_entry(TEXT.replace("alpha", "zulu"), "beta", "staging", NEW)
    assert names(unsorted) == ["zulu", "gamma", "beta"]


entries = st.builds(
    Entry,
    st.integers(1, 10**6),
    st.integers(0, 2**256 - 1).map(lambda n: f"sha256:{n:064x}"),
    st.tuples(*[st.integers(0, 99)] * 3).map(lambda t: ".".join(map(str, t))),
)
keys = st.tuples(st.text(min_size=1, max_size=12), st.sampled_from(["dev", "staging", "production"]))


@settings(max_examples=60)
@given(st.lists(st.tuples(keys, entries), max_size=6), keys, entries)
def test_any_sequence_of_edits_says_exactly_what_was_set(
    history: list[tuple[tuple[str, str], Entry]], key: tuple[str, str], entry: Entry
) -> None:
    text, expected = new_manifest(), {}
    for (model, environment), each in [*history, (key, entry)]:
        text = set_entry(text, model, environment, each)
        expected[model, environment] = each
        assert dict(parse_manifest(text.encode("utf-8", "surrogatepass"), "m").entries) == expected
    for model, environment in list(expected):
        text = remove_entry(text, model, environment)
        del expected[model, environment]
        assert dict(parse_manifest(text, "m").entries) == expected


@settings(max_examples=60)
@given(st.lists(st.tuples(keys, entries), min_size=1, max_size=6), keys, entries, st.sampled_from(["\n", "\r\n"]))
def test_the_quick_way_says_what_the_thorough_way_says(
    history: list[tuple[tuple[str, str], Entry]], key: tuple[str, str], entry: Entry, newline: str
) -> None:
    text = new_manifest()
    for (model, environment), each in history:
        text = set_entry(text, model, environment, each)
    text = text.replace("\n", newline)
    assert set_entry(text, *key, entry) == _set_in_document(text, *key, entry, ())


def test_ten_thousand_models_are_edited_without_reading_all_of_them() -> None:
    rows = "".join(
        f"  model-{i:05d}:\n    staging:\n      version: {i}\n      digest: sha256:{'a' * 64}\n"
        for i in range(1, 10_001)
    )
    text = new_manifest().replace("models: {}\n", "models:\n" + rows)
    for model in ("model-05000", "model-05000x"):
        edited = set_entry(text, model, "staging", NEW)
        before, after = text.splitlines(), edited.splitlines()
        assert len(set(after) - set(before)) <= 5
        assert parse_manifest(edited, "m").entry(model, "staging") == NEW
