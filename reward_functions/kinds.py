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

import numpy as np

from audioforge.data.families import CATEGORIES
from audioforge.reward_functions.curves import ramp, through
from audioforge.reward_functions.kernel_model import KernelModel, load

STRUCK = "struck"
OUTPUTS = (*CATEGORIES, STRUCK)
_MARGIN_KNOTS = ((-1.0, 0.0), (-0.5, 0.12), (-0.2, 0.3), (0.0, 0.5), (0.4, 0.9), (0.8, 1.0))
"""Likeness to the asked category less that to the nearest other, to score: 0.5 is a tie."""


@cache
def kinds_model() -> KernelModel:
    """Load the committed model: descriptions, [rows, D], to likenesses, [rows, OUTPUTS].

    Raises:
        FileNotFoundError: it is missing; the message names the command that makes it.
    """
    return load("kinds.npz", "python -m audioforge.reward_functions.fit_kinds")[0]


def category_score(description: np.ndarray, category: str) -> tuple[float, str]:
    """Score how much a clip belongs to a category rather than to another.

    Returns:
        The score in [0, 1], 0.5 where another is as near, and the nearest category.
    """
    found = dict(zip(OUTPUTS, kinds_model()(description[None])[0], strict=True))
    return score_of({name: float(found[name]) for name in CATEGORIES}, category)


def score_of(likeness: dict[str, float], category: str) -> tuple[float, str]:
    """Turn likenesses into a score; what is like none of them earns little for any."""
    margin = likeness[category] - max(v for name, v in likeness.items() if name != category)
    known = ramp(likeness[category], -0.8, 0.2)
    return through(margin, _MARGIN_KNOTS) * known, max(likeness, key=lambda name: likeness[name])


def struck_likeness(description: np.ndarray) -> float:
    """Return how much a clip is like struck sounds, about -1 to 1."""
    return float(kinds_model()(description[None])[0][OUTPUTS.index(STRUCK)])
