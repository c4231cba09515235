"""Realism: does a clip's texture lie with music, or with spoiled and made-up sound?

One margin on 171 numbers, the description (`description.py`) and the descriptors of naturalness
(`naturalness.py`): weighted least squares on a Gaussian kernel between music and some sixty kinds
of damage and imitation (`fit_realism.py`). What counts is not those kinds but that unseen ones are
found too; `levels` are therefore percentiles of music judged by models that had not heard it.

Range:   margin about -1 for spoiled or made-up sound, 1 for music; a gate in [0.05, 1].
Source:  own fit; a realism term against collapse after GAPT (2511.17879).
Blind to: what the mid signal up to 7.2 kHz does not show; taste; damage subtler than what was
learned.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from audioforge.reward_functions.kernel_model import KernelModel, load
from audioforge.reward_functions.naturalness import descriptors
from audioforge.utils.spectral_analysis import Features

QUANTILES = (10, 25, 50)
"""Percentiles of unseen music that are stored as `levels`."""
FLOOR = 0.05


class Realism(NamedTuple):
    """A fitted model."""

    model: KernelModel
    levels: tuple[float, ...]
    """Margins of unseen music at QUANTILES."""

    def margins(self, textures: np.ndarray) -> np.ndarray:
        """Return the margin of textures, [rows, D]: [rows]."""
        return self.model(textures)[:, 0]


@cache
def realism_model() -> Realism:
    """Load the committed model.

    Raises:
        FileNotFoundError: it is missing; the message names the command that makes it.
    """
    model, more = load("realism.npz", "python -m audioforge.reward_functions.fit_realism")
    return Realism(model, tuple(map(float, more["levels"])))


def texture(features: Features, description: np.ndarray) -> np.ndarray:
    """Return the numbers the model reads, float64 [D], finite."""
    measured = np.array(list(features.once(descriptors).values()))
    return np.concatenate([description, np.nan_to_num(measured)])


def realism(features: Features, description: np.ndarray) -> tuple[float, float]:
    """Judge a clip.

    Args:
        features: a clip that is not silent.
        description: `describe(features)`.

    Returns:
        The value in [FLOOR, 1] and the margin: 1 from the median of unseen music on, 0.8 at its
        25th percentile, 0.5 at the 10th, FLOOR where spoiled clips lie.
    """
    margin = float(realism_model().margins(texture(features, description)[None])[0])
    return of_margin(margin), margin


def of_margin(margin: float) -> float:
    """Return the value in [FLOOR, 1] of a margin: monotone, without corners, level at both ends."""
    curve = _curve()
    return float(curve(np.clip(margin, curve.x[0], curve.x[-1])))


@cache
def _curve() -> PchipInterpolator:
    low, quarter, middle = realism_model().levels
    margins = (-2.0, -1.0, low, quarter, middle, middle + 1.0)
    return PchipInterpolator(margins, (FLOOR, FLOOR, 0.5, 0.8, 1.0, 1.0))
