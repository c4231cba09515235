"""Whether a batch will fit, said before it is made: an estimate, a smaller batch, a warning.

Models declare what their weights and each clip of a batch take (`Capabilities.model_mb`, `clip_mb`;
0 is not known). It is an estimate, so nothing is refused for it: the engine finds out what fits.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from audioforge.generation.backend import Capabilities

SHARE = 0.9
"""Of the free memory that a batch is planned to take."""
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryPlan:
    """How many clips to make at once, and why."""

    batch: int
    line: str
    """What is known, for a person."""
    warning: str = ""
    """What may go wrong; empty when it should fit."""


def free_mb(device: str) -> float | None:
    """Return the free memory in MB where a loaded model makes its clips; None when nobody says.

    Args:
        device: "cpu", or anything else for the GPU that torch uses, if it uses one.
    """
    torch = sys.modules.get("torch")  # a backend that needs it has imported it
    if device != "cpu" and torch is not None and torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0] / 1e6
    try:
        told = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        free = float(told["MemAvailable"].split()[0]) * 1024 / 1e6
    except (OSError, KeyError, ValueError):
        return None
    left = _cgroup_left_mb()
    return free if left is None else min(free, left)


def _cgroup_left_mb() -> float | None:
    """Return what a container may still take, where one is limited."""
    try:
        limit, used = (
            int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):
        return None
    return max(limit - used, 0) / 1e6


def plan_memory(can: Capabilities, batch: int, free: float | None, at_once: int = 1) -> MemoryPlan:
    """Plan a batch for a model that is loaded.

    Args:
        can: what it declares.
        batch: clips wanted at once.
        free: memory in MB, as `free_mb` gives it.
        at_once: batches made at the same time in that memory.
    """
    room = "free memory is not known here" if free is None else f"{_size(free)} free"
    if not can.clip_mb:
        return MemoryPlan(batch, f"memory: {can.model} does not say what a clip takes; {room}")
    weights = f"weights {_size(can.model_mb)}" if can.model_mb else "weights of unknown size"
    need = batch * can.clip_mb * at_once
    line = f"memory: {weights}, {batch} clips at once up to {_size(need)}; {room}"
    if free is None or need <= SHARE * free:
        return MemoryPlan(batch, line)
    fits = int(SHARE * free / (can.clip_mb * at_once))
    if fits < 1:
        one = f"a single clip is estimated at {_size(can.clip_mb)}, more than is free: it may fail"
        return MemoryPlan(1, line, one)
    return MemoryPlan(fits, line, f"{batch} clips at once may not fit: {fits} at once instead")


def _size(mb: float) -> str:
    return f"{mb / 1000:.1f} GB" if mb >= 1000 else f"{mb:.0f} MB"
