"""`audioforge export`: a run's rollouts as training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from audioforge.rollouts.export import export_run


def export_command(
    run: Annotated[Path, typer.Argument(help="run folder")],
    out: Annotated[Path, typer.Option(help="file to write: .jsonl or .parquet")],
    form: Annotated[str, typer.Option("--format", help="sft or dpo")] = "sft",
    threshold: Annotated[float, typer.Option(help="sft: smallest reward, 0 to 1")] = 0.5,
    margin: Annotated[float, typer.Option(help="dpo: best above worst, at least")] = 0.1,
) -> None:
    """Write rollouts as SFT or DPO rows for Hugging Face datasets and TRL."""
    chosen: Any = form  # export_run refuses any other word
    rows = export_run(run, chosen, out, threshold=threshold, margin=margin)
    typer.echo(f"{rows} rows: {out}")
