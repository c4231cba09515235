"""Fingerprint: is a clip a copy of another, shifted, played faster or slower, or reversed?

A quarter-tone spectrogram at 50 frames a second, each smoothed over 60 ms so that the place of the
frames hardly matters, each band's mean removed, is cross-correlated over
all time shifts with the same of the other clip, forwards and backwards, at speeds within two
semitones in steps of a quarter tone (speed moves the bands and the time axis together). Copies
correlate near 1.

Range:   correlation in [-1, 1].
Blind to: pitch change without speed change, heavy mixing under other sound.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from audioforge.utils.spectral_analysis import FRAME_HZ, Features, fast_length

_PER_OCTAVE = 24
_LOW_HZ, _HIGH_HZ = 150.0, 7_000.0
_EVERY = 2
_SMOOTH = 6
"""Frames of 10 ms that are averaged."""
_SPEEDS = range(-4, 5)
_MIN_OVERLAP = 0.4
MAX_SECONDS = 30.0


def fingerprint(features: Features) -> np.ndarray:
    """Return the quarter-tone spectrogram of up to 30 s, [frames, bands], zero mean per band."""
    power = features.power[: int(MAX_SECONDS * FRAME_HZ)]
    weights = _band_weights(features.rate, power.shape[1])
    if len(power) < _SMOOTH:
        return np.zeros((0, weights.shape[1]), np.float32)
    total = np.cumsum(np.pad(power @ weights, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    bands = ((total[_SMOOTH:] - total[:-_SMOOTH]) / _SMOOTH)[::_EVERY]
    db = 10 * np.log10(np.maximum(bands, max(bands.max(initial=0.0), 1e-12) * 1e-5))
    return (db - db.mean(0)).astype(np.float32)


@lru_cache(maxsize=16)
def _band_weights(rate: int, bins: int) -> np.ndarray:
    hz = np.arange(bins) * rate / (2 * (bins - 1))
    count = int(_PER_OCTAVE * np.log2(_HIGH_HZ / _LOW_HZ))
    centres = _LOW_HZ * 2 ** (np.arange(count) / _PER_OCTAVE)
    # Below about 750 Hz a quarter tone is narrower than a bin: widen to one bin.
    width = np.maximum(centres * (2 ** (1 / _PER_OCTAVE) - 1), rate / (2 * (bins - 1)))
    return np.maximum(1 - np.abs(hz[:, None] - centres) / width, 0).astype(np.float32)


def copy_similarity(clip: np.ndarray, original: np.ndarray) -> float:
    """Return the highest correlation of two fingerprints over shifts, speeds and direction."""
    if min(len(clip), len(original)) < 10:
        return 0.0
    best = 0.0
    for step in _SPEEDS:
        faster = _at_speed(clip, step)
        a, b = (
            (faster[:, -step:], original[:, : original.shape[1] + step])
            if step < 0
            else (faster[:, : faster.shape[1] - step], original[:, step:])
        )
        best = max(best, _best_correlation(a, b), _best_correlation(a[::-1], b))
    return best


def _at_speed(mark: np.ndarray, step: int) -> np.ndarray:
    """Stretch the time axis as if the clip had been played `step` quarter tones lower."""
    if step == 0:
        return mark
    count = max(round(len(mark) / 2 ** (step / _PER_OCTAVE)), 2)
    where = np.linspace(0, len(mark) - 1, count)
    left = where.astype(int).clip(0, len(mark) - 2)
    part = (where - left)[:, None].astype(np.float32)
    return mark[left] * (1 - part) + mark[left + 1] * part


def _best_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Normalised correlation over time shifts that overlap by at least 40 % of the shorter one."""
    size = fast_length(len(a) + len(b))
    product = np.fft.rfft(a, size, axis=0) * np.conj(np.fft.rfft(b, size, axis=0))
    cross = np.fft.irfft(product.sum(1), size)
    energy_a, energy_b = (a**2).sum(1, dtype=np.float64), (b**2).sum(1, dtype=np.float64)
    shared = _overlaps(energy_a, np.ones(len(b)), size)
    other = _overlaps(np.ones(len(a)), energy_b, size)
    frames = _overlaps(np.ones(len(a)), np.ones(len(b)), size)
    enough = frames >= _MIN_OVERLAP * min(len(a), len(b))
    norm = (
        np.sqrt(np.maximum(shared * other, 0))
        + 1e-3 * np.sqrt(energy_a.sum() * energy_b.sum())
        + 1e-9
    )
    return float(np.where(enough, cross / norm, 0).max())


def _overlaps(a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
    return np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
