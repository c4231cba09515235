"""Cuts: places where the wave breaks off in one sample and sound ends at once.

A clip pieced together from blocks, of one song or of several, joins waves that do not continue each
other. Linear prediction leaves a single sample far above the residual on both sides of the joint,
and bands that sounded before are silent after. A drum also starts in one sample, but nothing
ends there, and the residual stays up; the edges of a sawtooth come too often to stand out.

Range:   strength from 0; music mostly under 1.6 (90th percentile), blocks of 0.25 s above 2.4.
Source:  two-sided prediction error after Godsill & Rayner, Digital Audio Restoration (1998).
Blind to: joints that are faded over, and joints in near silence. Holes of digital silence are left
to `sample_faults.dropouts`.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg, signal
from scipy.ndimage import maximum_filter1d

from audioforge.reward_functions.fault import digital_silence
from audioforge.utils.spectral_analysis import Features, hann

_ORDER = 32
_BLOCK = 0.01
_AROUND = 0.004
_SKIP = 8
_PER_SECOND = 3
"""How many places a second are averaged."""
_EDGES_HZ = np.geomspace(150, 10_000, 17)


def cut_strength(features: Features) -> float:
    """Return the mean strength of the three strongest cuts a second; 0 for under half a second."""
    x, rate = features.mid, features.rate
    span = round(0.02 * rate)
    if x.size < 25 * span or not x.any():
        return 0.0
    places, ratio = _spikes(_residual(x, features.spectrum), rate, float(x.std()))
    kept = np.argsort(ratio)[::-1][: 12 * round(features.seconds)]
    places, ratio = places[kept], ratio[kept]
    inside = (places > 2 * span) & (places < x.size - 2 * span)
    places, ratio = places[inside], ratio[inside]
    if not places.size:
        return 0.0
    found = np.log2(np.maximum(ratio / 3, 1)) * np.minimum(_ended(x, rate, places), 4.0)
    found[_beside_nothing(features, places)] = 0.0
    most = max(round(_PER_SECOND * features.seconds), 1)
    return float(_apart(places, found, 2 * span)[:most].sum() / most)


def _apart(places: np.ndarray, found: np.ndarray, least: int) -> np.ndarray:
    """Return the strengths that are the largest within `least` samples around, largest first."""
    order = np.argsort(places)
    places, found = places[order], found[order]
    first, end = np.searchsorted(places, (places - least + 1, places + least))
    beaten = np.array(
        [found[a:b].max() > own for a, b, own in zip(first, end, found, strict=True)], bool
    )
    return np.sort(found[~beaten])[::-1]


def _residual(x: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """Take what is predictable out of the clip, by one filter for its mean spectrum."""
    correlation = np.fft.irfft(spectrum)[: _ORDER + 1]
    correlation[0] = correlation[0] * (1 + 1e-2) + 1e-20
    filter_ = np.concatenate(
        [[1.0], -linalg.solve_toeplitz(correlation[:-1], correlation[1:])]
    ).astype(np.float32)
    return np.abs(signal.oaconvolve(x, filter_)[: x.size])


def _spikes(residual: np.ndarray, rate: int, loudness: float) -> tuple[np.ndarray, np.ndarray]:
    """Return samples larger than all within 5 ms, and their ratio to the louder of their sides.

    What lies 80 dB under the clip's RMS, `loudness`, counts as silence.
    """
    block, around = round(_BLOCK * rate), round(_AROUND * rate)
    places = np.flatnonzero(residual == maximum_filter1d(residual, block | 1))
    edge = around + _SKIP + 1
    places = places[(places > edge) & (places < residual.size - edge)]
    energy = np.concatenate([[0.0], np.cumsum(residual.astype(np.float64) ** 2)])
    before = energy[places - _SKIP] - energy[places - _SKIP - around]
    after = energy[places + _SKIP + 1 + around] - energy[places + _SKIP + 1]
    floor = 1e-4 * loudness
    level = np.sqrt(np.maximum(np.maximum(before, after), 0) / around) + floor
    return places, residual[places] / level


def _beside_nothing(features: Features, places: np.ndarray) -> np.ndarray:
    """Whether digital silence lies beside a place, bool [places]: a hole's edge, no joint."""
    span = np.arange(_SKIP, _SKIP + round(_AROUND * features.rate))
    before, after = (features.envelope[places[:, None] + side * span].max(1) for side in (-1, 1))
    return np.minimum(before, after) <= digital_silence(features)


def _ended(x: np.ndarray, rate: int, places: np.ndarray) -> np.ndarray:
    """Return by how many dB beyond 3 the audible bands fall across each place, on average."""
    span, gap = round(0.02 * rate), max(round(0.0005 * rate), 1)
    window = hann(span)
    size = 1 << (span - 1).bit_length()
    hz = np.fft.rfftfreq(size, 1 / rate)
    bands = ((hz[:, None] >= _EDGES_HZ[:-1]) & (hz[:, None] < _EDGES_HZ[1:])).astype(np.float32)
    floor = 1e-5 * float((x.astype(np.float64) ** 2).mean()) * span + 1e-12

    def level_db(starts: np.ndarray) -> np.ndarray:
        pieces = np.lib.stride_tricks.sliding_window_view(x, span)[starts] * window
        return 10 * np.log10(np.abs(np.fft.rfft(pieces, size)) ** 2 @ bands + floor)

    left, right = level_db(places - gap - span), level_db(places + gap)
    louder = np.maximum(left, right)
    audible = louder > louder.max(1, keepdims=True) - 40
    return (np.clip(left - right - 3, 0, 20) * audible).sum(1) / audible.sum(1)
