"""What `audioforge score` and `audioforge compare` do and show; cli_score.py has their options."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from audioforge.reward_functions.comparison import Comparison, ScoredSet, compare
from audioforge.reward_functions.file_score import SCORED, FileScore
from audioforge.reward_functions.folder import Scored, score_files
from audioforge.reward_functions.listing import Listed, list_files
from audioforge.rollouts.store import write_checked

from .compare_page import set_lines, write_compare_page
from .score_pages import write_score_page
from .score_rows import ScoreTable, short_names

if TYPE_CHECKING:
    from audioforge.data.targets import Target

SHOWN = 10
"""Files in the printed table; all are in the written one."""
_console = Console()


@dataclass(frozen=True)
class Asked:
    """What the files are judged against and where the answers go."""

    targets: str = ""
    """train, eval, a file of targets, or empty."""
    brief: str = ""
    out: Path | None = None
    report: Path | None = None
    workers: int = 1


def score(paths: Sequence[Path], asked: Asked) -> bool:
    """Score files, write the table and the page, print a summary.

    Returns:
        Whether it came to the end; False after Ctrl-C.

    Raises:
        ValueError: nothing to score, or a table, list or target file that is not right.
    """
    out = asked.out
    listed = list_files(paths, asked.brief or None, _targets(asked.targets))
    rows: list[FileScore] = []
    known = 0
    table = ScoreTable(out) if out else None
    try:
        for scored in _shown(listed, [*table.rows.values()] if table else (), asked.workers):
            rows.append(scored.row)
            known += not scored.fresh
            if table:
                table.add(scored.row)
    except KeyboardInterrupt:
        kept = f"; they are in {out}, the same command goes on" if out else ""
        _console.print(Text(f"stopped after {len(rows)} of {len(listed)} files{kept}"))
        return False
    finally:
        if table:
            table.close()
    _console.print(_summary(rows))
    _console.print(Text(_closing(rows, known, out)))
    if asked.report:
        title = paths[0].resolve().name + (" and more" if len(paths) > 1 else "")
        _console.print(Text(f"report: {write_score_page(asked.report, rows, title)}"))
    return True


def compare_sets(a: Path, b: Path, asked: Asked, pairing: bool) -> None:
    """Score two sets, compare them, write the JSON and the page, print both.

    Raises:
        ValueError: nothing to score in a set, or a list or target file that is not right.
    """
    targets = _targets(asked.targets)
    listed = [list_files([side], asked.brief or None, targets) for side in (a, b)]
    sides = [
        ScoredSet(side, [*_shown(files, (), asked.workers)])
        for side, files in zip((a, b), listed, strict=True)
    ]
    told = compare(*sides, pairing=pairing)
    _console.print(_comparison_table(told))
    effect = f"effect: {told.parts[0].effect_name}; bold: the interval leaves out 0"
    for line in (effect, *set_lines(told), *told.notes):
        _console.print(Text(line))
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        write_checked(asked.out, (json.dumps(told.to_json(), indent=2) + "\n").encode())
        _console.print(Text(f"comparison: {asked.out}"))
    if asked.report:
        _console.print(Text(f"report: {write_compare_page(asked.report, told, *sides)}"))


def _targets(source: str) -> dict[str, Target] | None:
    from audioforge.data.target_fields import SPLITS
    from audioforge.data.targets import curated, load_targets

    if not source:
        return None
    found = next((curated(split) for split in SPLITS if split == source), None)
    return {target.id: target for target in found or load_targets(source)}


def _shown(listed: Sequence[Listed], known: Sequence[FileScore], workers: int) -> Iterator[Scored]:
    """Judge with a progress bar: rate, time left, mean so far."""
    total, count = 0.0, 0
    with _bar() as bar:
        task = bar.add_task("files", total=len(listed), rate="", mean="")
        for scored in score_files(listed, known, workers=workers):
            yield scored
            if scored.row.total is not None:
                total, count = total + scored.row.total, count + 1
            speed = bar.tasks[0].speed
            bar.update(
                task,
                advance=1,
                rate=f"{speed:.1f} files/s" if speed else "",
                mean=f"mean total {total / count:.3f}" if count else "",
            )


def _bar() -> Progress:
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[mean]}"),
        TimeRemainingColumn(),
        console=_console,
    )


def _summary(rows: Sequence[FileScore]) -> Table:
    """Tabulate the best and the worst files."""
    scored = sorted(
        (row for row in rows if row.outcome == SCORED),
        key=lambda row: (-(row.total or 0), row.place),
    )
    shown = scored if len(scored) <= SHOWN else [*scored[: SHOWN // 2], *scored[-SHOWN // 2 :]]
    folder, names = short_names(shown)
    table = Table("total", "file", "what lowers it most", title=folder, title_justify="left")
    for row in shown:
        table.add_row(
            f"{row.total:.3f}",
            Text(names[row.path], overflow="ellipsis", no_wrap=True),
            Text(row.reason, overflow="ellipsis", no_wrap=True),
        )
    return table


def _closing(rows: Sequence[FileScore], known: int, out: Path | None) -> str:
    counts = Counter(row.outcome for row in rows)
    words = [f"{counts[SCORED]} of {len(rows)} files scored"]
    totals = [row.total for row in rows if row.total is not None]
    if totals:
        words.append(f"median total {statistics.median(totals):.3f}")
    if known:
        words.append(f"{known} known from before or from the same bytes")
    if without := len(rows) - counts[SCORED]:
        reasons = Counter(row.reason for row in rows if row.outcome != SCORED)
        reason, times = reasons.most_common(1)[0]
        words.append(f"{without} rejected (most often, {times}: {reason})")
    if out:
        words.append(f"table: {out}")
    return "\n".join(words)


def _comparison_table(told: Comparison) -> Table:
    table = Table("part", "A", "B", "B - A", "95 % interval", "effect", "clips")
    for part in told.parts:
        interval = "" if part.low is None else f"{part.low:+.3f} {part.high:+.3f}"
        table.add_row(
            Text(part.name, style="bold" if part.clear else "", no_wrap=True),
            f"{part.mean_a:.3f}",
            f"{part.mean_b:.3f}",
            f"{part.difference:+.3f}",
            interval,
            f"{part.effect:+.2f}",
            f"{part.clips_a}" if told.paired else f"{part.clips_a}, {part.clips_b}",
        )
    return table
