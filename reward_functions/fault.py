"""Fault: how one kind of damage is told; `faults.py` lists the detectors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from audioforge.utils.spectral_analysis import Features


class Fault(NamedTuple):
    """One kind of damage, looked for in one clip."""

    name: str
    severity: float
    """Rises with the damage and is not capped; its unit and zero are the detector's own."""
    value: float
    """What is left of the quality, a falling function of the severity: 1 is no fault."""
    words: str


def runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first index and the end (exclusive) of every stretch of True, [runs] each."""
    if not mask.any():
        return np.zeros(0, int), np.zeros(0, int)
    changes = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    outer = [0] if mask[0] else [], [mask.size] if mask[-1] else []
    edges = np.concatenate([outer[0], changes, outer[1]]).astype(int)
    return edges[0::2], edges[1::2]


def digital_silence(f: Features) -> float:
    """Return what an editor writes where nothing is: under half a step of 16 bits.

    In a quiet clip it lies as far under the peak as in a loud one.
    """
    return 2e-5 * min(2 * f.peak, 1.0)
