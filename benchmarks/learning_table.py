"""The table of `benchmarks/learning.py`: every arm on the held-out targets, worst first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def write_table(numbers: Mapping[str, Any], console: Console | None = None) -> None:
    """Write it.

    Args:
        numbers: as the benchmark prints them.
        console: where to; None is standard output.
    """
    table = Table("arm", "reward (95 %)", "over start (95 %)", "judge", "parse", "family", "tempo")
    ends = {"end": numbers, **numbers["ablations"]}
    arms = numbers["arms"] | {name: told["arm"] for name, told in numbers["ablations"].items()}
    for name, arm in sorted(arms.items(), key=lambda named: named[1]["reward"]):
        told = ends.get(name)
        table.add_row(
            name,
            _with_interval(arm["reward"], told["end_ci"] if told else arm["reward_ci"]),
            _with_interval(told["gain"], told["gain_ci"], "+") if told else "",
            *(_figure(arm[key]) for key in ("judge", "parse_rate", "names_family", "names_tempo")),
            style="bold" if name == "end" else None,
        )
    (console or Console(width=max(Console().width, 110))).print(table)


def _with_interval(mean: float, edges: list[float], sign: str = "") -> str:
    return f"{mean:{sign}.3f} ({edges[0]:.3f} to {edges[1]:.3f})"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
