"""The `audioforge` command: thin, one function per sub-command, each calling one room."""

from __future__ import annotations

import contextlib
import json
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from audioforge.rollouts.launch import one_line, quiet_libraries

from . import cli_generate, cli_models, cli_optimize, cli_score, cli_targets, doctor

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode=None)
targets_app = typer.Typer(no_args_is_help=True, help="The targets a policy is given.")
app.add_typer(targets_app, name="targets")
app.command("generate")(cli_generate.generate_command)
app.command("score")(cli_score.score_command)
app.command("compare")(cli_score.compare_command)
app.command("optimize")(cli_optimize.optimize_command)
_console = Console()
_errors = Console(stderr=True)

Out = Annotated[Path, typer.Option(help="run folder")]
RunFolder = Annotated[Path, typer.Argument(help="run folder")]
TargetFile = Annotated[
    Path | None, typer.Option("--file", help="your targets; default: the curated ones")
]


@app.command("doctor")
def doctor_command(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    base_url: Annotated[str, typer.Option(help="an OpenAI-compatible endpoint to look at")] = "",
    out: Annotated[Path, typer.Option(help="where runs will be written")] = Path(),
) -> None:
    """Say what is usable here, why not, and what to install."""
    findings = doctor.examine(base_url, out)
    if as_json:
        typer.echo(json.dumps([f.to_json() for f in findings], indent=2))
        return
    table = Table("", "area", "name", "found", "to do")
    for f in findings:
        mark = Text("yes", "green") if f.usable else Text("no", "yellow")
        table.add_row(mark, f.area, Text(f.name), Text(f.facts), Text(f.remedy))
    _console.print(table)


@app.command("models")
def models_command(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the generators known here: embedded ones and those that were loaded before."""
    models = cli_models.known_models()
    if as_json:
        typer.echo(cli_models.models_json(models))
    else:
        _console.print(cli_models.models_table(models))


@app.command("rollouts")
def rollouts_command(
    out: Out = Path("artifacts/run1"),
    targets: Annotated[str, typer.Option(help="train, eval, procedural, or a file")] = "train",
    groups: Annotated[int, typer.Option(min=1, help="groups to make")] = 8,
    group_size: Annotated[int, typer.Option(min=1, max=256, help="answers per target")] = 4,
    model: Annotated[
        str, typer.Option(help="generator: embedded name, folder, hub id, synth")
    ] = "tiny-stable-audio",
    seed: Annotated[int, typer.Option(min=0, help="run seed")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    base_url: Annotated[
        str, typer.Option(help="language model endpoint; default: the embedded one")
    ] = "",
    model_name: Annotated[str, typer.Option(help="language model name at that endpoint")] = "",
) -> None:
    """Collect rollouts without a training framework; the same command goes on where it stopped."""
    from audioforge.policy.client import AskSettings, endpoint
    from audioforge.policy.embedded import EMBEDDED_MODEL, embedded_policy
    from audioforge.rollouts.run import RunConfig, run_rollouts

    if bool(base_url) != bool(model_name):
        raise ValueError("--base-url and --model-name go together: give both, or none")
    policy = model_name or EMBEDDED_MODEL
    config = RunConfig(
        out=out,
        groups=groups,
        group_size=group_size,
        seed=seed,
        targets=targets,
        model=model,
        device=device,
        policy=policy,
    )
    with contextlib.nullcontext(base_url) if base_url else embedded_policy() as url:
        summary = run_rollouts(
            config, endpoint(url, policy, settings=AskSettings(seed=seed)), console=_console
        )
    _console.print(Text(summary.line()))
    if summary.interrupted:
        raise typer.Exit(130)


@app.command("view")
def view_command(
    run: RunFolder,
    browser: Annotated[bool, typer.Option(help="open it in the browser")] = True,
) -> None:
    """Write a run's report anew and open it, or print where it lies."""
    from audioforge.rollouts.report import write_report

    page = write_report(run).resolve()
    if not (browser and webbrowser.open(page.as_uri())):
        typer.echo(page)


@app.command("replay")
def replay_command(
    run: RunFolder,
    rollout: Annotated[str | None, typer.Argument(help="such as g00003-r1; default: all")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Make clips again and compare their sha256; exit code 1 if any differs."""
    from audioforge.rollouts.replay import replay

    replayed = replay(run, rollout, device=device)
    for one in replayed:
        _console.print(
            Text(f"{one.id}  {one.expected[:16]}  {'same' if one.same else one.drift}"),
            soft_wrap=True,
        )
    same = sum(one.same for one in replayed)
    typer.echo(f"{same} of {len(replayed)} clips are the same, byte for byte")
    if same < len(replayed):
        raise typer.Exit(1)


@targets_app.command("list")
def targets_list(
    file: TargetFile = None,
    category: Annotated[str | None, typer.Option(help="one category only")] = None,
    split: Annotated[str | None, typer.Option(help="train or eval")] = None,
) -> None:
    """List targets."""
    _console.print(cli_targets.list_targets(file, category=category, split=split))


@targets_app.command("show")
def targets_show(target_id: str, file: TargetFile = None) -> None:
    """Show one target and what it is judged by."""
    _console.print(cli_targets.show_target(target_id, file))


@targets_app.command("validate")
def targets_validate(file: Annotated[Path, typer.Argument(help="JSON, JSONL or YAML")]) -> None:
    """Check a file of targets; exit code 1 and a list of problems if it is not right."""
    told, right = cli_targets.validate_file(file)
    _console.print(told)
    if not right:
        raise typer.Exit(1)


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turn what a user can act on into one line and exit code 1."""
    from audioforge.policy.client import EndpointError
    from audioforge.rollouts.errors import RunError

    try:
        yield
    except (ValueError, ImportError, OSError, EndpointError, RunError) as error:
        _errors.print(Text(f"audioforge: {one_line(error)}"), soft_wrap=True)
        sys.exit(1)


def main() -> None:
    """Run the command line."""
    quiet_libraries()
    with _one_line_errors():
        app()


if __name__ == "__main__":
    main()
