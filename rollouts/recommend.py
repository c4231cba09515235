"""Recommend: which three settings of a measured front are a draft, a balance and the best quality.

quality   the highest reward, after the charge for cost where one is asked
draft     the cheapest setting whose reward is at least ACCEPTABLE of that
balanced  the knee between them: the point farthest above the line from draft to quality, cost by
          its logarithm, both axes scaled to [0, 1] (Kneedle, Satopaa et al. 2011)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from audioforge.data.presets import PRESET_NAMES
from audioforge.rollouts.cost import BUDGET
from audioforge.utils.parameter_optimizer import Tried, front

ACCEPTABLE = 0.85
"""Share of the best reward below which a setting is no draft."""


def recommend(tried: Sequence[Tried], weight: float = 0.0) -> Mapping[str, Tried]:
    """Choose by name, cheapest first.

    Args:
        tried: settings measured on the same cases; cost in model evaluations.
        weight: most of a reward charged for steps, as `--env.cost_steps`.

    Returns:
        "draft", "balanced" and "quality"; where nothing lies between the two, "balanced" is the
        quality's setting, and so is "draft" where nothing acceptable is cheaper.
    """
    points = front(tried)
    worth = [charged_reward(point, weight) for point in points]
    best = int(np.argmax(worth))
    points, worth = points[: best + 1], worth[: best + 1]
    cheapest = next(i for i, value in enumerate(worth) if value >= ACCEPTABLE * worth[best])
    points = points[cheapest:]
    knee = 1 + int(np.argmax(_above_chord(points)[1:-1])) if len(points) > 2 else -1
    chosen = {"draft": points[0], "balanced": points[knee], "quality": points[-1]}
    return {name: chosen[name] for name in PRESET_NAMES}


def charged_reward(point: Tried, weight: float) -> float:
    """Return what a setting is worth after the charge for steps; see `rollouts.cost`."""
    return point.reward * (1 - weight * min(point.cost / BUDGET, 1.0))


def interval(values: Sequence[float], seed: int = 0, draws: int = 2_000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean (Efron's percentiles)."""
    known = np.asarray(values, dtype=float)
    picks = np.random.default_rng(seed).integers(0, len(known), (draws, len(known)))
    low, high = np.percentile(known[picks].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def _above_chord(points: Sequence[Tried]) -> np.ndarray:
    """Return how far each point lies above the line between the ends; of a front, 3 or more."""
    x = np.log([point.cost for point in points])
    y = np.array([point.reward for point in points])
    return (y - y[0]) / (y[-1] - y[0]) - (x - x[0]) / (x[-1] - x[0])
