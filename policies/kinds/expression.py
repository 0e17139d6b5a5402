"""`expression`: a condition in CEL, the Common Expression Language (https://cel.dev), over the version's evidence.

CEL has no loops of its own and runs no code. What could still take long is bounded: the length of the text, and how
many of the macros that walk a list may stand in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import cel

from policies.documents import nearest
from policies.evidence import Evidence, Need, Unreadable, VersionEvidence
from policies.kinds.base import FROM_RUN, NOTHING, Complaint, Finding, IfAbsent, Kind, did_you_mean, unfinished
from policies.verdict import Status

MAX_LENGTH: Final = 1000  # characters
_MAX_MACROS: Final = 2
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)?")
_FROM_RUN: Final = frozenset({"metrics", "params", "tags", "champion"})
_FUNCTIONS: Final = frozenset(
    {
        "size",
        "matches",
        "contains",
        "startsWith",
        "endsWith",
        "int",
        "uint",
        "double",
        "string",
        "timestamp",
        "duration",
    }
)
_VARIABLES: Final = frozenset({*_FROM_RUN, "version", "model", "environment"})


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition over `metrics`, `params`, `tags`, `champion`, `version`, `model` and `environment`.

    `champion` has `version`, `metrics`, `params` and `tags` of what is live, and is null where nothing is. Raises
    ValueError for a text that is no such condition.
    """

    source: str
    if_absent: IfAbsent = IfAbsent.PASS
    _program: Any = field(init=False, compare=False, repr=False)
    _named: frozenset[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        program = _compiled(self.source)
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_named", frozenset(program.variables()))

    @property
    def needs(self) -> frozenset[Need]:
        """The run, where the condition speaks of what it holds."""
        return FROM_RUN if _FROM_RUN & self._named else NOTHING

    def judge(self, evidence: Evidence, _now: datetime) -> Finding:
        """Whether the condition is true; a name that is not there is waited for."""
        if _FROM_RUN & self._named and (waiting := unfinished(evidence.subject, self.source)) is not None:
            return waiting
        absent = evidence.champion is None and "champion" in self._named
        try:
            value = self._program.execute(_context(evidence))
        except KeyError as missing:
            return self._missing(missing, evidence)
        except (TypeError, ValueError, RuntimeError, ArithmeticError, IndexError) as error:
            return self._absent() if absent else self._failed(str(error).partition(". ")[0])
        if not isinstance(value, bool):
            return self._failed(f"it is {value!r:.60}, neither true nor false")
        if value:
            return Finding(Status.PASS, self._measured(evidence), self.source)
        return Finding(Status.FAIL, self._measured(evidence), self.source, "Look at the values that it names.")

    def _failed(self, why: str) -> Finding:
        remedy = "Mend the expression; numbers of metrics have a decimal point, as in 2.0."
        return Finding(Status.FAIL, f"cannot be computed: {why}", self.source, remedy, conclusive=False)

    def _absent(self) -> Finding:
        passes = self.if_absent is IfAbsent.PASS
        remedy = "" if passes else "Promote a first version by hand, or set `if_absent: pass`."
        return Finding(Status.PASS if passes else Status.FAIL, "nothing is live to compare with", self.source, remedy)

    def _missing(self, error: KeyError, evidence: Evidence) -> Finding:
        name = str(error.args[0]) if error.args else ""
        subject = evidence.subject
        params = subject.run.params if not isinstance(subject.run, Unreadable) and subject.run else {}
        known = [*_metrics(subject), *params, *subject.lineage]
        hint = did_you_mean(name, known)
        return Finding(Status.PENDING, f"“{name}” is not there{hint}", self.source, f"Log “{name}”.")

    def _measured(self, evidence: Evidence) -> str:
        """The values of the metrics that the text names, which say more than true or false."""
        metrics = _metrics(evidence.subject)
        words = set(re.findall(r"\w+", self.source))
        shown = [f"{name} = {value:.6g}" for name, value in metrics.items() if name in words]
        return ", ".join(shown[:10]) or "computed"


def _compiled(text: str) -> Any:  # noqa: ANN401 - a compiled program
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the expression has {len(text)} characters, {MAX_LENGTH} are allowed")
    bound = _MACRO.findall(text)
    if len(bound) > _MAX_MACROS:
        raise ValueError(f"the expression walks lists more than {_MAX_MACROS} times (all, exists, map, filter)")
    try:
        program = cel.compile(text)
    except ValueError as error:
        raise ValueError(f"the expression cannot be read: {_first_line(str(error))}") from None
    unknown = sorted(set(program.variables()) - _VARIABLES - set(bound))
    if unknown:
        raise ValueError(f"the expression names “{unknown[0]}”{nearest(unknown[0], sorted(_VARIABLES))}")
    functions = sorted(name for name in program.functions() if name[0].isalpha() and name not in _FUNCTIONS)
    if functions:
        raise ValueError(f"the expression calls “{functions[0]}”{nearest(functions[0], sorted(_FUNCTIONS))}")
    return program


def _first_line(message: str) -> str:
    return message.partition("ERROR: <input>:")[2].partition("\n")[0] or message[:200]


def _context(evidence: Evidence) -> dict[str, Any]:
    champion = evidence.champion
    return {
        **_of(evidence.subject),
        "champion": _of(champion) if champion else None,
        "model": evidence.subject.name,
        "environment": evidence.environment,
    }


def _of(version: VersionEvidence) -> dict[str, Any]:
    run = version.run
    return {
        "version": version.version,
        "metrics": _metrics(version),
        "params": dict(run.params) if run is not None and not isinstance(run, Unreadable) else {},
        "tags": dict(version.lineage),
    }


def _metrics(version: VersionEvidence) -> dict[str, float]:
    """Values by name; of a name that was logged for several data sets the one without, else none."""
    values = {}
    for name, metrics in version.metrics_by_name.items():
        candidates = [metric for metric in metrics if metric.dataset is None] or metrics
        if len(candidates) == 1:
            values[name] = candidates[0].value
    return values


def _read(said: str | Mapping[str, Any]) -> Expression:
    if isinstance(said, str):
        return Expression(said)
    return Expression(said["cel"], IfAbsent(said.get("if_absent", "pass")))


def _complaints(said: str | Mapping[str, Any]) -> Iterator[Complaint]:
    try:
        _read(said)
    except ValueError as error:
        yield () if isinstance(said, str) else ("cel",), str(error)


TEXT: Final = {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "description": "a condition in CEL"}

KIND = Kind(
    name="expression",
    summary="A condition in CEL over metrics, params, tags, champion, version, model and environment.",
    schema={
        "oneOf": [
            TEXT,
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["cel"],
                "properties": {
                    "cel": TEXT,
                    "if_absent": {
                        "enum": ["pass", "fail"],
                        "default": "pass",
                        "description": "What it means that nothing is live, for a condition on the champion.",
                    },
                },
            },
        ],
    },
    read=_read,
    complaints=_complaints,
)
