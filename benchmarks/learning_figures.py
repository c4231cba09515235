"""Figures of `benchmarks/learning.py`: arms summed up and compared, paired by target.

Intervals are 95 % bootstraps over targets and, where there are several, over training seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from learning_measures import Heard

BOOTSTRAPS = 4_000

Rows = Sequence[Sequence[Heard]]
"""What was heard of one arm: for each target, its answers."""


def values(heard: Rows, name: str) -> np.ndarray:
    """Return the mean of one measure per target; nan where it does not apply."""
    rows = [
        [float(v) for one in row if (v := getattr(one, name)) is not None] or [np.nan]
        for row in heard
    ]
    return np.array([np.mean(row) for row in rows])


def interval(rows: np.ndarray) -> list[float]:
    """Return the 95 % bootstrap interval of a mean; rows [seeds, targets], both drawn anew."""
    rng, (seeds, count) = np.random.default_rng(0), rows.shape
    means = [
        np.nanmean(rows[rng.integers(seeds, size=seeds)][:, rng.integers(count, size=count)])
        for _ in range(BOOTSTRAPS)
    ]
    return [float(edge) for edge in np.percentile(means, (2.5, 97.5))]


def summary(heard: Rows) -> dict[str, Any]:
    """Return what one arm did, in figures."""
    every = [one for row in heard for one in row]
    made = [one for one in every if one.steps is not None]

    def mean(name: str) -> float | None:
        told = [float(v) for one in every if (v := getattr(one, name)) is not None]
        return float(np.mean(told)) if told else None

    def middle(name: str) -> float | None:
        told = [float(v) for one in made if (v := getattr(one, name)) is not None]
        return float(np.median(told)) if told else None

    steps = [one.steps for one in made if one.steps is not None]
    samplers = sorted({str(one.sampler) for one in made})
    return {
        "reward": mean("reward"),
        "reward_ci": interval(values(heard, "reward")[None]),
        "judge": mean("judge"),
        "parse_rate": len(made) / len(every),
        "names_family": mean("names_family"),
        "names_tempo": mean("names_tempo"),
        "steps_p50": middle("steps"),
        "few_steps": float(np.mean(np.array(steps) <= 2)) if steps else None,
        "cfg_p50": middle("cfg_scale"),
        "samplers": {name: sum(one.sampler == name for one in made) for name in samplers},
    }


def gains(start: Rows, ends: Sequence[Rows]) -> dict[str, Any]:
    """Return what one way to train has gained, from the policy before and after, by seed."""
    reward, judge = (np.stack([values(end, name) for end in ends]) for name in ("reward", "judge"))
    rise = reward - values(start, "reward")
    judge_rise = judge - values(start, "judge")
    return {
        "end": float(np.mean(reward)),
        "end_ci": interval(reward),
        "end_by_seed": [float(np.mean(row)) for row in reward],
        "gain": float(np.mean(rise)),
        "gain_ci": interval(rise),
        "gain_by_seed": [float(np.mean(row)) for row in rise],
        "judge_end": float(np.nanmean(judge)),
        "judge_gain_ci": interval(judge_rise),
        "alarm": bool(np.mean(rise) > 0 > np.nanmean(judge_rise)),
    }


def together(ends: Sequence[Rows]) -> Rows:
    """Return what was heard of several policies as of one, all answers to a target in its row."""
    return [[one for row in rows for one in row] for rows in zip(*ends, strict=True)]


def ablated(start: Rows, ends: Sequence[Rows]) -> dict[str, Any]:
    """Return what another way to train has gained, and what its policies do."""
    return gains(start, ends) | {"arm": summary(together(ends))}


def compared(start: Rows, ends: Sequence[Rows], others: Mapping[str, Rows]) -> dict[str, Any]:
    """Return before against after, and after against the other arms."""
    after = np.stack([values(end, "reward") for end in ends])
    over = {name: after - values(heard, "reward") for name, heard in others.items()}
    return {
        "start": float(np.mean(values(start, "reward"))),
        **gains(start, ends),
        **{name: float(np.mean(values(heard, "reward"))) for name, heard in others.items()},
        "gain_over": {
            name: {"gain": float(np.mean(rows)), "ci": interval(rows)}
            for name, rows in over.items()
        },
        "judge_start": float(np.nanmean(values(start, "judge"))),
        "arms": {
            "start": summary(start),
            "end": summary(together(ends)),
            **{f"end{seed}": summary(end) for seed, end in enumerate(ends)},
            **{name: summary(heard) for name, heard in others.items()},
        },
    }
