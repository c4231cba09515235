"""Pages about scores: one self-contained HTML file each, in the look of the rollout report.

No script, nothing from elsewhere, every value escaped by the template; a Content-Security-Policy
says so to the browser.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audioforge.reward_functions.config import PARTS
from audioforge.reward_functions.file_score import SCORED, FileScore
from audioforge.rollouts.report import TEMPLATES as REPORT_TEMPLATES
from audioforge.rollouts.report_view import figure, title_words
from audioforge.rollouts.store import write_checked

from .score_plots import histogram
from .score_rows import short_names

TEMPLATES = Path(__file__).resolve().parent / "templates"
MOST_BEST, MOST_WORST, MOST_REJECTED = 200, 100, 500
"""Files the page shows; the others are in the table only."""
_DASH = "\N{EN DASH}"


def write_score_page(path: str | Path, rows: Sequence[FileScore], title: str) -> Path:
    """Write the page of a table of scores.

    Args:
        path: of the page.
        rows: scored and rejected.
        title: its heading.

    Raises:
        OSError: it cannot be written.
    """
    scored = sorted((row for row in rows if row.outcome == SCORED), key=_best_first)
    folder, names = short_names(scored)
    page = render(
        "score.html.j2",
        title=title,
        folder=folder,
        names=names,
        kind="score report",
        numbers=_numbers(rows, scored),
        plots=_plots(scored),
        ranked=_ranked(scored),
        facts=facts(rows),
        **rejected(rows),
    )
    return save(path, page)


def render(template: str, **values: Any) -> str:
    """Fill a template of this folder; all values are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = [
        (folder / name).read_text(encoding="utf-8")
        for folder, name in ((REPORT_TEMPLATES, "report.css"), (TEMPLATES, "scores.css"))
    ]
    return environment.get_template(template).render(
        style="".join(style), figure=figure, title_words=title_words, **values
    )


def save(path: str | Path, page: str) -> Path:
    """Write a page whole or not at all."""
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_checked(place, page.encode("utf-8", "replace"))
    return place


def rejected(rows: Sequence[FileScore]) -> dict[str, Any]:
    """Return what the frame shows of files without a score."""
    without = sorted((row for row in rows if row.outcome != SCORED), key=lambda row: row.place)
    return {"rejected": without[:MOST_REJECTED], "rejected_count": len(without)}


def facts(rows: Sequence[FileScore]) -> list[tuple[str, str]]:
    """Return how the rows were made, as pairs of words."""
    briefs = {row.brief for row in rows}
    pairs = [
        ("Scorer", ", ".join(sorted({row.scorer for row in rows}))),
        ("Libraries", "; ".join(sorted({row.versions for row in rows}))),
        ("Brief", next(iter(briefs)) if len(briefs) == 1 else f"{len(briefs)} different ones"),
    ]
    return [(name, value) for name, value in pairs if value]


def part_names(rows: Sequence[FileScore]) -> list[str]:
    """Return the parts that judged at least one of the rows, in the order of the reward."""
    judged = {name for row in rows for name, value in row.parts.items() if value is not None}
    return [*(name for name in PARTS if name in judged), *sorted(judged - set(PARTS))]


def _best_first(row: FileScore) -> tuple[float, tuple[str, str]]:
    return -(row.total or 0.0), row.place


def _ranked(scored: Sequence[FileScore]) -> list[tuple[int, FileScore | None, list[Any]]]:
    views = [
        (place, row, [(title_words(name), value) for name, value in row.parts.items()])
        for place, row in enumerate(scored, 1)
    ]
    between = len(views) - MOST_BEST - MOST_WORST
    if between <= 0:
        return [*views]
    return [*views[:MOST_BEST], (between, None, []), *views[-MOST_WORST:]]


def _numbers(rows: Sequence[FileScore], scored: Sequence[FileScore]) -> dict[str, Any]:
    totals = [row.total or 0.0 for row in scored]
    counts = {
        "files": len(rows),
        "scored": len(scored),
        "gated": sum(row.total == 0.0 and bool(row.gates) for row in scored),
    }
    if not totals:
        return counts | dict.fromkeys(("median", "best", "mean", "upper", "lower"), _DASH)
    low, high = np.percentile(totals, (25, 75))
    return counts | {
        "median": figure(statistics.median(totals)),
        "best": figure(max(totals)),
        "mean": figure(statistics.fmean(totals)),
        "upper": figure(float(high)),
        "lower": figure(float(low)),
    }


def _plots(scored: Sequence[FileScore]) -> list[tuple[str, str, Any]]:
    if not scored:
        return []
    words = "files per twentieth of the scale, the mark is the median"
    totals = [row.total or 0.0 for row in scored]
    shown = [("Total", words, histogram("Total", {"Total": totals}))]
    for name in part_names(scored):
        values = [value for row in scored if (value := row.parts.get(name)) is not None]
        label = title_words(name)
        shown.append(
            (label, "of the files this part could judge", histogram(label, {label: values}))
        )
    return shown
