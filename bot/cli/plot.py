"""A comparison as a picture: a small chart for each metric, as their scales differ."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from bot.domain.comparison import Comparison, Row
from bot.domain.errors import Misconfigured, Refused

_MOST: Final = 24  # charts
_IN_A_ROW: Final = 4
_COLOURS: Final = ("#8c96a3", "#1f6feb")
_LONGEST_NAME: Final = 40
_SMALLEST, _LARGEST = 1e-300, 1e300  # between them an axis can be computed


def draw(comparison: Comparison, file: Path) -> None:
    """Write a PNG of the metrics that both versions have, or one of them."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Misconfigured("drawing needs matplotlib: pip install 'promotion-bot[plot]'") from error
    drawable = [row for row in comparison.metrics if _finite(row)]
    rows = drawable[:_MOST]
    if not rows:
        raise Refused(f"neither version of “{comparison.model}” has a metric that could be drawn")
    across = min(len(rows), _IN_A_ROW)
    down = math.ceil(len(rows) / across)
    figure = Figure(figsize=(3 * across, 2.6 * down + 0.6), layout="constrained")
    left_out = f" (the first {_MOST} of {len(drawable)} metrics)" if len(drawable) > _MOST else ""
    figure.suptitle(_literal(comparison.model) + f": v{comparison.before} and v{comparison.after}{left_out}")
    for place, row in enumerate(rows, start=1):
        chart = figure.add_subplot(down, across, place)
        values = (row.before, row.after)
        heights = [_height(value) for value in values]
        bars = chart.bar([f"v{comparison.before}", f"v{comparison.after}"], heights, color=_COLOURS)
        chart.bar_label(bars, labels=["–" if value is None else f"{value:.4g}" for value in values], fontsize=8)
        chart.set_title(_literal(row.name), fontsize=9)
        chart.margins(y=0.15)
    figure.savefig(file, format="png", dpi=120)


def _finite(row: Row[float]) -> bool:
    return any(value is not None and math.isfinite(value) for value in (row.before, row.after))


def _height(value: float | None) -> float:
    """How high a bar is: none where there is no number, or one that an axis has no room for.

    MLflow keeps an infinite metric as the largest number that there is.
    """
    return value if value is not None and _SMALLEST < abs(value) < _LARGEST else 0.0


def _literal(name: str) -> str:
    """A name as it is: dollars would begin a formula."""
    short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return short.replace("$", r"\$")
