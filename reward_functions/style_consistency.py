"""Style consistency: does a clip sound like it belongs to a set of references, without copying one?

The distance is that of two descriptions in units of ordinary variation within a kind
(`families.py`), to the two nearest references. The set says how close is close: its members' own
distances set the scale. A fingerprint (`fingerprint.py`) takes everything back from a copy, also
shifted, resampled or reversed; how similar the references are among themselves sets where copying
begins.

Range:   [0, 1]; 1 from "as near as the references are to each other" on, 0 far away or for a copy.
Unscored: no references, or a clip too short or too narrow to describe.
Source:  reference set instead of one clip after DRAGON (2504.15217); copy ceiling after MiRA
(2407.14364).
Blind to: copies hidden under other sound; style above 7.2 kHz.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audioforge.reward_functions.curves import ramp
from audioforge.reward_functions.description import describe
from audioforge.reward_functions.families import family_model
from audioforge.reward_functions.fingerprint import copy_similarity, fingerprint
from audioforge.reward_functions.score import Score, unscored
from audioforge.utils.spectral_analysis import Features

COPY_FROM = 0.88
"""Fingerprint correlation at which copying begins, unless the references are as similar
themselves."""
_LEAST_NEAR = 0.6
_FALL = 0.9
"""Distance from full marks to none, in ordinary within-kind variation."""


@dataclass(frozen=True)
class ReferenceSet:
    """What is known of a set of references, measured once."""

    vectors: np.ndarray
    """Style vectors, [references, D]."""
    marks: tuple[np.ndarray, ...]
    near: float
    """Distance at which the set's own members lie from each other, at least 0.6."""
    copy_from: float
    """Fingerprint correlation above which a clip is a copy."""


def reference_set(references: Sequence[Features]) -> ReferenceSet | None:
    """Measure a set; None if nothing remains of it.

    References that cannot be described are left out, and so are repeats: two of the same would say
    that members of this set are as alike as copies.
    """
    unlike: dict[bytes, tuple[Features, np.ndarray]] = {}
    for features in references:
        if (vector := features.once(describe)) is not None:
            unlike.setdefault(vector.tobytes(), (features, vector))
    described = list(unlike.values())
    if not described:
        return None
    vectors = np.array([family_model().style_vector(d) for _, d in described])
    marks = tuple(fingerprint(f) for f, _ in described)
    pairs = [(i, j) for i in range(len(marks)) for j in range(i)]
    apart = [float(np.linalg.norm(vectors[i] - vectors[j])) for i, j in pairs]
    alike = [copy_similarity(marks[i], marks[j]) for i, j in pairs]
    near = max(float(np.median(apart)), _LEAST_NEAR) if apart else 1.0
    return ReferenceSet(vectors, marks, near, max(COPY_FROM, *alike, 0.0) if alike else COPY_FROM)


def score(features: Features, references: ReferenceSet | None) -> Score:
    """Score one clip against a measured set of references."""
    described = features.once(describe)
    if references is None:
        return unscored("no references to compare with")
    if described is None:
        return unscored("too short or too narrow to compare")
    vector = family_model().style_vector(described)
    distances = np.sort(np.linalg.norm(references.vectors - vector, axis=1))
    distance = float(distances[:2].mean())
    mark = fingerprint(features)
    alike = max(copy_similarity(mark, other) for other in references.marks)
    near = ramp(distance, references.near + _FALL, references.near * 1.1)
    original = ramp(alike, references.copy_from + 0.05, references.copy_from + 0.005)
    reason = (
        f"distance {distance:.2f} to the nearest references, which lie {references.near:.2f} apart"
    )
    if original < 0.9:
        reason = (
            f"too close to a reference: fingerprint correlation {alike:.2f}, "
            f"copying begins at {references.copy_from:.2f}"
        )
    return Score(
        near * original,
        reason,
        {"distance": distance, "near": references.near, "copy_correlation": alike},
    )
