from __future__ import annotations

import pytest

from bot.domain.manifest import parse_manifest
from policies.documents import InvalidDocument

BAD = [
    ("models: {a: {s: &x {version: 1, digest: d}}}", "anchors are not accepted"),
    ("models: {a: *x}", "aliases and merge keys are not accepted"),
    ("models: {a: {<<: {s: 1}}}", "merge keys are not accepted"),
    ("models: !!python/object:os.system {}", "tags are not accepted"),
    ("models: {a: {}, a: {}}", "duplicate key “a”"),
    ("models: {a: {s: {version: one, digest: d}}}", '"one" is not the integer'),
    ("models: {a: {s: {version: 0, digest: d}}}", "does not fit “version”"),
    ("models: {a: {s: {version: 1.0, digest: d}}}", "1.0 is not the integer"),
    ("models: {a: {s: {version: 2147483648, digest: d}}}", "does not fit “version”"),
    (f'models: {{a: {{s: {{version: 1, digest: "sha256:{"0" * 64}\\n"}}}}}}', "does not fit “digest”"),
    ("models: {a\ud800: {}}", "is not Unicode"),
    (f"models: [{'a,' * 500_000}]", "holds more than 500000 keys and values"),
    ("models: {a: {s: {version: 1, digest: d}}}", "does not fit “digest”"),
    ("models: {a: {s: {version: 1}}}", "lacks the key “digest”"),
    ("modles: {}", "unknown key “modles”; did you mean “models”?"),
    ("models: " + "[" * 60 + "]" * 60, "nested deeper"),
    ("models: [", "is not YAML"),
    ("models: {}\n---\n{}", "is not YAML"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[message for _, message in BAD])
def test_a_bad_manifest_says_what_and_where(line: str, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_manifest(f"apiVersion: promotion-bot/v1\nkind: ModelVersions\n{line}\n", "versions.yaml")
    assert any(message in p.message for p in caught.value.problems), caught.value
    assert all(p.source == "versions.yaml" and p.line >= 1 and p.column >= 1 for p in caught.value.problems)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"\x00", b"a: \x07"])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidDocument):
        parse_manifest(content, "versions.yaml")
