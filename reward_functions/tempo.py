"""Tempo: does a clip pulse at the tempo asked for?

The tempo is never estimated, the claim is tested. The onset curve's autocorrelation is read at the
first four multiples of the asked beat and compared with the best any tempo from 40 to 240 BPM gets;
a gate asks for a clear pulse at all, so that silence, noise and drones earn nothing at any tempo.
Half or double of the best-fitting tempo earns up to 0.6 by rule, and a tempo whose off-beats are as
regular as its beats a quarter less. Listeners take beats slower than about 70 BPM for half of a
tempo when something sounds between them; so does the score, which then gives 0.6. Where the sound
itself leaves the octave open otherwise, both pass. A tempo that leaves a faster pulse as strong as
itself unexplained, such as two fifths of the true one, earns half.

Source: target-conditional comb, `docs/rewards.md`; the octave rules are ours, after the preferred
tempo of listeners (Parncutt 1994, van Noorden and Moelants 1999).
Blind to: swing, metre and where the bar begins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from audioforge.reward_functions.curves import eased, ramp
from audioforge.utils.spectral_analysis import FRAME_HZ, Features, fast_length

_GRID = np.geomspace(40, 240, 260)
_SPAN = np.linspace(0.98, 1.02, 9)
RELATIVE_CREDIT = 0.6
"""What half or double the asked tempo is worth."""
_EXPLAINED = np.array([1, 4 / 3, 3 / 2, 2, 3, 4, 6, 8])
"""Faster pulses that belong to a tempo: its divisions, triplets and dotted notes, within 8 %."""
_SLOW_BPM = (76.0, 58.0)
"""From the first down to the second, beats with something between them become half of a tempo."""


class TempoMatch(NamedTuple):
    """How well an asked tempo fits."""

    score: float
    clarity: float
    """0 for no pulse, 1 for a clear one."""
    heard_bpm: float
    """The tempo with the strongest comb, for the report only; may be a multiple of the true one."""


def autocorrelation(features: Features) -> np.ndarray:
    """Return the unbiased autocorrelation of the onset curve up to 70 % of the clip, 1 at lag 0."""
    onsets = (
        np.minimum(features.flux_db, np.percentile(features.flux_db, 99.5))
        if len(features.flux_db)
        else np.zeros(8)
    )
    trend = np.convolve(
        np.pad(onsets, 50, mode="reflect" if len(onsets) > 50 else "edge"),
        np.ones(101) / 101,
        "valid",
    )
    curve = onsets - trend
    size = fast_length(2 * curve.size)
    power = np.abs(np.fft.rfft(curve, size)) ** 2
    raw = np.fft.irfft(power, size)[: max(int(0.7 * curve.size), 2)]
    overlap = 1 - np.arange(raw.size) / curve.size
    if raw[0] / curve.size < 1e-3:
        return np.zeros(raw.size)
    return raw / raw[0] / overlap


def comb(correlation: np.ndarray, bpm: np.ndarray, phase: float = 0.0) -> np.ndarray:
    """Return the mean correlation at up to four beats, less `phase` beats, for each tempo."""
    lags = (np.arange(1, 5)[:, None] - phase) * 60 * FRAME_HZ / np.atleast_1d(bpm)
    inside = lags < correlation.size - 1
    values = np.interp(lags, np.arange(correlation.size), correlation)
    count = inside.sum(0)
    return np.where(count > 0, (values * inside).sum(0) / np.maximum(count, 1), 0.0)


def match_tempo(features: Features, bpm: float) -> TempoMatch:
    """Test one tempo on a clip.

    Args:
        features: the clip; under two beats of sound nothing can be heard and the score is 0.
        bpm: asked tempo, 30 to 300.
    """
    correlation = features.once(autocorrelation)
    # A tempo with fewer than three beats of lag fits anything: leave it out of the comparison.
    grid = _GRID[min(3 * 60 * FRAME_HZ / max(correlation.size, 1), 90) <= _GRID]
    over_all = comb(correlation, grid)
    best = float(over_all.max())
    flux = features.flux_db
    onsets = float(np.percentile(flux, 97) - np.median(flux)) if len(flux) else 0.0
    clarity = ramp(best, 0.15, 0.30) * ramp(onsets, 0.9, 1.25)
    heard = float(grid[over_all.argmax()])
    if clarity == 0:
        return TempoMatch(0.0, 0.0, heard)
    related = max(_direct(correlation, bpm * r, best, (0.85, 1.0)) for r in (0.5, 2))
    score = max(_direct(correlation, bpm, best), RELATIVE_CREDIT * related)
    if score > 0:
        own = float(comb(correlation, bpm * _SPAN).max())
        rival = _unexplained(grid, over_all, bpm)
        score *= 1 - 0.5 * eased(rival / max(own, 1e-6), 0.9, 1.1)
    return TempoMatch(clarity * score, clarity, heard)


def _unexplained(grid: np.ndarray, over_all: np.ndarray, bpm: float) -> float:
    """Return the strongest comb of the faster tempi that `bpm` does not explain, or 0."""
    ratio = grid / bpm
    apart = np.abs(ratio[:, None] / _EXPLAINED - 1).min(1) > 0.08
    return float(over_all[apart & (ratio > 1)].max(initial=0.0))


def _direct(
    correlation: np.ndarray, bpm: float, best: float, span: tuple[float, float] = (0.25, 0.95)
) -> float:
    """Score a tempo against the best one; less where off-beats are as regular as beats."""
    if not 30 <= bpm <= 300:
        return 0.0
    around = comb(correlation, bpm * _SPAN)
    at = int(around.argmax())
    strength = float(around[at])
    if strength <= 0:
        return 0.0
    between = float(comb(correlation, bpm * _SPAN[at : at + 1], phase=0.5)[0])
    octave = 1 - 0.25 * ramp(between / strength, 0.95, 1.05)
    halved = 1 - (1 - RELATIVE_CREDIT) * ramp(between / strength, 0.3, 0.6) * ramp(bpm, *_SLOW_BPM)
    return min(octave, halved) * ramp(strength / best, *span)
