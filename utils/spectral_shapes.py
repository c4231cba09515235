"""Shapes of spectra: what is read from power spectra, as functions of them.

An "array or tensor" may be numpy's or torch's, with any leading axes: one definition serves the
clip by clip path and the batched one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

BANDS = 64
LOW_HZ, HIGH_HZ = 40.0, 7_200.0
"""Range of the mel bands, inside what a 16 kHz clip can hold."""
NEAR = np.arange(-2, 3)
"""Bins of a spectral line, from its strongest."""
_TINY = 1e-12


def bin_hz(rate: int, bins: int) -> np.ndarray:
    """Return the frequency of each of `bins` bins up to Nyquist."""
    return np.arange(bins) * rate / (2 * (bins - 1))


def bins_between(hz: np.ndarray, low_hz: float, high_hz: float) -> slice:
    """Return the bins from `low_hz` to below `high_hz`."""
    first, end = np.searchsorted(hz, (low_hz, high_hz))
    return slice(int(first), int(end))


def flatness_db(inside: Any, xp: Any = np) -> Any:
    """Return geometric over arithmetic mean of each spectrum in dB.

    Args:
        inside: power [..., bins], float32 array or tensor; a bin counts as at most 90 dB down.
        xp: numpy, or torch for a tensor.
    """
    top = xp.amax(inside, axis=-1, keepdims=True) + _TINY
    logs = xp.log(xp.maximum(inside, top * 1e-9) + _TINY).mean(-1)
    return (logs - xp.log(inside.mean(-1) + _TINY)) * (10 / np.log(10))


def line_share(
    power: Any, total: Any, near: Any = NEAR, take: Callable[..., Any] = np.take_along_axis
) -> Any:
    """Return the share of each spectrum's power within two bins of its strongest bin.

    Args:
        power: [..., bins], float32 array or tensor.
        total: its sum over bins.
        near: NEAR, on the tensor's device.
        take: numpy's `take_along_axis`, or torch's `take_along_dim` for a tensor.
    """
    best = power.argmax(-1).clip(2, power.shape[-1] - 3)
    return take(power, best[..., None] + near, -1).sum(-1) / (total + _TINY)


@lru_cache(maxsize=16)
def mel_weights(rate: int, bins: int) -> np.ndarray:
    """Return triangular weights, float32 [bins up to HIGH_HZ, 64].

    Bands above Nyquist are empty.
    """
    edges = 700 * (np.geomspace(1 + LOW_HZ / 700, 1 + HIGH_HZ / 700, BANDS + 2) - 1)
    hz = bin_hz(rate, bins)
    width = np.maximum(np.diff(edges), rate / (2 * (bins - 1)))
    up = (hz[:, None] - edges[1:-1] + width[:-1]) / width[:-1]
    down = (edges[1:-1] + width[1:] - hz[:, None]) / width[1:]
    return _filled(np.maximum(np.minimum(up, down), 0))


@lru_cache(maxsize=16)
def chroma_weights(rate: int, bins: int) -> np.ndarray:
    """Return weights that fold 65 to 2 100 Hz onto pitch classes, C first.

    float32 [bins up to there, 12].
    """
    hz = bin_hz(rate, bins)
    inside = (hz > 65) & (hz < 2_100)
    pitch = 69 + 12 * np.log2(np.where(inside, hz, 440) / 440)
    apart = (pitch[:, None] - np.arange(12) + 6) % 12 - 6
    octave_weight = np.exp(-0.5 * ((pitch - 60) / 15) ** 2)
    return _filled(np.exp(-0.5 * (apart / 0.35) ** 2) * (inside * octave_weight)[:, None])


def _filled(weights: np.ndarray) -> np.ndarray:
    """Cut the bins after the last one that counts, and return float32."""
    return weights[: int(np.flatnonzero(weights.any(1))[-1]) + 1].astype(np.float32)
