"""Plots of the score and comparison pages that the rollout report does not have, as inline SVG.

Same form as `rollouts/report_plots.py`: colours and fonts are the page's own CSS, 360 pixels wide,
each with a title and a spoken description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from audioforge.rollouts.report_plots import WIDTH

BINS = 20
_FRAME = Markup(
    '<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
    "<title>{label}</title>{body}</svg>"
)
_LINE = Markup('<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
_TEXT = Markup('<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>')
_BAR = Markup(
    '<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="1.5"/>'
)
_DOT = Markup('<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')


def signed(value: float, digits: int = 3) -> str:
    """Return a difference with its sign, a true minus sign among them."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def histogram(label: str, sets: Mapping[str, Sequence[float]]) -> Markup:
    """Draw how scores are spread over [0, 1]: one row of bars per set, the median as a mark.

    Args:
        label: spoken description.
        sets: scores in [0, 1] by name; an empty set is an empty row.
    """
    left, right, high, gap = 10.0, WIDTH - 10.0, 84.0, 26.0
    body: list[Markup] = []
    for place, (name, values) in enumerate(sets.items()):
        base = (high + gap) * (place + 1) - 4
        counts, _ = np.histogram(values, BINS, (0.0, 1.0))
        width = (right - left) / BINS
        tallest = max(int(counts.max(initial=0)), 1)
        for order, count in enumerate(counts):
            if count:
                tall = max(high * count / tallest, 1.5)
                body.append(
                    _BAR.format(
                        kind=f"bar set-{place}",
                        x=left + order * width + 0.8,
                        y=base - tall,
                        w=width - 1.6,
                        h=tall,
                    )
                )
        body.append(_LINE.format(kind="grid", x1=left, y1=base, x2=right, y2=base))
        words = f"{name} · {len(values)}" if len(sets) > 1 else f"{len(values)} files"
        body.append(
            _TEXT.format(kind="name", x=left, y=base - high - 6, anchor="start", words=words)
        )
        if len(values):
            middle = float(np.median(values))
            x = left + (right - left) * middle
            body.append(_LINE.format(kind="mean", x1=x, y1=base - high, x2=x, y2=base))
            body.append(
                _TEXT.format(
                    kind="figure",
                    x=right,
                    y=base - high - 6,
                    anchor="end",
                    words=f"median {middle:.2f}",
                )
            )
    bottom = (high + gap) * max(len(sets), 1)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        body.append(
            _TEXT.format(
                kind="tick",
                x=left + (right - left) * tick,
                y=bottom + 14,
                anchor="start" if tick == 0 else "end" if tick == 1 else "middle",
                words=f"{tick:g}",
            )
        )
    return _FRAME.format(width=WIDTH, height=bottom + 20, label=label, body=Markup("").join(body))


def forest(label: str, rows: Mapping[str, tuple[float, float, float]]) -> Markup:
    """Draw differences with their intervals, one line per name, against a line at no difference.

    Args:
        label: spoken description.
        rows: (difference, low, high) by name; low and high may be nan for no interval.
    """
    left, right, row = 168.0, WIDTH - 54.0, 32.0
    ends = [abs(value) for values in rows.values() for value in values if np.isfinite(value)]
    reach = max([*ends, 0.02]) * 1.08

    def x(value: float) -> float:
        return (left + right) / 2 + (right - left) / 2 * value / reach

    bottom = 12 + row * len(rows)
    body = [_LINE.format(kind="mean", x1=x(0), y1=8, x2=x(0), y2=bottom)]
    for place, (name, (middle, low, high)) in enumerate(rows.items()):
        y = 12 + row * (place + 0.5)
        body.append(_TEXT.format(kind="name", x=left - 10, y=y + 4, anchor="end", words=name))
        if np.isfinite(low) and np.isfinite(high):
            body.append(_LINE.format(kind="interval", x1=x(low), y1=y, x2=x(high), y2=y))
        body.append(_DOT.format(kind="dot solid", x=x(middle), y=y))
        body.append(
            _TEXT.format(kind="figure", x=WIDTH - 2, y=y + 4, anchor="end", words=signed(middle))
        )
    for value in (-reach / 1.08, 0.0, reach / 1.08):
        body.append(
            _TEXT.format(
                kind="tick", x=x(value), y=bottom + 15, anchor="middle", words=signed(value, 2)
            )
        )
    return _FRAME.format(width=WIDTH, height=bottom + 22, label=label, body=Markup("").join(body))
