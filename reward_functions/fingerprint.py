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
from scipy import fft as sp_fft

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
    faster = {step: _at_speed(clip, step) for step in _SPEEDS}
    size = fast_length(max(map(len, faster.values())) + len(original))
    heard = np.asarray(sp_fft.rfft(original.T, size, axis=1))
    best = 0.0
    for step, mark in faster.items():
        # Speed also moves the bands: those that fall off the edge are left out on both sides.
        ours, theirs = slice(max(-step, 0), len(heard) - max(step, 0)), slice(max(step, 0), None)
        theirs = slice(theirs.start, len(heard) + min(step, 0))
        pair = _Pair(mark[:, ours], original[:, theirs], size)
        best = max(best, pair.correlation(heard[theirs]))
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


class _Pair:
    """Two fingerprints of equal bands, shape [frames, bands], and the shifts of one another."""

    def __init__(self, clip: np.ndarray, original: np.ndarray, size: int) -> None:
        self.clip, self.size = clip, size
        shifts = np.arange(size)
        shifts[shifts >= len(clip)] -= size  # a circular correlation wraps around
        first = np.maximum(shifts, 0)
        last = np.minimum(len(clip), len(original) + shifts)
        self.frames = np.maximum(last - first, 0)
        self.enough = self.frames >= _MIN_OVERLAP * min(len(clip), len(original))
        self._ends = first, first + self.frames
        self._theirs = first - shifts, first - shifts + self.frames
        self._own = (clip**2).sum(1, dtype=np.float64)
        self._other = (original**2).sum(1, dtype=np.float64)

    def correlation(self, heard: np.ndarray) -> float:
        """Return the highest correlation, forwards or backwards, over shifts that overlap enough.

        Args:
            heard: spectra of the original's bands, shape [bands, size // 2 + 1].
        """
        spectra = np.asarray(sp_fft.rfft(self.clip.T, self.size, axis=1))
        turn = -2j * np.pi * (len(self.clip) - 1) / self.size
        other = np.conj(heard)
        forwards = (spectra * other).sum(0)
        backwards = (np.conj(spectra) * other).sum(0) * np.exp(turn * np.arange(spectra.shape[1]))
        return max(
            self._normalised(np.asarray(sp_fft.irfft(forwards, self.size)), self._own),
            self._normalised(np.asarray(sp_fft.irfft(backwards, self.size)), self._own[::-1]),
        )

    def _normalised(self, cross: np.ndarray, own: np.ndarray) -> float:
        """Divide by the energies of what overlaps."""
        shared, other = _between(own, self._ends), _between(self._other, self._theirs)
        floor = 1e-3 * np.sqrt(own.sum() * self._other.sum()) + 1e-9
        return float(np.where(self.enough, cross / (np.sqrt(shared * other) + floor), 0).max())


def _between(energy: np.ndarray, ends: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Sum energies from the first of `ends` up to the second, for every shift."""
    total = np.concatenate([[0.0], np.cumsum(energy)])
    return total[ends[1].clip(0, len(energy))] - total[ends[0].clip(0, len(energy))]
