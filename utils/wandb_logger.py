"""WandbLogger: the metrics of a run, to a JSONL file always and to Weights & Biases when it works.

W&B never stops a run: without a key it is offline, and an error of its own is told once and then it
is left out. Everything it writes lies in the run folder, so that the folder can be copied whole.
Memory is bounded: at most MAX_VALUES numbers per metric and MAX_ROWS table rows between two logs.
"""

from __future__ import annotations

import json
import logging
import math
import netrc
import os
import statistics
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_VALUES = 4_096
MAX_ROWS = 32
MAX_TEXT = 2_000
"""Characters of a prompt or a description in the table."""
_log = logging.getLogger("audioforge.wandb")


@dataclass(frozen=True)
class Row:
    """One rollout of the table."""

    target: str
    prompt: str
    parameters: str
    """As JSON."""
    reward: float | None
    audio: Path | None


@dataclass
class Window:
    """What happened since the last log."""

    values: dict[str, deque[float]] = field(default_factory=dict)
    drops: Counter[str] = field(default_factory=Counter)
    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=MAX_ROWS))

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


class WandbLogger:
    """Collects a window of metrics and writes it on `log`."""

    def __init__(self, folder: Path, wanted: bool = True) -> None:
        """Prepare.

        Args:
            folder: the run folder; metrics.jsonl and everything of W&B goes there.
            wanted: False writes the JSONL only.
        """
        self.folder, self.wanted, self.window = folder, wanted, Window()
        self._run: Any = None

    @property
    def on(self) -> bool:
        """Whether W&B has been started and still works."""
        return self._run is not None

    def start(
        self,
        config: Mapping[str, Any],
        name: str,
        project: str | None = None,
        group: str | None = None,
    ) -> bool:
        """Start W&B; say whether it runs.

        Args:
            config: plain types, without secrets.
            name: of the W&B run; the time is added.
            project: of W&B, None for its default.
            group: of W&B runs that belong together.
        """
        if not self.wanted or self.on:
            return self.on
        for variable, place in {
            "WANDB_DIR": self.folder,
            "WANDB_DATA_DIR": self.folder / "wandb" / "staged",
            "WANDB_CACHE_DIR": self.folder / "wandb" / "cache",
            "WANDB_CONFIG_DIR": self.folder / "wandb" / "config",
        }.items():
            os.environ[variable] = str(place.resolve())
        os.environ.setdefault("WANDB_SILENT", "true")
        if not has_key():
            os.environ.setdefault("WANDB_MODE", "offline")

        names = {
            "name": f"{name}-{time.strftime('%Y-%m-%d-%H%M%S')}",
            "project": project,
            "group": group,
        }

        def start() -> Any:
            import wandb

            Path(os.environ["WANDB_DATA_DIR"]).mkdir(parents=True, exist_ok=True)
            # `dir` as well: within one process W&B remembers the folder of an earlier run.
            return wandb.init(config=dict(config), dir=os.environ["WANDB_DIR"], **names)

        self._run = self._guarded(start)
        return self.on

    def log(self, step: int, extra: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Write the window and begin a new one.

        Args:
            step: the trainer's step, or the group's index.
            extra: more metrics; what is not a finite number goes to W&B only.

        Returns:
            What was written to metrics.jsonl.

        Raises:
            OSError: the run folder cannot be written.
        """
        window, self.window = self.window, Window()
        told = window.metrics()
        for name, value in (extra or {}).items():
            if _is_number(value):
                told[name] = float(value)
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": int(step)} | told, allow_nan=False) + "\n")
        if self.on:
            self._guarded(lambda: self._send(step, window, told | dict(extra or {})))
        return told

    def finish(self) -> None:
        """Close W&B."""
        run, self._run = self._run, None
        if run is not None:
            self._guarded(run.finish)

    def table(self) -> dict[str, Any]:
        """Return the window's rows as a W&B table and a list of players; empty when W&B is off.

        Both, because a table shows the text beside the sound and a list keeps the sound in the
        run's own media folder.
        """
        if not self.on or not self.window.rows:
            return {}
        return self._guarded(lambda: _table(list(self.window.rows))) or {}

    def _send(self, step: int, window: Window, told: dict[str, Any]) -> None:
        import wandb

        for name, values in window.values.items():
            told[f"{name}_histogram"] = wandb.Histogram(list(values))
        self._run.log(told, step=step)

    def _guarded(self, action: Any) -> Any:
        """Run one call to W&B; an error switches it off, is told once, and returns None."""
        try:
            return action()
        except Exception as error:  # noqa: BLE001  (the border of a service that must not stop a run)
            self._run = None
            self.wanted = False
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            _log.warning("W&B is off for the rest of this run: %s", reason)
            return None


def _table(rows: list[Row]) -> dict[str, Any]:
    import wandb

    table = wandb.Table(columns=["target", "prompt", "parameters", "reward", "audio"])
    players = []
    for row in rows:
        heard = row.audio is not None and row.audio.is_file()
        cell = wandb.Audio(str(row.audio)) if heard else None
        texts = [text[:MAX_TEXT] for text in (row.target, row.prompt, row.parameters)]
        table.add_data(*texts, row.reward, cell)
        if heard:
            players.append(wandb.Audio(str(row.audio), caption=row.prompt[:200]))
    return {"rollouts/table": table, "rollouts/audio": players}


def has_key() -> bool:
    """Say whether a W&B key is at hand, without reading it out."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)


def _is_number(value: Any) -> bool:
    """Say whether a value is one finite number, of Python or numpy."""
    try:
        return not isinstance(value, (str, bool)) and math.isfinite(value)
    except TypeError:
        return False
