"""The page of a comparison: two sets of files, part by part and as sets."""

from __future__ import annotations

import math
from pathlib import Path

from audioforge.reward_functions.comparison import Comparison, ScoredSet
from audioforge.rollouts.report_view import title_words

from .score_pages import facts, rejected, render, save
from .score_plots import forest, histogram, signed


def write_compare_page(path: str | Path, told: Comparison, a: ScoredSet, b: ScoredSet) -> Path:
    """Write the page.

    Args:
        path: of the page.
        told: the comparison of the two sets.
        a: what was compared.
        b: with what.

    Raises:
        OSError: it cannot be written.
    """
    rows = [scored.row for side in (a, b) for scored in side.scored]
    page = render(
        "compare.html.j2",
        title=f"{a.path.resolve().name} and {b.path.resolve().name}",
        kind="comparison",
        told=told,
        total=told.parts[0],
        plots=_plots(told, a, b),
        sets=set_lines(told),
        signed=signed,
        facts=facts(rows),
        **rejected(rows),
    )
    return save(path, page)


def set_lines(told: Comparison) -> list[str]:
    """Say what the set distances say, one line each."""
    lines = []
    if told.mmd is not None:
        beyond = "more" if told.mmd.p_value < 0.05 else "no more"
        lines.append(
            f"MMD² {told.mmd.squared:.4f}: {beyond} apart than chance divisions of the same clips "
            f"(p = {told.mmd.p_value:.3f})"
        )
    if told.frechet is not None:
        lines.append(f"Fréchet distance {told.frechet:.3f}")
    if told.diversity is not None:
        lines.append(
            f"diversity (Vendi score at {told.diversity.clips} clips): "
            f"A {told.diversity.a:.1f}, B {told.diversity.b:.1f} kinds"
        )
    return lines


def _plots(told: Comparison, a: ScoredSet, b: ScoredSet) -> list[tuple[str, str, object]]:
    differences = {
        title_words(part.name): (
            part.difference,
            math.nan if part.low is None else part.low,
            math.nan if part.high is None else part.high,
        )
        for part in told.parts
    }
    totals = {
        name: [row.total for row in side.rows if row.total is not None]
        for name, side in (("A", a), ("B", b))
    }
    return [
        (
            "Differences",
            "B minus A, the bar is the 95 % bootstrap interval",
            forest("Difference per part", differences),
        ),
        (
            "Totals",
            "clips per twentieth of the scale, the mark is the median",
            histogram("Totals of both sets", totals),
        ),
    ]
