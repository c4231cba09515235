"""The options of `audioforge generate`; `generate_plan.py` and `generate_run.py` do the work."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

_console = Console()


class Format(StrEnum):
    """Containers a clip can be written in."""

    flac = "flac"
    wav = "wav"
    ogg = "ogg"
    mp3 = "mp3"


def generate_command(
    prompt: Annotated[str, typer.Argument(help="what to make")] = "",
    file: Annotated[
        Path | None,
        typer.Option(
            help="JSONL of prompt, seconds, steps, cfg_scale, sampler, temperature, seed..."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="generator: embedded name, folder, hub id, synth")
    ] = "tiny-stable-audio",
    negative_prompt: Annotated[str, typer.Option(help="what to keep away from")] = "",
    seconds: Annotated[
        float | None, typer.Option(help="length; default: 10 or the longest")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="default: as the model recommends")] = None,
    cfg: Annotated[float | None, typer.Option(help="guidance; default: as recommended")] = None,
    sampler: Annotated[str | None, typer.Option(help="default: as the model recommends")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=10, help="of a token model; 0: the likeliest")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=0, help="likeliest tokens drawn from; 0: all")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(min=0.001, max=1, help="drawn from until so probable together")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the first clip; others count up")] = 0,
    n: Annotated[int, typer.Option(min=1, help="clips per prompt")] = 1,
    out: Annotated[Path, typer.Option(help="folder of the clips")] = Path("artifacts/clips"),
    format: Annotated[Format, typer.Option(help="of the sound files")] = Format.flac,
    batch: Annotated[int, typer.Option(min=1, max=256, help="clips made at once")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    workers: Annotated[
        int, typer.Option(min=0, max=64, help="processes of the generator; 0: in this one")
    ] = 0,
    dry_run: Annotated[bool, typer.Option(help="say what would be made, and stop")] = False,
    commercial: Annotated[
        bool, typer.Option(help="refuse a model whose licence does not allow commercial use")
    ] = False,
) -> None:
    """Make clips from prompts; the same command goes on where it stopped."""
    from audioforge.generation.engine_settings import EngineSettings
    from audioforge.generation.memory_plan import free_mb, plan_memory
    from audioforge.generation.registry import load_engine

    from . import generate_plan, generate_run

    if bool(prompt) == (file is not None):
        raise ValueError('give a prompt or --file, one of them: audioforge generate "rain"')
    usual = generate_plan.Wish(
        prompt, negative_prompt, seconds, steps, cfg, sampler, temperature, top_k, top_p, seed, n
    )
    wishes = generate_plan.wishes_of(file, usual) if file else [usual]
    engine = load_engine(model, device, workers, EngineSettings(max_batch=batch, cache_mb=0))
    with contextlib.ExitStack() as stack:
        stack.callback(engine.stop)
        can = engine.capabilities
        if commercial:
            generate_run.check_licence(can)
        requests = generate_plan.requests_of(wishes, can)
        folder = generate_run.Folder(out, format.value)
        missing = folder.missing(requests, engine.weights_sha256)
        there = len(requests) - len(missing)
        plan = plan_memory(can, min(batch, len(requests)), free_mb(device), max(workers, 1))
        _say(
            f"{can.model}, {can.licence}, {can.sample_rate} Hz, {can.channels} channel(s): "
            f"{len(requests)} clips, {sum(r.seconds for r in requests):.1f} s in all, "
            f"{there} there already, to {out}",
            plan.line,
            plan.warning and f"warning: {plan.warning}",
        )
        if dry_run:
            return
        engine.limit_batch(plan.batch)
        ended = generate_run.make(engine, missing, folder, _console)
    again = "; run the same command again to go on" if ended.interrupted else ""
    _say(f"{ended.made} made, {there} were there, {ended.failed} failed: {out}{again}")
    if ended.interrupted:
        raise typer.Exit(130)
    if ended.failed:
        raise typer.Exit(1)


def _say(*lines: str) -> None:
    for line in filter(None, lines):
        _console.print(Text(line), soft_wrap=True)
