"""Loudness in LUFS and its range in LU: two-stage K-weighting, absolute and relative gates.

Source: ITU-R BS.1770-4; loudness range after EBU Tech 3342.
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


def hop_energy(samples: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """Return the K-weighted energy of each hop of [channels, time] and the samples in a hop.

    Channels count alike; a silent or empty clip has no hops.
    """
    if samples.shape[1] == 0 or not samples.any():
        return np.zeros(0), 1
    weighted = np.asarray(signal.sosfilt(k_weighting(rate), samples, axis=1))
    hop = block_hop(weighted.shape[1], rate)
    pieces = weighted[:, : weighted.shape[1] // hop * hop].reshape(len(weighted), -1, hop)
    return np.einsum("cth,cth->t", pieces, pieces), hop


def block_hop(samples: int, rate: int) -> int:
    """Return samples between blocks: a block is four hops, 0.4 s, three quarters shared."""
    hop = max(round(0.1 * rate), 1)
    return hop if samples >= 4 * hop else max(samples // 4, 1)


def gated_lufs(energy: np.ndarray, hop: int) -> float:
    """Gate and integrate the energy of each hop, [hops]: loudness in LUFS, -inf for silence.

    A clip under 0.4 s is one block.
    """
    if not energy.size:
        return -np.inf
    blocks = np.convolve(energy, np.ones(min(4, energy.size)), "valid") / (4 * hop)
    loud = blocks[-0.691 + 10 * np.log10(blocks + 1e-30) > -70]
    if loud.size == 0:
        return float(-0.691 + 10 * np.log10(max(blocks.max(), 1e-30)))
    relative = -0.691 + 10 * np.log10(loud.mean()) - 10
    return float(-0.691 + 10 * np.log10(loud[-0.691 + 10 * np.log10(loud) > relative].mean()))


def loudness_range(energy: np.ndarray, hop: int, rate: int) -> float:
    """Return the loudness range in LU: 10th to 95th percentile of the loudness of 3 s windows.

    Args:
        energy: of each hop, see `hop_energy`.
        hop: samples in a hop.
        rate: in Hz.

    Returns:
        nan where the clip is shorter than a window or too quiet.
    """
    window = max(round(3.0 * rate / hop), 1)
    if energy.size < window:
        return float("nan")
    padded = np.concatenate([energy, np.zeros(window // 2)])
    power = np.convolve(padded, np.ones(window), "valid") / (window * hop)
    levels = -0.691 + 10 * np.log10(power + 1e-30)
    loud = levels[levels >= -70]
    if not loud.size:
        return float("nan")
    gate = 10 * np.log10(np.mean(10 ** (loud / 10))) - 20
    low, high = np.percentile(loud[loud >= gate], (10, 95))
    return float(high - low)
