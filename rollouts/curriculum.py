"""Curriculum: which target is asked next, so that the policy succeeds at a wanted rate.

A rollout succeeds when its reward reaches a threshold. For each difficulty a window of the latest
outcomes gives a success rate; the curriculum stands at a position between the easiest level (0) and
the hardest, shares the targets among the two levels beside it, and keeps a floor for every level,
so that nothing is forgotten and every rate stays known. The position is the one whose expected
success is nearest to the wanted rate: up when it got too easy, down when too hard.

Which level group i gets is a function of (run seed, i, outcomes so far); within a level the target
asked least is next. So a run is the same again, and its outcomes can be read back from the record,
where each group holds its target. Only what was given out and never finished is not there: that is
what a checkpoint adds.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from audioforge.data.target_fields import DIFFICULTIES

if TYPE_CHECKING:
    from audioforge.data.targets import Target
    from audioforge.rollouts.record import Rollout

PRIOR = 4.0
"""Outcomes at the wanted rate that a level is thought to have before its first."""
MAX_PENDING = 4_096
"""Groups given out and not finished that are remembered."""
_GOLDEN = 0.6180339887498949
"""Steps of this length visit every part of [0, 1) evenly, and soon (three-gap theorem)."""


@dataclass(frozen=True)
class CurriculumConfig:
    """What the curriculum aims at."""

    success: float = 0.5
    """Wanted share of rollouts that succeed, in (0, 1)."""
    threshold: float = 0.5
    """A reward at or over this is a success, in (0, 1]."""
    window: int = 64
    """Latest outcomes of a level that count."""
    share: float = 0.1
    """Least share of the groups for each level, in (0, 1/3]."""

    def __post_init__(self) -> None:
        if not 0 < self.success < 1 or not 0 < self.threshold <= 1:
            raise ValueError(
                "curriculum_success must be in (0, 1) and curriculum_threshold in (0, 1], got "
                f"{self.success} and {self.threshold}"
            )
        if self.window < 1 or not 0 < self.share <= 1 / len(DIFFICULTIES):
            raise ValueError(
                "curriculum_window must be at least 1 and curriculum_share in (0, 1/3], got "
                f"{self.window} and {self.share}"
            )


class Curriculum:
    """Chooses targets of a pool.

    Args:
        pool: the targets of the run in the dealt order; those of a level keep it.
        run_seed: of the run.
        config: what to aim at.
    """

    def __init__(
        self, pool: Sequence[Target], run_seed: int, config: CurriculumConfig = CurriculumConfig()
    ) -> None:
        self.config = config
        self.pool = {
            level: found
            for level in DIFFICULTIES
            if (found := [target for target in pool if target.difficulty == level])
        }
        if not self.pool:
            raise ValueError("a curriculum needs at least one target")
        self.levels = tuple(self.pool)
        """The difficulties there are, easiest first."""
        self._targets = {target.id: target for target in pool}
        self._outcomes = {level: deque[bool](maxlen=config.window) for level in self.levels}
        self._used: Counter[str] = Counter()
        self._pending: dict[int, str] = {}
        self._phase = float(np.random.default_rng([run_seed, 0xC0]).uniform())

    def choose(self, index: int) -> Target:
        """Return the target of a group; one that was given out before and not seen stays."""
        if index in self._pending:
            return self._targets[self._pending[index]]
        place = (self._phase + index * _GOLDEN) % 1.0
        edges = np.cumsum(self._shares(self.position))
        level = self.levels[int(np.searchsorted(edges[:-1], place, side="right"))]
        target = min(self.pool[level], key=lambda one: self._used[one.id])
        self._give(index, target.id)
        return target

    def saw(self, rollouts: Sequence[Rollout]) -> None:
        """Take in a finished group, its target and rewards; dropped rollouts tell nothing."""
        first = rollouts[0]
        name, level = str(first.target["id"]), str(first.target["difficulty"])
        if self._pending.pop(first.group, None) is None:
            self._used[name] += 1
        if level in self._outcomes:
            threshold = self.config.threshold
            self._outcomes[level].extend(reward >= threshold for reward in best_rewards(rollouts))

    def forget(self, index: int) -> None:
        """A group that was given out will not be made."""
        self._pending.pop(index, None)

    def resume(self, index: int, name: str) -> None:
        """Take in that an earlier start has given this target to a group and not finished it."""
        if index not in self._pending and name in self._targets:
            self._give(index, name)

    @property
    def position(self) -> float:
        """Where it stands: 0 is the easiest level, the count of levels less one the hardest."""
        places = np.linspace(0, len(self.levels) - 1, 20 * (len(self.levels) - 1) + 1)
        rates = np.array([self._expected(level) for level in self.levels])
        expected = np.array([self._shares(place) @ rates for place in places])
        # Rounded, so that a tie is a tie on every machine: the easier one is taken.
        return float(places[int(np.round(np.abs(expected - self.config.success), 9).argmin())])

    def success(self, level: str) -> float | None:
        """Return the rate in a level's window, or None before its first outcome."""
        seen = self._outcomes[level]
        return sum(seen) / len(seen) if seen else None

    def numbers(self) -> dict[str, float]:
        """Return what is logged: "position", "success/<level>" and "share/<level>"."""
        told = {"position": self.position}
        for level, share in zip(self.levels, self._shares(told["position"]), strict=True):
            told[f"share/{level}"] = float(share)
            if (rate := self.success(level)) is not None:
                told[f"success/{level}"] = rate
        return told

    def state(self) -> dict[str, Any]:
        """Return plain types: outcomes by level, how often targets were asked, what is pending."""
        return {
            "outcomes": {name: [int(one) for one in seen] for name, seen in self._outcomes.items()},
            "used": dict(self._used),
            "pending": {str(index): name for index, name in self._pending.items()},
        }

    def restore(self, state: Mapping[str, Any], done: set[int]) -> list[int]:
        """Go on from a checkpoint.

        Args:
            state: as `state` gave it. Where groups were read from the record, those count, and not
                the outcomes here.
            done: groups that are finished.

        Returns:
            The groups that had been given out and are not finished; they keep their targets.
        """
        if not self._used:
            for level, seen in state.get("outcomes", {}).items():
                if level in self._outcomes:
                    self._outcomes[level].extend(bool(one) for one in seen)
            pending = Counter(state.get("pending", {}).values())
            self._used = Counter(state.get("used", {})) - pending
        lost = {
            int(index): name
            for index, name in state.get("pending", {}).items()
            if int(index) not in done and name in self._targets
        }
        for index, name in lost.items():
            self._give(index, name)
        return sorted(lost)

    def _give(self, index: int, name: str) -> None:
        self._used[name] += 1
        self._pending[index] = name
        if len(self._pending) > MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))

    def _expected(self, level: str) -> float:
        seen = self._outcomes[level]
        return (sum(seen) + PRIOR * self.config.success) / (len(seen) + PRIOR)

    def _shares(self, position: float) -> np.ndarray:
        """Return each level's share at a position: a floor, the rest to the two levels beside."""
        near = np.maximum(0.0, 1.0 - np.abs(position - np.arange(len(self.levels))))
        floor = self.config.share
        return floor + (1.0 - floor * len(self.levels)) * near


def best_rewards(rollouts: Sequence[Rollout]) -> list[float]:
    """Return the best reward of each member of a group over its turns; dropped ones are left out.

    Without turns, these are the rewards.
    """
    ordered = sorted(rollouts, key=lambda rollout: rollout.member)
    best: list[float] = []
    for _, turns in groupby(ordered, key=lambda rollout: rollout.member):
        rewards = [rollout.reward for rollout in turns]
        known = [reward for reward in rewards if reward is not None]
        if len(known) == len(rewards):
            best.append(max(known))
    return best
