"""Score and RewardReport: how a judgement is told.

A reward that cannot judge says unscored (nan); a reward that breaks raises. 0 is always a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Score(NamedTuple):
    """One judgement."""

    value: float
    """In [0, 1], or nan for unscored."""
    reason: str
    """One line a listener can check."""
    measured: Mapping[str, float] = {}
    """What was measured, units in the keys."""

    @property
    def scored(self) -> bool:
        """Whether there is a verdict."""
        return not math.isnan(self.value)


def unscored(reason: str, measured: Mapping[str, float] | None = None) -> Score:
    """Return the score of something that cannot be judged."""
    return Score(math.nan, reason, measured or {})


class CheckOutcome(NamedTuple):
    """One claim of the brief, checked."""

    name: str
    """The Brief field, such as "bpm"."""
    asked: str
    score: float
    """In [0, 1], or nan for "not checked"."""
    confidence: float
    """In [0, 1]: how far the check itself can be trusted on this clip."""
    words: str
    """One line: what was asked, what was heard."""

    @property
    def passed(self) -> bool | None:
        """True or False, or None when not checked."""
        return None if math.isnan(self.score) else self.score >= 0.5


@dataclass(frozen=True)
class RewardReport:
    """Everything said about one clip."""

    total: float
    """In [0, 1]; 0 when a gate is shut."""
    parts: Mapping[str, Score]
    gates: tuple[str, ...] = ()
    """Names of the gates that fired, such as "silent"."""
    checks: tuple[CheckOutcome, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    """The weight each scored part had in the total; they sum to 1."""
    disagreement: float = 0.0
    """Standard deviation over the scored parts."""
    vector: np.ndarray | None = field(default=None, compare=False)
    """The clip's style vector, [D], for creativity and set distances; not part of the JSON. None
    where a gate is shut or the clip cannot be described."""

    def to_json(self) -> dict[str, Any]:
        """Return plain types; nan becomes None."""

        def plain(x: float) -> float | None:
            return None if math.isnan(x) else float(x)

        return {
            "total": float(self.total),
            "parts": {
                n: {
                    "value": plain(s.value),
                    "reason": s.reason,
                    "measured": {k: plain(v) for k, v in s.measured.items()},
                }
                for n, s in self.parts.items()
            },
            "gates": list(self.gates),
            "checks": [
                {**c._asdict(), "score": plain(c.score), "confidence": float(c.confidence)}
                for c in self.checks
            ],
            "weights": {n: float(w) for n, w in self.weights.items()},
            "disagreement": float(self.disagreement),
        }
