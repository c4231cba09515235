"""Optimize: which settings of a generator are worth their cost, for the targets of one category.

Clips are made for the targets' own baseline prompts, so that only settings differ. A case is a
target and a seed; all settings meet the same ones, and each round has cases of its own:

search   many settings on few cases; the hopeless are given up early (`utils.parameter_optimizer`)
choice   its front, and what was recommended before, on new cases: who is on the front is decided
verdict  the recommended ones on new cases again: the figures that are told

The best of many noisy figures is too good (the optimiser's curse); only the verdict's are fair. The
creativity reward stays silent: settings are compared, not ideas. Measurements are kept in the run
folder, so that a search that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from audioforge.data.families import Category
from audioforge.data.presets import Preset, presets
from audioforge.data.targets import Target
from audioforge.generation.backend import Capabilities
from audioforge.generation.engine import Engine
from audioforge.rollouts.measure import Measure
from audioforge.rollouts.measurements import Journal
from audioforge.rollouts.pool import target_pool
from audioforge.rollouts.recommend import recommend
from audioforge.rollouts.record import versions
from audioforge.rollouts.studio import Judge
from audioforge.utils.parameter_optimizer import (
    Between,
    Choice,
    Job,
    Objective,
    Plan,
    Setting,
    Space,
    Tried,
    front,
    search,
)

PRESET_FIELDS = ("steps", "cfg_scale", "sampler")
MOST_ON_FRONT = 7
"""Settings of the search's front that go into the choice; evenly thinned, the ends stay."""


@dataclass(frozen=True, kw_only=True)
class OptimizeConfig:
    """What to search for."""

    category: str
    targets: str = "train"
    """"train", the curated ones, or a file of targets; held-out targets are never used."""
    seed: int = 0
    trials: int = 40
    """Settings to look at."""
    clips: int = 20
    """Of a setting in the verdict; twice as many in the choice, which decides, two fifths in the
    search."""
    cost_weight: float = 0.0
    """Most of a reward charged for steps when the best is chosen, as `--env.cost_steps`."""
    only: tuple[str, ...] = ()
    """Fields that may vary; empty for all that the generator knows."""

    def __post_init__(self) -> None:
        if self.clips < 8:
            raise ValueError(f"clips must be at least 8 to say anything, got {self.clips}")

    @property
    def plan(self) -> Plan:
        """How the search goes."""
        rungs = (max(self.clips // 6, 2), 2 * self.clips // 5)
        return Plan(trials=self.trials, rungs=rungs, seed=self.seed)


@dataclass(frozen=True)
class Optimized:
    """What a search found."""

    category: str
    model: str
    tried: Sequence[Tried]
    """By the search, in its order."""
    choice: Sequence[Tried]
    """The candidates, on the choice's cases."""
    recommended: Mapping[str, Tried]
    """By preset name, on the verdict's cases."""
    before: Mapping[str, Tried]
    """The presets in force, on the same cases; empty where the generator cannot play them."""


def optimize(
    config: OptimizeConfig,
    engine: Engine,
    reward: Judge,
    folder: Path,
    told: Callable[[Tried], object] = lambda tried: None,
) -> Optimized:
    """Search, choose, and measure what was chosen.

    Args:
        config: what for.
        engine: makes the clips.
        reward: judges them.
        folder: where measurements are kept, in "<category>.jsonl".
        told: called with each setting the search is done with.

    Raises:
        ValueError: nothing may vary, no such targets, or the folder holds another search.
        RunError: the generator made no clip at all, or the reward broke.
        ImportError: Optuna is missing.
    """
    space = space_of(engine.capabilities, config.only)
    measure = Measure(engine, reward, train_targets(config), config.seed)
    journal = Journal(folder / f"{config.category}.jsonl", _facts(config, engine, measure.targets))
    objective = journal.remembering(measure)
    in_force = {
        name: setting
        for name, preset in _in_force(config.category).items()
        if _inside(setting := {key: getattr(preset, key) for key in PRESET_FIELDS}, space)
    }
    start = list(in_force.values())
    tried = search(space, objective, config.plan, start, told)
    candidates = [one.setting for one in _thinned(front(tried))]
    candidates += [setting for setting in start if setting not in candidates]
    first = config.plan.rungs[-1]
    last = first + 2 * config.clips
    choice = _measured(objective, candidates, first, last)
    chosen = recommend(choice, config.cost_weight)
    final = [one.setting for one in chosen.values()] + start
    verdict = _measured(objective, final, last, last + config.clips)
    return Optimized(
        config.category,
        engine.capabilities.model,
        tried,
        choice,
        dict(zip(chosen, verdict, strict=False)),
        dict(zip(in_force, verdict[len(chosen) :], strict=True)),
    )


def space_of(can: Capabilities, only: Sequence[str] = ()) -> Space:
    """Return what may vary with a generator, on grids a person would type.

    Raises:
        ValueError: nothing may.
    """
    space: dict[str, Choice | Between] = {}
    if can.steps[0] < can.steps[1]:
        space["steps"] = Between(*can.steps, log=True)
    if can.cfg_scale[0] < can.cfg_scale[1]:
        space["cfg_scale"] = Between(*map(float, can.cfg_scale), step=0.5)
    if len(can.samplers) > 1:
        space["sampler"] = Choice(can.samplers)
    for name, allowed in (("sigma_min", can.sigma_min), ("sigma_max", can.sigma_max)):
        if allowed is not None:
            space[name] = Between(*map(float, allowed), log=True)
    if can.tokens:
        space["temperature"] = Between(0.1, 2.0, step=0.1)
        space["top_k"] = Choice((0, 20, 50, 100, 250, 1_000))
        space["top_p"] = Between(0.5, 1.0, step=0.05)
    space = {name: part for name, part in space.items() if not only or name in only}
    if not space:
        raise ValueError(f"{can.model} has no setting to search over: choose another generator")
    return space


def train_targets(config: OptimizeConfig) -> list[Target]:
    """Return the category's targets in dealt order.

    Raises:
        ValueError: no such file, a broken one, or none of the category.
    """
    file = "" if config.targets == "train" else config.targets
    pool = target_pool(file, "train", config.category, config.seed)
    kept = [target for target in pool if target.split == "train"]
    if not kept:
        raise ValueError(f"a search needs targets of the train split, {file} has none")
    return kept


def _in_force(category: str) -> Mapping[str, Preset]:
    return presets()[cast(Category, category)]


def _measured(
    objective: Objective, settings: Sequence[Setting], first: int, last: int
) -> list[Tried]:
    outcomes = objective([Job(dict(setting), first, last) for setting in settings])
    return [Tried(s, outcome) for s, outcome in zip(settings, outcomes, strict=True)]


def _thinned(points: Sequence[Tried]) -> list[Tried]:
    count = min(len(points), MOST_ON_FRONT)
    return [
        points[i] for i in sorted({*np.linspace(0, len(points) - 1, count).round().astype(int)})
    ]


def _inside(setting: Setting, space: Space) -> bool:
    """Say whether a search over this space may meet a setting."""
    for name, value in setting.items():
        part = space.get(name)
        if isinstance(part, Choice) and value not in part.options:
            return False
        if isinstance(part, Between) and not part.low <= value <= part.high:
            return False
    return set(setting) == set(space)


def _facts(config: OptimizeConfig, engine: Engine, targets: Sequence[Target]) -> dict[str, Any]:
    """Return what every measurement depends on."""
    return {
        "model": engine.capabilities.model,
        "weights_sha256": engine.weights_sha256,
        "seed": config.seed,
        "targets": [target.id for target in targets],
        "versions": versions(),
    }
