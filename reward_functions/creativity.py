"""Creativity: does the clip differ from what the policy made lately, and from the references?

Novelty is the distance to the nearest of the policy's recent clips, in units of ordinary variation
within a kind, so sounding like the same prompt again earns little. It counts only for clips of some
quality: noise is new, and worthless.

Range:   [0, 1]; rises with distance and saturates at one unit of ordinary variation.
Unscored: nothing to compare with, or a clip too short or too narrow to describe.
Source:  novelty as distance to an archive (Lehman & Stanley 2011); gate after GARDO (2512.24138).
Blind to: whether the difference is musical; order effects inside a group (duplicates share one
reward).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audioforge.reward_functions.curves import ramp
from audioforge.reward_functions.description import describe
from audioforge.reward_functions.families import family_model
from audioforge.reward_functions.score import Score, unscored
from audioforge.utils.spectral_analysis import Features

QUALITY_FLOOR = 0.5
"""Quality at which novelty counts in full; half as much quality and it counts for nothing."""
_FULL_DISTANCE = 0.8


def vector(features: Features) -> np.ndarray | None:
    """Return the style vector of a clip, float64 [D]; None where it cannot be described."""
    described = features.once(describe)
    return None if described is None else family_model().style_vector(described)


def score(
    own: np.ndarray | None,
    recent: Sequence[np.ndarray],
    references: np.ndarray | None,
    quality: float,
) -> Score:
    """Score the novelty of a clip.

    Args:
        own: its `vector`.
        recent: vectors of the policy's earlier clips for this kind of target.
        references: vectors of the style set, [references, D], or None.
        quality: the clip's audio_quality, in [0, 1].
    """
    if own is None:
        return unscored("too short or too narrow to compare")
    near_recent = min((float(np.linalg.norm(own - r)) for r in recent), default=float("inf"))
    near_reference = (
        float(np.linalg.norm(references - own, axis=1).min())
        if references is not None and len(references)
        else float("inf")
    )
    # A clip in the style of its references is meant to be near: only their doorstep costs.
    nearest = min(near_recent, 3 * near_reference)
    if np.isinf(nearest):
        return unscored("nothing earlier to compare with")
    fresh = 0.2 + 0.8 * ramp(nearest, 0.05, _FULL_DISTANCE)
    value = fresh * ramp(quality, QUALITY_FLOOR / 2, QUALITY_FLOOR)
    words = (
        f"nearest of {len(recent)} recent clips at distance {near_recent:.2f}"
        if recent
        else f"nearest reference at distance {near_reference:.2f}"
    )
    if quality < QUALITY_FLOOR:
        words += "; counted less, the quality is low"
    return Score(value, words, {"nearest": nearest, "quality": quality})
