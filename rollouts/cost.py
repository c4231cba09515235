"""Cost: what a clip took, and how much of its reward is charged for it.

A policy that pays nothing asks for the most steps it may. With a weight it pays

    charge = total * (w_steps * steps + w_seconds * seconds + w_wall * wall)
    reward = total - charge

with every share in [0, 1]:

- steps:   model evaluations of this clip / 100, at most 1. A step is one evaluation, more with
           samplers that look more often (`Capabilities.looks`), and twice as many with guidance
           (cfg other than 1). 100 are 50 guided steps. A token model evaluates once a frame, so its
           share is seconds / the backend's longest clip, halved without guidance.
- seconds: of audio / the backend's longest clip.
- wall:    s / (s + 1), s the seconds the clip took: those of its batch over its clips. Bounded by
           its form, for machines differ a hundredfold. Not reproducible: a run that charges it
           gives other rewards when it is repeated. Replay compares sounds, never rewards.

The price is a factor, so that a silent clip earns nothing by being cheap and every clip above 0
stays above an answer that cannot be read. With W the sum of the weights, below 1, a reward lies
in [(1 - W) total, total]: a clip overtakes only clips that are less than W better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from audioforge.generation.backend import Capabilities
from audioforge.generation.request import GenerationRequest

BUDGET = 100
"""Model evaluations at which the share of steps is 1: 50 guided steps."""
WALL_SECONDS = 1.0
"""At which half the weight of wall time is charged."""


@dataclass(frozen=True)
class CostWeights:
    """Greatest part of a reward that each cost can take, 0 to 1; all 0 charges nothing."""

    steps: float = 0.0
    seconds: float = 0.0
    wall: float = 0.0

    def __post_init__(self) -> None:
        weights = (self.steps, self.seconds, self.wall)
        if not all(weight >= 0 for weight in weights) or not sum(weights) < 1:
            raise ValueError(
                "cost weights must be at least 0 and less than 1 together, "
                f"got steps {self.steps:g}, seconds {self.seconds:g}, wall {self.wall:g}"
            )

    @property
    def on(self) -> bool:
        """Whether anything is charged."""
        return self.steps + self.seconds + self.wall > 0


FREE = CostWeights()


class Charged(NamedTuple):
    """What is left of a total, and the bill."""

    reward: float
    """In [0, 1]."""
    cost: dict[str, float]
    """"evaluations" of the model (not of token models), "seconds" of audio, and "charge", what was
    taken off the total. No wall time: a rollout has it among its timings."""


def charged(
    total: float,
    request: GenerationRequest,
    wall: float,
    capabilities: Capabilities,
    weights: CostWeights = FREE,
) -> Charged:
    """Charge one clip.

    Args:
        total: of its report, in [0, 1].
        request: what was made.
        wall: seconds it took, its share of its batch.
        capabilities: of the backend that made it.
        weights: see the top of this file; FREE charges nothing.
    """
    price = (
        weights.steps * steps_share(request, capabilities)
        + weights.seconds * min(request.seconds / capabilities.max_seconds, 1.0)
        + weights.wall * (wall / (wall + WALL_SECONDS))
    )
    charge = total * price
    looks = evaluations(request, capabilities)
    told = {} if math.isnan(looks) else {"evaluations": looks}
    return Charged(total - charge, told | {"seconds": request.seconds, "charge": charge})


def evaluations(request: GenerationRequest, capabilities: Capabilities) -> float:
    """Return how often the model is evaluated for a clip; nan for token models.

    Some samplers save an evaluation in their last step: this is an upper bound, by at most one
    step.
    """
    if capabilities.tokens:
        return math.nan
    return float(request.steps * capabilities.looks.get(request.sampler, 1) * _rows(request))


def steps_share(request: GenerationRequest, capabilities: Capabilities) -> float:
    """Return what a clip's steps cost, in [0, 1]; see the top of this file."""
    if capabilities.tokens:
        return min(request.seconds / capabilities.max_seconds, 1.0) * _rows(request) / 2
    return min(evaluations(request, capabilities) / BUDGET, 1.0)


def _rows(request: GenerationRequest) -> int:
    return 1 if request.cfg_scale == 1 else 2
