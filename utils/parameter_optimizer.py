"""Search for settings that reward much and cost little, on Optuna.

The caller says what may vary (`Space`) and measures batches of settings; this file proposes them
and gives up early on those that lead nowhere. Every setting meets the same cases (targets, say) in
the same order, a few first, then more (`Plan.rungs`):

- a setting fails its gates when more than half of its first outcomes are rejected;
- it is dominated when another setting costs no more and is better on the same cases by more than
  twice the standard error of the paired differences, and by at least `Plan.margin`.

Either is told to Optuna as pruned, and the rest is never paid for. Optuna's multi-objective TPE
(Ozaki et al., JAIR 2022) proposes settings by whole batches, so that a generator runs full ones.

Proposals follow from the seed and the measurements alone: with an objective that remembers what it
has measured, a search that is started again takes the same way through what is known, at no cost,
and goes on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import optuna

Setting = Mapping[str, Any]
"""Values by name, plain types."""


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    options: tuple[str | int | float, ...]


@dataclass(frozen=True)
class Between:
    """A number from low to high, both included; whole where both are ints."""

    low: float
    high: float
    step: float | None = None
    """Grid from `low`; None for every number, or every whole one."""
    log: bool = False
    """Whether small numbers are told apart more finely; not with a step."""


Space = Mapping[str, Choice | Between]


@dataclass(frozen=True)
class Job:
    """Cases to be run with one setting: those from `first` up to before `last`."""

    setting: Setting
    first: int
    last: int


@dataclass(frozen=True)
class Outcome:
    """What came of a job, one entry per case."""

    rewards: tuple[float, ...]
    """In [0, 1], more is better; 0 where a gate rejected."""
    cost: float
    """Mean, in any unit, less is better."""
    rejected: int = 0
    """How many of them a gate rejected."""
    reason: str = ""
    """Of the first rejection."""


Objective = Callable[[Sequence[Job]], list[Outcome]]
"""Measures a batch of jobs, one outcome each, in order."""


@dataclass(frozen=True)
class Tried:
    """A setting and what is known of it."""

    setting: Setting
    outcome: Outcome
    pruned: str = ""
    """Why it was given up early; empty when all was paid for."""

    @property
    def reward(self) -> float:
        """Mean reward."""
        return float(np.mean(self.outcome.rewards))

    @property
    def cost(self) -> float:
        """Mean cost."""
        return self.outcome.cost


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to search."""

    trials: int = 40
    """Settings to look at, those to start from included."""
    batch: int = 8
    """Settings measured together."""
    rungs: tuple[int, ...] = (3, 8)
    """Cases after which a setting is judged, rising; the last is all of them."""
    seed: int = 0
    margin: float = 0.02
    """Least difference in mean reward that counts as domination, in reward."""

    def __post_init__(self) -> None:
        if min(self.trials, self.batch, *self.rungs) < 1 or list(self.rungs) != sorted(
            set(self.rungs)
        ):
            raise ValueError(
                "trials and batch must be at least 1 and rungs rise from at least 1, "
                f"got {self.trials}, {self.batch} and {self.rungs}"
            )


def search(
    space: Space,
    objective: Objective,
    plan: Plan,
    start: Sequence[Setting] = (),
    told: Callable[[Tried], object] = lambda tried: None,
) -> list[Tried]:
    """Look at `plan.trials` settings.

    Args:
        space: what may vary.
        objective: measures batches; its errors come through.
        plan: how many, how many at once, and when to give up.
        start: settings to look at first, inside the space.
        told: called with each setting when it is done with, for a progress bar.

    Returns:
        All settings in the order in which they were proposed, equal ones once.

    Raises:
        ValueError: the space is empty.
        ImportError: Optuna is missing; the message names the command that installs it.
    """
    if not space:
        raise ValueError("a search needs something that may vary, this space has nothing")
    study = _study(plan, start)
    distributions = {name: _distribution(part) for name, part in space.items()}
    done: dict[str, Tried] = {}
    left = plan.trials
    while left:
        asked = [study.ask(distributions) for _ in range(min(plan.batch, left))]
        left -= len(asked)
        fresh = {_name(t.params): t.params for t in asked if _name(t.params) not in done}
        measured = _measure(list(fresh.values()), objective, plan, done.values())
        done |= dict(zip(fresh, measured, strict=True))
        for trial in asked:
            _tell(study, trial, done[_name(trial.params)])
        for tried in measured:
            told(tried)
    return list(done.values())


def front(tried: Sequence[Tried]) -> list[Tried]:
    """Return the settings that no other beats in reward at no more cost, cheapest first."""
    kept: list[Tried] = []
    whole = [one for one in tried if not one.pruned]
    for one in sorted(whole, key=lambda t: (t.cost, -t.reward)):
        if not kept or one.reward > kept[-1].reward:
            kept.append(one)
    return kept


def _study(plan: Plan, start: Sequence[Setting]) -> optuna.Study:
    try:
        import optuna
    except ImportError:
        raise ImportError("the search needs Optuna: pip install 'audioforge[optimize]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(
            seed=plan.seed, n_startup_trials=max(plan.batch, plan.trials // 3)
        ),
        directions=["maximize", "minimize"],
    )
    for setting in start:
        study.enqueue_trial(dict(setting))
    return study


def _distribution(part: Choice | Between) -> optuna.distributions.BaseDistribution:
    from optuna import distributions as kinds

    if isinstance(part, Choice):
        return kinds.CategoricalDistribution(part.options)
    if isinstance(part.low, int) and isinstance(part.high, int):
        step = 1 if part.step is None else int(part.step)
        return kinds.IntDistribution(part.low, part.high, log=part.log, step=step)
    return kinds.FloatDistribution(part.low, part.high, log=part.log, step=part.step)


def _tell(study: optuna.Study, trial: optuna.Trial, tried: Tried) -> None:
    from optuna.trial import TrialState

    if tried.pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, [tried.reward, tried.cost])


def _measure(
    settings: Sequence[Setting], objective: Objective, plan: Plan, known: Iterable[Tried]
) -> list[Tried]:
    """Run settings from rung to rung, giving up on some after each."""
    rivals = [one.outcome for one in known]
    found: dict[int, Outcome] = {}
    pruned: dict[int, str] = {}
    first = 0
    for last in plan.rungs:
        going = [place for place in range(len(settings)) if place not in pruned]
        outcomes = objective([Job(dict(settings[place]), first, last) for place in going])
        for place, outcome in zip(going, outcomes, strict=True):
            found[place] = _joined(found.get(place), outcome)
        if last < plan.rungs[-1]:
            mates = [*rivals, *found.values()]
            for place in going:
                if why := _hopeless(found[place], mates, plan.margin):
                    pruned[place] = why
        first = last
    return [
        Tried(setting, found[place], pruned.get(place, ""))
        for place, setting in enumerate(settings)
    ]


def _joined(before: Outcome | None, after: Outcome) -> Outcome:
    if before is None:
        return after
    n, m = len(before.rewards), len(after.rewards)
    return Outcome(
        before.rewards + after.rewards,
        (before.cost * n + after.cost * m) / (n + m),
        before.rejected + after.rejected,
        before.reason or after.reason,
    )


def _hopeless(outcome: Outcome, rivals: Sequence[Outcome], margin: float) -> str:
    """Say why a setting needs no further look, or nothing."""
    count = len(outcome.rewards)
    if 2 * outcome.rejected > count:
        return f"{outcome.rejected} of {count} rejected: {outcome.reason}"
    for rival in rivals:
        if rival.cost > outcome.cost or len(rival.rewards) < count:
            continue
        gaps = np.subtract(rival.rewards[:count], outcome.rewards)
        error = float(gaps.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
        if gaps.mean() > max(2 * error, margin):
            return f"beaten by {gaps.mean():.3f} at no more cost"
    return ""


def _name(plain: Mapping[str, Any]) -> str:
    """Return a mapping as text that equal ones share."""
    return json.dumps(plain, sort_keys=True)
