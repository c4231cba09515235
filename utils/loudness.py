"""Loudness in LUFS: two-stage K-weighting, absolute and relative gates.

Source: ITU-R BS.1770-4.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import signal


@lru_cache(maxsize=16)
def k_weighting(rate: int) -> np.ndarray:
    """Return the two-stage K-weighting filter of BS.1770-4 at a sample rate, as sections [2, 6]."""
    sections = []
    for kind, hz, q in (
        ("shelf", 1681.974450955533, 0.7071752369554196),
        ("high", 38.13547087602444, 0.5003270373238773),
    ):
        k = np.tan(np.pi * min(hz / rate, 0.49))
        norm = 1 + k / q + k * k
        if kind == "shelf":
            high = 10 ** (3.999843853973347 / 20)
            middle = high**0.4996667741545416
            first, last = high + middle * k / q + k * k, high - middle * k / q + k * k
            b = np.array([first, 2 * (k * k - high), last]) / norm
        else:
            b = np.array([1.0, -2.0, 1.0])
        sections.append([*b, 1.0, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm])
    return np.array(sections)


def integrated_lufs(samples: np.ndarray, rate: int) -> float:
    """Return the loudness of [channels, time] in LUFS, each channel with weight 1.

    -inf for silence; a clip under 0.4 s is one block.
    """
    if samples.shape[1] == 0 or not samples.any():
        return -np.inf
    weighted = np.asarray(signal.sosfilt(k_weighting(rate), samples, axis=1))
    hop = block_hop(weighted.shape[1], rate)
    pieces = weighted[:, : weighted.shape[1] // hop * hop].reshape(len(weighted), -1, hop)
    return gated_lufs(np.einsum("cth,cth->t", pieces, pieces), hop)


def block_hop(samples: int, rate: int) -> int:
    """Return samples between blocks: a block is four hops, 0.4 s, three quarters shared."""
    hop = max(round(0.1 * rate), 1)
    return hop if samples >= 4 * hop else max(samples // 4, 1)


def gated_lufs(energy: np.ndarray, hop: int) -> float:
    """Gate and integrate the K-weighted energy of each hop, [hops], over all channels."""
    blocks = np.convolve(energy, np.ones(min(4, energy.size)), "valid") / (4 * hop)
    loud = blocks[-0.691 + 10 * np.log10(blocks + 1e-30) > -70]
    if loud.size == 0:
        return float(-0.691 + 10 * np.log10(max(blocks.max(), 1e-30)))
    relative = -0.691 + 10 * np.log10(loud.mean()) - 10
    return float(-0.691 + 10 * np.log10(loud[-0.691 + 10 * np.log10(loud) > relative].mean()))
