"""The options of `audioforge score` and `audioforge compare`; `score_run.py` does the work.

Nothing heavy is imported before a command runs: `audioforge --help` stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Paths = Annotated[list[Path], typer.Argument(help="sound files, folders, JSONL of path and brief")]
Targets = Annotated[
    str, typer.Option(help="judge by targets: train, eval, or a file; names choose the target")
]
BriefText = Annotated[str, typer.Option(help='what was asked, such as "rain on leaves"')]
Report = Annotated[Path | None, typer.Option(help="write an HTML page")]
Workers = Annotated[
    int, typer.Option(min=0, help="worker processes; 0: in this one, unprotected against crashes")
]


def score_command(
    paths: Paths,
    targets: Targets = "",
    brief: BriefText = "",
    out: Annotated[Path | None, typer.Option(help="table: .csv, .jsonl or .parquet")] = None,
    report: Report = None,
    workers: Workers = 1,
) -> None:
    """Judge sound files; the same command goes on where it stopped."""
    from . import score_run

    if not score_run.score(paths, score_run.Asked(targets, brief, out, report, workers)):
        raise typer.Exit(130)


def compare_command(
    a: Annotated[Path, typer.Argument(help="folder, file or JSONL")],
    b: Annotated[Path, typer.Argument(help="the other one; differences are B minus A")],
    targets: Targets = "",
    brief: BriefText = "",
    out: Annotated[Path | None, typer.Option(help="write everything as JSON")] = None,
    report: Report = None,
    workers: Workers = 1,
    pairing: Annotated[
        bool, typer.Option("--paired/--unpaired", help="pair files of the same name")
    ] = True,
) -> None:
    """Compare two sets of sound files part by part and as sets."""
    from . import score_run

    score_run.compare_sets(a, b, score_run.Asked(targets, brief, out, report, workers), pairing)
