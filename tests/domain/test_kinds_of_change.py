"""A table: what was live in an environment, oldest first, what comes now, and what that is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.domain.authorisation import kind_of_change
from bot.domain.manifest import Entry
from bot.domain.world import ChangeKind
from tests.domain.test_decide import entry, judgement

PROMOTION, ROLLBACK, REMOVAL = ChangeKind.PROMOTION, ChangeKind.ROLLBACK, ChangeKind.REMOVAL
OTHER_FILES = replace(entry(1), digest="sha256:" + "f" * 64)


@pytest.mark.parametrize(
    ("were_live", "comes", "is_"),
    [
        ((), entry(1), PROMOTION),
        ((1,), entry(2), PROMOTION),
        ((1, 3), entry(1), ROLLBACK),
        ((1, 2, 3), entry(1), ROLLBACK),
        ((3,), entry(1), PROMOTION),  # older than what is live, and never live here
        ((1, 3), entry(2), PROMOTION),  # between them, and never live here
        ((1, 3), OTHER_FILES, PROMOTION),  # a version of that number, and other files
        ((1, 3, 1), entry(3), PROMOTION),  # the revert of a revert
        ((1, 2, 3, 2), entry(1), ROLLBACK),
        ((1, 2, 3, 2), entry(3), PROMOTION),
        ((1, 3), entry(3), PROMOTION),  # what is live already is no way back
        ((1, None), entry(1), PROMOTION),  # nothing is live after a removal
        ((1,), None, REMOVAL),
        ((), None, REMOVAL),
    ],
)
def test_going_back_is_only_to_what_was_live_before(
    were_live: tuple[int | None, ...], comes: Entry | None, is_: ChangeKind
) -> None:
    history = tuple(judgement(version, commit=f"c{i}") for i, version in enumerate(were_live))
    assert kind_of_change(comes, history) is is_
