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

    figure, axes = plt.subplots(
        1, 2, figsize=(10.4, 3.6), layout="constrained", width_ratios=[1, 1.6]
    )
    for seed, told in enumerate(numbers["curves"]["both"]):
        _curve(axes[0], told, f"seed {seed}")
    axes[0].set(
        xlabel="step",
        ylabel=f"reward, mean of {_SMOOTH} batches",
        title="trained on the teacher synthesiser",
    )
    axes[0].legend(frameon=False)
    right = axes[1]
    bars = {name: _bar(numbers, name) for name in _SHOWN}
    for place, (name, (mean, low, high)) in enumerate(bars.items()):
        colour = "#2b6cb0" if name == "end" else "#a0aec0"
        right.bar(place, mean, color=colour, yerr=[[mean - low], [high - mean]], capsize=3)
        right.text(place, 0.02, f"{mean:.2f}", ha="center", color="white", fontsize=8)
    right.set_xticks(range(len(bars)), list(bars), rotation=20)
    right.set(ylabel="reward", ylim=(0, None), title="held-out targets, diffusion model")
    for axis in axes:
        axis.grid(alpha=0.25, axis="y")
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _curve(axis: Any, rewards: list[float], label: str) -> None:
    width = min(_SMOOTH, len(rewards))
    smooth = np.convolve(rewards, np.ones(width) / width, "valid")
    axis.plot(np.arange(width, len(rewards) + 1), smooth, label=label)


def _bar(numbers: dict[str, Any], name: str) -> tuple[float, float, float]:
    """Return mean and interval of an arm; of the end, over all seeds."""
    if name != "end":
        arm = numbers["arms"][name]
        return arm["reward"], *arm["reward_ci"]
    return numbers["end"], *numbers["end_ci"]
