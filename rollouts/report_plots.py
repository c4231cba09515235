"""The plots of a report as inline SVG.

Drawn by hand rather than by matplotlib: colours and fonts are the page's own CSS variables, so a
plot is right in light and in dark mode and stays sharp on a phone. Coordinates are in CSS pixels of
a 360 wide drawing; every plot carries a title and a spoken description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

WIDTH = 360
_RIGHT = 44
_ROW = 30
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)

_FRAME = Markup(
    '<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
    "<title>{label}</title>{body}</svg>"
)
_LINE = Markup('<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
_TEXT = Markup('<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>')
_DOT = Markup('<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>')
_BAR = Markup(
    '<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h}" rx="{r}"/>'
)


def strip(
    label: str, rows: Mapping[str, Sequence[float]], kinds: Mapping[str, str] | None = None
) -> Markup:
    """Draw one line per name: a dot per reward, a mark at the mean, the mean in figures.

    Args:
        label: spoken description.
        rows: rewards in [0, 1] by name; empty rows are left out.
        kinds: CSS class of a row's dots, by name.
    """
    shown = {name: values for name, values in rows.items() if len(values)}
    axis = _Axis(104)
    body, bottom = axis.drawn(len(shown))
    for place, (name, values) in enumerate(shown.items()):
        y = 10 + _ROW * (place + 0.5)
        kind = (kinds or {}).get(name, "")
        body.append(
            _TEXT.format(kind="name", x=axis.left - 10, y=y + 4, anchor="end", words=axis.fit(name))
        )
        for order, value in enumerate(values):
            wobble = ((order * 0.618034) % 1.0 - 0.5) * 12 if len(values) > 1 else 0.0
            body.append(_DOT.format(kind=f"dot {kind}", x=axis.x(value), y=y + wobble, r=3.2))
        mean = float(np.mean(values))
        body.append(
            _LINE.format(kind="mean", x1=axis.x(mean), y1=y - 10, x2=axis.x(mean), y2=y + 10)
        )
        body.append(
            _TEXT.format(kind="figure", x=WIDTH - 4, y=y + 4, anchor="end", words=f"{mean:.2f}")
        )
    return _FRAME.format(width=WIDTH, height=bottom + 18, label=label, body=_join(body))


def bars(label: str, rows: Mapping[str, Sequence[float]]) -> Markup:
    """Draw one bar per name up to its mean, and a thin line from the lowest to the highest."""
    shown = {name: values for name, values in rows.items() if len(values)}
    axis = _Axis(166)
    body, bottom = axis.drawn(len(shown))
    for place, (name, values) in enumerate(shown.items()):
        y = 10 + _ROW * (place + 0.5)
        mean, low, high = float(np.mean(values)), min(values), max(values)
        body.append(
            _TEXT.format(kind="name", x=axis.left - 10, y=y + 4, anchor="end", words=axis.fit(name))
        )
        body.append(
            _BAR.format(
                kind="bar", x=axis.x(0), y=y - 6, w=max(axis.x(mean) - axis.x(0), 1.5), h=12, r=3
            )
        )
        body.append(_LINE.format(kind="range", x1=axis.x(low), y1=y, x2=axis.x(high), y2=y))
        body.append(
            _TEXT.format(kind="figure", x=WIDTH - 4, y=y + 4, anchor="end", words=f"{mean:.2f}")
        )
    return _FRAME.format(width=WIDTH, height=bottom + 18, label=label, body=_join(body))


def scatter(label: str, points: Sequence[tuple[float, float]], unit: str) -> Markup:
    """Draw reward over a number, with the mean per bin of equal count as a line.

    Args:
        label: spoken description.
        points: (number, reward in [0, 1]).
        unit: name of the number, under the axis.
    """
    height, left, bottom = 190, 34, 150
    numbers, rewards = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    low, high = float(numbers.min()), float(numbers.max())
    span = max(high - low, 1e-9)

    def x(value: float) -> float:
        return left + 12 + (WIDTH - left - 28) * (0.5 if high == low else (value - low) / span)

    def y(reward: float) -> float:
        return bottom - (bottom - 12) * reward

    body = [
        _LINE.format(kind="grid", x1=left, y1=y(t), x2=WIDTH - 4, y2=y(t)) for t in (0.0, 0.5, 1.0)
    ]
    body += [
        _TEXT.format(kind="tick", x=left - 6, y=y(t) + 4, anchor="end", words=f"{t:g}")
        for t in (0.0, 0.5, 1.0)
    ]
    body += [_DOT.format(kind="dot", x=x(a), y=y(b), r=3.2) for a, b in points]
    body.append(_path([(x(a), y(b)) for a, b in _bins(numbers, rewards)]))
    for value in {low, high}:
        body.append(
            _TEXT.format(
                kind="tick", x=x(value), y=bottom + 16, anchor="middle", words=f"{value:g}"
            )
        )
    body.append(
        _TEXT.format(kind="tick", x=(left + WIDTH) / 2, y=height - 8, anchor="middle", words=unit)
    )
    return _FRAME.format(width=WIDTH, height=height, label=label, body=_join(body))


def course(label: str, groups: Sequence[Sequence[float]]) -> Markup:
    """Draw the rewards of each group in the order of the run, their mean as a line."""
    height, left, bottom = 190, 34, 150
    step = (WIDTH - left - 28) / max(len(groups) - 1, 1)

    def y(reward: float) -> float:
        return bottom - (bottom - 12) * reward

    places = [left + 12 + step * order for order in range(len(groups))]
    body = [
        _LINE.format(kind="grid", x1=left, y1=y(t), x2=WIDTH - 4, y2=y(t)) for t in (0.0, 0.5, 1.0)
    ]
    body += [
        _TEXT.format(kind="tick", x=left - 6, y=y(t) + 4, anchor="end", words=f"{t:g}")
        for t in (0.0, 0.5, 1.0)
    ]
    means = []
    for x, rewards in zip(places, groups, strict=True):
        if len(rewards):
            means.append((x, y(float(np.mean(rewards)))))
            if len(groups) > 1:
                body.append(
                    _LINE.format(kind="span", x1=x, y1=y(min(rewards)), x2=x, y2=y(max(rewards)))
                )
        body += [_DOT.format(kind="dot", x=x, y=y(reward), r=2.6) for reward in rewards]
    body.append(_path(means))
    for order in {0, len(groups) - 1}:
        body.append(
            _TEXT.format(
                kind="tick", x=places[order], y=bottom + 16, anchor="middle", words=order + 1
            )
        )
    body.append(
        _TEXT.format(
            kind="tick", x=(left + WIDTH) / 2, y=height - 8, anchor="middle", words="group"
        )
    )
    return _FRAME.format(width=WIDTH, height=height, label=label, body=_join(body))


def sparkline(rewards: Sequence[float]) -> Markup:
    """Draw the rewards of one group as dots on a short line; for a list, so without words."""
    dots = _join([_DOT.format(kind="dot", x=6 + 108 * reward, y=8, r=3.6) for reward in rewards])
    line = _LINE.format(kind="grid", x1=4, y1=8, x2=116, y2=8)
    return Markup('<svg class="spark" viewBox="0 0 120 16" aria-hidden="true">{}{}</svg>').format(
        line, dots
    )


class _Axis:
    """The reward axis of a plot with one row per name, names on the left."""

    def __init__(self, left: float) -> None:
        self.left = left

    def x(self, reward: float) -> float:
        return self.left + (WIDTH - self.left - _RIGHT) * reward

    def fit(self, name: str) -> str:
        """Cut a name to what fits left of the axis at about 6 px a letter."""
        room = int((self.left - 12) / 6.0)
        return name if len(name) <= room else name[: room - 1] + "…"

    def drawn(self, rows: int) -> tuple[list[Markup], float]:
        """Return the axis and where it ends."""
        bottom = 10 + _ROW * rows + 4
        body = [
            _LINE.format(kind="grid", x1=self.x(t), y1=6, x2=self.x(t), y2=bottom) for t in _TICKS
        ]
        for t in (0.0, 0.5, 1.0):
            body.append(
                _TEXT.format(
                    kind="tick", x=self.x(t), y=bottom + 14, anchor="middle", words=f"{t:g}"
                )
            )
        return body, bottom


def _bins(numbers: np.ndarray, rewards: np.ndarray) -> list[tuple[float, float]]:
    """Return (mean number, mean reward) per value, or per sixth of the points if there are many."""
    values = np.unique(numbers)
    if len(values) <= 6:
        return [(float(v), float(rewards[numbers == v].mean())) for v in values]
    parts = np.array_split(np.argsort(numbers, kind="stable"), 6)
    return [
        (float(numbers[part].mean()), float(rewards[part].mean())) for part in parts if len(part)
    ]


def _path(points: Sequence[tuple[float, float]]) -> Markup:
    if len(points) < 2:
        return Markup("")
    return Markup('<polyline class="trend" points="{}"/>').format(
        " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    )


def _join(parts: Sequence[Markup]) -> Markup:
    return Markup("").join(parts)
