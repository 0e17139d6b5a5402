"""Foreign text where a line or a terminal shows it: in a log, and on the command line."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text on one line, with every character written out that breaks it, or moves or turns a terminal's cursor.

    Whoever may write a tag, a name or a title could else colour what stands beside it, or have the terminal of
    whoever reads it do things (https://cwe.mitre.org/data/definitions/150.html).
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
