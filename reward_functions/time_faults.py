"""Time faults: silence where sound should be, and waveforms that repeat exactly.

Source:  rules of the table in `docs/rewards.md`, thresholds measured on real clips.
Blind to: repetition that is not exact, such as a played ostinato or a looped mix with a live part.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft, signal

from audioforge.reward_functions.curves import eased
from audioforge.reward_functions.fault import Fault, runs
from audioforge.utils.spectral_analysis import Features, spectra

_WINDOW, _REACH = 0.5, 1.05
"""Seconds: stretches that are compared with what follows, and how far."""
_TONE, _NOTE, _STUTTER = (0.002, 0.015), (0.002, 0.036), (0.015, 0.255)
"""Lags in seconds: periods of tones, of these and bass notes, and of stuttering pieces."""
_COPIED = 6.0
_SLOW_HZ = 11_025


class SelfCorrelation(NamedTuple):
    """Every half second against what follows, at a low rate."""

    product: np.ndarray
    """Sum of products at each lag, [windows, lags]."""
    energy: np.ndarray
    """Energy of the later stretch, [windows, lags]; at lag 0 that of the window itself."""
    rate: float
    """Lags per second."""

    def similarity(self) -> np.ndarray:
        """Return the normalised correlation, [windows, lags], at most 1."""
        own = self.energy[:, :1]
        return self.product / np.sqrt(np.maximum(own * self.energy, (1e-3 * own) ** 2) + 1e-20)

    def loud(self) -> np.ndarray:
        """Return which windows are not silent, bool [windows]."""
        return self.energy[:, 0] > 1e-7 * _WINDOW * self.rate

    def in_pairs(self) -> SelfCorrelation:
        """Join each window with the next one: one second against what follows."""
        return SelfCorrelation(
            self.product[:-1] + self.product[1:], self.energy[:-1] + self.energy[1:], self.rate
        )


def self_correlation(f: Features) -> SelfCorrelation:
    """Correlate each half second of the clip with the 1.05 s from its start on."""
    channels, rate = f.once(slow)
    x = channels.mean(0)
    window, reach = round(_WINDOW * rate), round(_REACH * rate)
    count = max((x.size - window - round(_STUTTER[1] * rate)) // window + 1, 0)
    padded = np.pad(x, (0, window + reach))
    frames = sliding_window_view(padded, window + reach)[: count * window : window]
    size = fft.next_fast_len(window + reach, real=True)
    later, head = spectra(frames, size), spectra(frames[:, :window], size)
    product = np.asarray(fft.irfft(later * np.conj(head), size))[:, : reach + 1]
    total = np.concatenate([[0.0], np.cumsum(padded**2, dtype=np.float64)])
    energy = sliding_window_view(total[window:] - total[:-window], reach + 1)
    return SelfCorrelation(product, energy[: count * window : window], rate)


def slow(f: Features) -> tuple[np.ndarray, float]:
    """Reduce the sound by a whole factor to 8 to 16 kHz: float32 [channels, time] and its rate."""
    factor = max(round(f.rate / _SLOW_HZ), 1)
    if factor == 1:
        return f.sound, float(f.rate)
    reduced = signal.upfirdn(_low_pass(factor), f.sound, 1, factor, axis=1)
    return np.asarray(reduced), f.rate / factor


@cache
def _low_pass(factor: int) -> np.ndarray:
    return np.asarray(signal.firwin(4 * factor + 1, 0.8 / factor), np.float32)


def silence_run(f: Features) -> Fault:
    """Longest silent stretch as a share of the clip.

    Silent is 74 dB under the peak; a stretch that is only 50 dB under the loudest frame, as a long
    decay may be, counts for three fifths of its length.
    """
    level = f.envelope
    block = max(round(0.01 * f.rate), 1)
    blocks = np.maximum.reduceat(level, np.arange(0, level.size, block)) if level.size else level
    share = max(_longest(blocks <= 2e-4 * f.peak), 0.6 * _longest(~f.active))
    return Fault(
        "silence",
        share,
        0.1 + 0.9 * eased(share, 0.7, 0.15),
        f"longest silence {share * f.seconds:.1f} s of {f.seconds:.1f} s",
    )


def _longest(mask: np.ndarray) -> float:
    starts, ends = runs(mask)
    return float((ends - starts).max(initial=0) / max(mask.size, 1))


def stutter(f: Features) -> Fault:
    """How exactly the most repetitive sixth of the clip repeats within 15 to 255 ms.

    Severity: decimal places of the correlation, 3 for 0.999, less those that a
    period under 36 ms explains, so that a steady note is no stutter; 6 where samples are copied.
    """
    found = f.once(self_correlation)
    if not len(found.product):
        return Fault("stutter", 0.0, 1.0, "too short to stutter")
    similarity = found.similarity()
    note = _places(similarity, _NOTE, found.rate)
    places = _places(similarity, _STUTTER, found.rate) - np.maximum(note, 0)
    places[f.once(copied)] = _COPIED
    places = np.sort(np.where(found.loud(), places, 0.0))
    severity = float(places[-max(round(0.15 * places.size), 1) :].min())
    words = f"pieces repeat exactly, to {severity:.1f} decimal places"
    return Fault("stutter", severity, 0.002 + 0.998 * eased(severity, 3.8, 2.0), words)


def _places(similarity: np.ndarray, lags: tuple[float, float], rate: float) -> np.ndarray:
    """Return the decimal places of the best correlation in a span of lags, [windows]."""
    best = similarity[:, round(lags[0] * rate) : round(lags[1] * rate)].max(1)
    return -np.log10(np.maximum(1 - best, 1e-5))


def copied(f: Features) -> np.ndarray:
    """Return which half seconds are followed by their own samples, bool [windows]."""
    found = f.once(self_correlation)
    similarity = found.similarity()
    told = found.loud() & (_places(similarity, _TONE, found.rate) < 3)
    for window in np.flatnonzero(told):
        told[window] = _copied(f, similarity[window], int(window), found.rate)
    return told


def _copied(f: Features, similarity: np.ndarray, window: int, rate: float) -> bool:
    """Return whether a window is followed by its own samples at its best stuttering lag."""
    first, last = (round(lag * rate) for lag in _STUTTER)
    at = first + int(similarity[first:last].argmax())
    if similarity[at] < 0.97:
        return False
    start, size = round(window * _WINDOW * f.rate), round(0.9 * _WINDOW * f.rate)
    piece = f.mid[start : start + size]
    factor = f.rate / rate
    for lag in range(round((at - 1) * factor), round((at + 1) * factor) + 1):
        later = f.mid[start + lag : start + lag + size]
        if later.size == size and np.mean(np.abs(later - piece) < 1e-6) > 0.9:
            return True
    return False


def repetition(f: Features) -> Fault:
    """Share of the clip whose waveform comes again exactly after 36 ms to 1.05 s."""
    found = f.once(self_correlation)
    if len(found.product) < 3:
        return Fault("repetition", 0.0, 1.0, "too little to compare")
    seconds = found.in_pairs()
    similarity = seconds.similarity()
    shortest, longest = (round(lag * found.rate) for lag in _NOTE)
    # Silence, and a steady tone, which repeats itself by nature, are left out.
    copies = f.once(copied)[:-1] & f.once(copied)[1:]
    same = (similarity[:, longest:].max(1) > 0.9995) | copies
    steady = similarity[:, shortest:longest].max(1) > 0.99
    kept = seconds.loud() & (~steady | copies)
    if kept.sum() < 2:
        return Fault("repetition", 0.0, 1.0, "too little to compare")
    share = float(same[kept].mean())
    return Fault(
        "repetition",
        share,
        0.1 + 0.9 * eased(share, 0.95, 0.5),
        f"{100 * share:.0f} % of the clip repeats exactly within a second",
    )
