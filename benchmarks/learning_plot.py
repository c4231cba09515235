"""The picture of `benchmarks/learning.py`: reward over training, and all arms side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_SHOWN = ("random", "start", "baseline", "presets", "search", "end", "oracle")
_SMOOTH = 5
"""Steps whose mean is drawn; a batch holds other targets than the one before."""


def plot(numbers: dict[str, Any], path: Path) -> None:
    """Draw it.

    Args:
        numbers: as the benchmark prints them.
        path: of the PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for seed, curve in enumerate(numbers["curves"]):
        width = min(_SMOOTH, len(curve))
        smooth = np.convolve(curve, np.ones(width) / width, "valid")
        left.plot(np.arange(width, len(curve) + 1), smooth, label=f"seed {seed}")
    left.set(xlabel="training step", ylabel=f"mean reward of {_SMOOTH} batches")
    left.legend(frameon=False)
    bars = {name: _bar(numbers, name) for name in _SHOWN}
    for place, (name, (mean, low, high)) in enumerate(bars.items()):
        colour = "#2b6cb0" if name == "end" else "#a0aec0"
        right.bar(place, mean, color=colour, yerr=[[mean - low], [high - mean]], capsize=3)
        right.text(place, 0.02, f"{mean:.2f}", ha="center", color="white", fontsize=8)
    right.set_xticks(range(len(bars)), list(bars), rotation=20)
    right.set(ylabel="reward, held-out targets", ylim=(0, None))
    for axis in (left, right):
        axis.grid(alpha=0.25, axis="y")
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _bar(numbers: dict[str, Any], name: str) -> tuple[float, float, float]:
    """Return mean and interval of an arm; of the end, over all seeds."""
    if name != "end":
        arm = numbers["arms"][name]
        return arm["reward"], *arm["reward_ci"]
    return numbers["end"], *numbers["end_ci"]
