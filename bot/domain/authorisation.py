"""Whether a changed entry takes effect: judged once, at its merge, by the rules that stood before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bot.domain.instructions import Instruction
from bot.domain.manifest import Entry
from bot.domain.windows import frozen_by
from bot.domain.world import Change, ChangeKind, EnvironmentState, Found, Judgement, Ruling
from policies.evidence import Unreadable, Unusable
from policies.verdict import Status

WINDOW: Final = "window"
_NEVER: Final = ""  # nobody can override it: a revert and a pull request settle it


@dataclass(frozen=True, slots=True)
class Decision:
    """The ruling on a change, and for a refusal everything that it lacked, for people and by name."""

    ruling: Ruling
    kind: ChangeKind
    reasons: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()


def kind_of_change(entry: Entry | None, authorised: Sequence[Judgement]) -> ChangeKind:
    """What replacing the live entry by `entry` is, given every change that took effect, oldest first.

    Going back is a rollback only to what was authorised here, at the same digest, before the live entry first was;
    the revert of a revert is therefore a promotion.
    """
    if entry is None:
        return ChangeKind.REMOVAL
    live = authorised[-1].entry if authorised else None
    if live is None:
        return ChangeKind.PROMOTION
    before_live = next((i for i, judgement in enumerate(authorised) if live.names_the_files_of(judgement.entry)), 0)
    went_before = any(entry.names_the_files_of(judgement.entry) for judgement in authorised[:before_live])
    return ChangeKind.ROLLBACK if went_before and not entry.names_the_files_of(live) else ChangeKind.PROMOTION


def judge(model: str, state: EnvironmentState, change: Change) -> Decision | None:
    """The ruling on `change` of the model's entry; None while its evidence is pending or a store does not answer."""
    kind = kind_of_change(change.entry, state.authorised)
    if change.rules is None:
        reason = f"the pipeline before this change has no environment “{state.rules.name}” to judge it by"
        return Decision(Ruling.REFUSED, kind, (reason,), (_NEVER,))
    obstacles = () if change.entry is None else state.rules.registry.cannot_carry(model)
    if obstacles:
        return Decision(Ruling.REFUSED, kind, obstacles, (_NEVER,))
    evidence = _evidence_lacks(kind, change)
    if evidence is None:
        return None
    lacks = [*evidence]
    if change.reopens is None:
        # What was judged at the merge stays judged; overrides settled it, and the files are looked at once more.
        lacks += [*_approval_lacks(kind, change), *_window_lacks(kind, change)]
    ruling = Ruling.REFUSED if lacks else Ruling.AUTHORISED
    reasons, names = tuple(reason for reason, _ in lacks), tuple(dict.fromkeys(name for _, name in lacks))
    return Decision(ruling, kind, reasons, names)


def settled_by(refusal: Judgement, overrides: Mapping[str, Instruction]) -> bool:
    """Whether everything that a refusal stands on may be overridden and was, afterwards."""
    if not refusal.lacking:
        return False
    return all(name in overrides for name in refusal.lacking)


def kind_of_going_to(state: EnvironmentState, version: int) -> tuple[ChangeKind, Entry | None]:
    """What having `version` live would be, and for a rollback the entry that was authorised then."""
    known = (j.entry for j in reversed(state.authorised) if j.entry is not None and j.entry.version == version)
    entry = next(known, None)
    if entry is not None and kind_of_change(entry, state.authorised) is ChangeKind.ROLLBACK:
        return ChangeKind.ROLLBACK, entry
    return ChangeKind.PROMOTION, None


_Lack = tuple[str, str]  # for people, and by name


def _evidence_lacks(kind: ChangeKind, change: Change) -> tuple[_Lack, ...] | None:
    """What the evidence lacks; None while it is not there to be judged."""
    entry = change.entry
    if kind is ChangeKind.REMOVAL or entry is None:
        return ()
    if change.found is not None and isinstance(change.found.digest, Unreadable):
        return None
    if reasons := integrity_reasons(entry, change.found):
        return tuple((reason, _NEVER) for reason in reasons)
    return _verdict_lacks(change)


def integrity_reasons(entry: Entry, found: Found | None) -> tuple[str, ...]:
    """Why an entry does not name what the registry has; empty where it does."""
    if found is None or found.digest is None:
        return (f"version {entry.version} is not in the registry",)
    if isinstance(found.digest, Unusable):
        return (found.digest.reason,)
    if found.digest != entry.digest:
        return (f"the files of version {entry.version} have the digest {found.digest}, the entry says {entry.digest}",)
    return ()


def _verdict_lacks(change: Change) -> tuple[_Lack, ...] | None:
    evaluation = change.evaluation
    if evaluation is None:
        return None
    if _passed_before_the_merge(change):
        return ()
    match evaluation.verdict.status:
        case Status.PASS:
            return ()
        case Status.FAIL:
            return tuple(
                (f"check “{o.check}” failed: measured {o.measured}, required {o.required}", o.check)
                for o in evaluation.verdict.having(Status.FAIL)
            )
        case _:
            return None


def _passed_before_the_merge(change: Change) -> bool:
    """Whether the bot's completed check on the merged head stood on the very same evidence, and passed."""
    if change.checked is None or change.evaluation is None or change.pull_request is None:
        return False
    same = change.checked.fingerprint == change.evaluation.fingerprint(change.pull_request.head_sha).value
    return same and change.checked.state.value == "success"


def _approval_lacks(kind: ChangeKind, change: Change) -> tuple[_Lack, ...]:
    if change.rules is None:
        return ()
    rules = change.rules
    needed = rules.rollback.approvals if kind is ChangeKind.ROLLBACK else rules.approvals.count
    if needed == 0:
        return ()
    if change.approvals is None:
        reason = f"it was pushed without a pull request, so none of the {needed} approvals that are needed is there"
        return ((reason, _NEVER),)
    if change.approvals.satisfied:
        return ()
    reasons = (
        f"{len(change.approvals.approved_by)} of {needed} approvals were there at the merge",
        *(f"changes were requested by {login}" for login in change.approvals.changes_requested_by),
        *change.approvals.not_counted,
        *change.approvals.rule.obstacles,
    )
    return tuple((reason, _NEVER) for reason in reasons)


def _window_lacks(kind: ChangeKind, change: Change) -> tuple[_Lack, ...]:
    if change.rules is None or (kind is ChangeKind.ROLLBACK and change.rules.rollback.ignore_freeze):
        return ()
    freeze = frozen_by(change.rules.freeze, change.decided_at)
    if freeze is None or WINDOW in change.overrides:
        return ()
    return ((f"the window was closed at {change.decided_at:%Y-%m-%d %H:%M} UTC ({freeze.reason})", WINDOW),)
