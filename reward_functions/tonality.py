"""Tonality: does a clip lie in the key asked for?

Pitch-class energy is correlated with the 24 key profiles of Krumhansl and Kessler (1982). Keys that
share most notes are told apart poorly, by listeners and by every key finder, so relatives earn part
credit and the check weighs little.

Blind to: modes other than major and minor; key changes.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from audioforge.data.brief import KEYS, NOTES
from audioforge.reward_functions.curves import ramp
from audioforge.utils.spectral_analysis import Features

_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
RELATED = {"relative": 0.7, "parallel": 0.6, "fifth": 0.6}
"""Credit for a clip heard in a key related to the asked one."""


class KeyMatch(NamedTuple):
    """How well an asked key fits."""

    score: float
    tonal: float
    """0 for no pitch, 1 for clear pitch classes."""
    heard: str
    """Best of the 24 keys."""


def match_key(features: Features, key: str) -> KeyMatch:
    """Test one of KEYS on a clip."""
    chroma = features.chroma.mean(0, dtype=np.float64)
    total = chroma.sum()
    if total <= 1e-9:
        return KeyMatch(0.0, 0.0, "none")
    share = chroma / total
    tonal = ramp(float(share.max() - np.median(share)), 0.02, 0.07)
    centred = chroma - chroma.mean()
    fits = _key_profiles() @ (centred / (np.linalg.norm(centred) + 1e-12))
    fit = dict(zip(KEYS, map(float, fits), strict=True))
    heard = max(fit, key=lambda name: fit[name])
    middle, best = float(np.median(list(fit.values()))), fit[heard]
    near = ramp(fit[key], middle, best) if best > middle else 0.0
    credit = 1.0 if key == heard else RELATED.get(relation(key, heard) or "", 0.0)
    graded = max(credit, 0.9 * near**2 if relation(key, heard) else 0.6 * near**2)
    return KeyMatch(tonal * graded, tonal, heard)


@cache
def _key_profiles() -> np.ndarray:
    """Return the profile of each of KEYS without its mean, at length 1, [24, 12]."""
    rows = []
    for key in KEYS:
        tonic, mode = key.split()
        profile = np.roll(_MAJOR if mode == "major" else _MINOR, NOTES.index(tonic))
        rows.append((profile - profile.mean()) / np.linalg.norm(profile - profile.mean()))
    return np.array(rows)


def relation(key: str, other: str) -> str | None:
    """Name how two keys are related: relative, parallel, fifth, same, or None."""
    (tonic, mode), (tonic2, mode2) = key.split(), other.split()
    apart = (NOTES.index(tonic2) - NOTES.index(tonic)) % 12
    if mode == mode2:
        return {0: "same", 5: "fifth", 7: "fifth"}.get(apart)
    return {0: "parallel", (9 if mode == "major" else 3): "relative"}.get(apart)
