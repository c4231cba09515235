"""WandbLogger: a run's numbers, tables, sound and pictures in W&B; and what trackers are given.

Everything it writes lies in the run folder, so that the folder can be copied whole; without a key
it is offline. It may raise: `rollouts.board` keeps that from stopping a run. Memory is bounded: at
most MAX_VALUES numbers per metric, MAX_ROWS rows and MAX_PAIRS pairs between two logs.
"""

from __future__ import annotations

import math
import netrc
import os
import statistics
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

MAX_VALUES = 4_096
MAX_ROWS = 16
MAX_PAIRS = 4
MAX_TEXT = 2_000
"""Characters of a prompt or a description in a table."""


@dataclass(frozen=True)
class Row:
    """One rollout of a table."""

    target: str
    prompt: str
    parameters: str
    """As JSON."""
    reward: float | None
    audio: Path | None
    category: str = ""
    rollout: str = ""
    """Its id."""
    picture: Path | None = None
    """Its spectrogram, as an image file."""


class Pair(NamedTuple):
    """Two rollouts for the same target, to be heard side by side."""

    worse: Row
    better: Row


@dataclass
class Window:
    """What happened since the last log."""

    values: dict[str, deque[float]] = field(default_factory=dict)
    drops: Counter[str] = field(default_factory=Counter)
    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=MAX_ROWS))
    pairs: deque[Pair] = field(default_factory=lambda: deque(maxlen=MAX_PAIRS))
    """Worst and best of a group."""
    changes: deque[Pair] = field(default_factory=lambda: deque(maxlen=MAX_PAIRS))
    """The same held-out target in the first evaluation and in the latest."""

    def add(self, name: str, value: float | None) -> None:
        """Add one number; None and nan (unscored) are left out."""
        if value is not None and math.isfinite(value):
            self.values.setdefault(name, deque(maxlen=MAX_VALUES)).append(float(value))

    def metrics(self) -> dict[str, float]:
        """Return mean and std of every metric, and how often each drop reason came."""
        told: dict[str, float] = {}
        for name, values in self.values.items():
            told[f"{name}_mean"] = statistics.fmean(values)
            told[f"{name}_std"] = statistics.pstdev(values)
        return told | {f"drops/{reason}": float(n) for reason, n in self.drops.items()}


class Tracker(Protocol):
    """A service that shows a run. Every call may raise and may take long."""

    def start(self, config: Mapping[str, Any], names: Mapping[str, str | None]) -> None:
        """Open a run; names: "name", "project" and "group"."""
        ...

    def log(
        self, step: int, numbers: Mapping[str, Any], window: Window, pictures: Mapping[str, Path]
    ) -> None:
        """Show a window: its numbers, histograms, tables and pairs, and pictures by name."""
        ...

    def finish(self) -> None:
        """Close the run."""
        ...


class WandbLogger:
    """A tracker on Weights & Biases."""

    def __init__(self, folder: Path) -> None:
        """Prepare; the run folder is where all its files go."""
        self.folder = folder
        self._run: Any = None

    def start(self, config: Mapping[str, Any], names: Mapping[str, str | None]) -> None:
        """Open a run, offline where there is no key; the time is added to its name."""
        staged = self.folder / "wandb" / "staged"
        for variable, place in {
            "WANDB_DIR": self.folder,
            "WANDB_DATA_DIR": staged,
            "WANDB_CACHE_DIR": self.folder / "wandb" / "cache",
            "WANDB_CONFIG_DIR": self.folder / "wandb" / "config",
        }.items():
            os.environ[variable] = str(place.resolve())
        os.environ.setdefault("WANDB_SILENT", "true")
        if not has_key():
            os.environ.setdefault("WANDB_MODE", "offline")
        import wandb

        staged.mkdir(parents=True, exist_ok=True)
        told: dict[str, Any] = dict(names) | {
            "name": f"{names.get('name')}-{time.strftime('%Y-%m-%d-%H%M%S')}"
        }
        # `dir` as well: within one process W&B remembers the folder of an earlier run.
        self._run = wandb.init(config=dict(config), dir=os.environ["WANDB_DIR"], **told)

    def log(
        self, step: int, numbers: Mapping[str, Any], window: Window, pictures: Mapping[str, Path]
    ) -> None:
        """Show a window.

        Sound stands in a table and in a list: a table shows the text beside it, and a list keeps
        the file in the run's own media folder.
        """
        import wandb

        told: dict[str, Any] = dict(numbers)
        for name, values in window.values.items():
            told[f"{name}_histogram"] = wandb.Histogram(list(values))
        if window.rows:
            told["rollouts/table"] = _table([(row,) for row in window.rows], ("",))
            told["rollouts/audio"] = _players(window.rows)
        if window.pairs:
            told["pairs/worst_and_best"] = _table(window.pairs, ("worst", "best"))
        if window.changes:
            told["pairs/before_and_after"] = _table(window.changes, ("before", "after"))
            told["pairs/before_audio"] = _players([pair.worse for pair in window.changes])
            told["pairs/after_audio"] = _players([pair.better for pair in window.changes])
        for name, path in pictures.items():
            told[name] = wandb.Image(str(path))
        self._run.log(told, step=step)

    def finish(self) -> None:
        """Close the run."""
        if self._run is not None:
            self._run.finish()


def _table(lines: Sequence[Sequence[Row]] | deque[Pair], sides: Sequence[str]) -> Any:
    """Return a table; each line shows its target once and then every side's rollout."""
    import wandb

    kinds = ("prompt", "parameters", "reward", "audio", "spectrogram")
    columns: list[Any] = [
        "target",
        "category",
        *(f"{side} {kind}".strip() for side in sides for kind in kinds),
    ]
    table = wandb.Table(columns=columns)
    for line in lines:
        cells: list[Any] = [line[0].target[:MAX_TEXT], line[0].category]
        for row in line:
            heard = row.audio is not None and row.audio.is_file()
            seen = row.picture is not None and row.picture.is_file()
            cells += [row.prompt[:MAX_TEXT], row.parameters[:MAX_TEXT], row.reward]
            cells += [wandb.Audio(str(row.audio)) if heard else None]
            cells += [wandb.Image(str(row.picture)) if seen else None]
        table.add_data(*cells)
    return table


def _players(rows: Sequence[Row] | deque[Row]) -> list[Any]:
    import wandb

    return [
        wandb.Audio(str(row.audio), caption=row.prompt[:200])
        for row in rows
        if row.audio is not None and row.audio.is_file()
    ]


def has_key() -> bool:
    """Say whether a W&B key is at hand, without reading it out."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)
