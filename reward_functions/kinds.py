"""Kinds: to which category a clip of any origin belongs, and whether it is struck.

Regularised least squares on a Gaussian kernel over descriptions of real clips and of the teacher's
(`fit_kinds.py`). `families.py` tells the teacher's families apart; on real recordings, which sound
unlike any of them, this model tells categories.

Range:   likeness about -1 to 1 per category; 0 for sounds like none that were heard.
Source:  own fit; for what it reaches on clips it has not heard see `docs/rewards.md`.
Blind to: what a category means beyond the hundred real clips and 26 families that it was shown.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from audioforge.data.families import CATEGORIES
from audioforge.reward_functions.committed import committed
from audioforge.reward_functions.curves import ramp, through
from audioforge.reward_functions.kernel_fit import gaussian

STRUCK = "struck"
OUTPUTS = (*CATEGORIES, STRUCK)
_MARGIN_KNOTS = ((-1.0, 0.0), (-0.5, 0.12), (-0.2, 0.3), (0.0, 0.5), (0.4, 0.9), (0.8, 1.0))
"""Likeness to the asked category less that to the nearest other, to score: 0.5 is a tie."""


class Kinds(NamedTuple):
    """A fitted model; D numbers per description."""

    middle: np.ndarray
    spread: np.ndarray
    """Mean and standard deviation of each number, [D]."""
    centres: np.ndarray
    """Scaled descriptions the kernel compares with, [centres, D]."""
    coefficients: np.ndarray
    """[centres, OUTPUTS]."""
    width: float
    """Of the kernel, in units of the square root of D."""

    def likeness(self, descriptions: np.ndarray) -> np.ndarray:
        """Return the likeness of descriptions, [rows, D], to each of OUTPUTS: [rows, OUTPUTS]."""
        scaled = ((descriptions - self.middle) / self.spread).clip(-4, 4)
        return gaussian(scaled, self.centres, self.width) @ self.coefficients

    def save(self, path: Path) -> None:
        """Write the model as an npz file."""
        stored: dict[str, Any] = {k: np.asarray(v) for k, v in self._asdict().items()}
        np.savez_compressed(path, **stored)


@cache
def kinds_model() -> Kinds:
    """Load the committed model.

    Raises:
        FileNotFoundError: it is missing; the message names the command that makes it.
    """
    path = committed("kinds.npz", "python -m audioforge.reward_functions.fit_kinds")
    with path.open("rb") as file, np.load(file) as stored:
        middle, spread, centres, coefficients, width = (stored[name] for name in Kinds._fields)
    return Kinds(middle, spread, centres, coefficients, float(width))


def category_score(description: np.ndarray, category: str) -> tuple[float, str]:
    """Score how much a clip belongs to a category rather than to another.

    Returns:
        The score in [0, 1], 0.5 where another is as near, and the nearest category.
    """
    found = dict(zip(OUTPUTS, kinds_model().likeness(description[None])[0], strict=True))
    return score_of({name: float(found[name]) for name in CATEGORIES}, category)


def score_of(likeness: dict[str, float], category: str) -> tuple[float, str]:
    """Turn likenesses into a score; what is like none of them earns little for any."""
    margin = likeness[category] - max(v for name, v in likeness.items() if name != category)
    known = ramp(likeness[category], -0.8, 0.2)
    return through(margin, _MARGIN_KNOTS) * known, max(likeness, key=lambda name: likeness[name])


def struck_likeness(description: np.ndarray) -> float:
    """Return how much a clip is like struck sounds, about -1 to 1."""
    return float(kinds_model().likeness(description[None])[0][OUTPUTS.index(STRUCK)])
