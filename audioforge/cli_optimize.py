"""`audioforge optimize`: which settings of a generator are worth their cost; docs/optimizer.md.

Nothing heavy is imported before the command runs: `audioforge --help` stays quick.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audioforge.generation.engine import Engine
    from audioforge.rollouts.optimize import OptimizeConfig, Optimized
    from audioforge.rollouts.studio import Judge

_console = Console()


def optimize_command(
    category: Annotated[
        str, typer.Option(help="comma-separated, such as drums,sfx; default: all")
    ] = "",
    model: Annotated[
        str, typer.Option(help="generator: embedded name, folder, hub id")
    ] = "tiny-stable-audio",
    trials: Annotated[int, typer.Option(min=1, help="settings to look at per category")] = 40,
    clips: Annotated[
        int, typer.Option(min=8, help="of each setting in the verdict; twice as many in the choice")
    ] = 20,
    targets: Annotated[str, typer.Option(help="train, or a file of targets")] = "train",
    cost: Annotated[
        float, typer.Option(min=0, max=0.99, help="most of a reward charged for steps")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="of proposals and clips")] = 0,
    out: Annotated[Path, typer.Option(help="folder")] = Path("artifacts/optimize"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    write_presets: Annotated[
        bool, typer.Option("--write-presets", help="put the three into parameter_presets.json")
    ] = False,
) -> None:
    """Find settings with much reward and little cost; the same command goes on where it stopped."""
    from audioforge.generation.engine_settings import EngineSettings
    from audioforge.generation.registry import load_engine
    from audioforge.reward_functions import CombinedReward
    from audioforge.rollouts.optimize import PRESET_FIELDS, OptimizeConfig
    from audioforge.rollouts.pool import category_names

    names = category_names(category)
    engine = load_engine(model, device, settings=EngineSettings(cache_mb=0))
    reward = CombinedReward()
    done: list[tuple[OptimizeConfig, Optimized]] = []
    try:
        for name in names:
            config = OptimizeConfig(
                category=name,
                targets=targets,
                seed=seed,
                trials=trials,
                clips=clips,
                cost_weight=cost,
                only=PRESET_FIELDS if write_presets else (),
            )
            found = _optimized(config, engine, reward, out)
            _show(config, found, out)
            done.append((config, found))
        if write_presets:  # at the end, for the presets in force are where a search starts from
            _write_presets(done)
    except KeyboardInterrupt:
        _console.print(Text(f"stopped; what was measured is safe in {out}: run it again to go on"))
        raise typer.Exit(130) from None
    finally:
        engine.stop()


def _optimized(config: OptimizeConfig, engine: Engine, reward: Judge, out: Path) -> Optimized:
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    from audioforge.rollouts.optimize import optimize

    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console) as bar:
        task = bar.add_task(config.category, total=config.trials)
        return optimize(config, engine, reward, out, lambda _: bar.advance(task))


def _show(config: OptimizeConfig, found: Optimized, out: Path) -> None:
    """Print the tables; write JSON and plot."""
    from . import optimize_pages as pages

    _console.print(pages.front_table(found))
    _console.print(pages.verdict_table(found))
    told, picture = out / f"{found.category}.json", out / f"{found.category}.png"
    told.write_text(json.dumps(pages.told(found, config), indent=1) + "\n", encoding="utf-8")
    pages.plot(found, picture)
    _console.print(Text(f"written: {told}, {picture}"))


def _write_presets(done: Sequence[tuple[OptimizeConfig, Optimized]]) -> None:
    """Put what was found into the presets file.

    Raises:
        FieldError: a setting that presets do not know.
        OSError: the file cannot be written.
    """
    from audioforge.data.presets import PRESETS_FILE, presets_text, with_presets

    from . import optimize_pages as pages

    content = json.loads(PRESETS_FILE.read_text(encoding="utf-8"))
    for config, found in done:
        content = with_presets(content, config.category, pages.presets_of(found, config))
    PRESETS_FILE.write_text(presets_text(content), encoding="utf-8")
    _console.print(Text(f"written: {PRESETS_FILE}"))
