"""Spectral faults: an edge with nothing above it, mains hum, a noise floor, smeared phase.

Source:  rules of the table in `docs/rewards.md`, thresholds measured on real clips.
Blind to: edges above 0.82 of the clip's own Nyquist frequency; hum and noise under steady sound;
phase that is smeared a little.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import minimum_filter1d

from audioforge.reward_functions.curves import eased, ramp
from audioforge.reward_functions.fault import Fault
from audioforge.reward_functions.time_faults import slow
from audioforge.utils.spectral_analysis import Features, fast_length, hann, spectra, stft_power

_EDGE_FROM_HZ, _EDGE_REACH_HZ, _EDGE_SMOOTH_HZ = 2_500.0, 700.0, 150.0
_TILE_HZ, _TILES_TO_HZ = 344.0, 14_000.0
_HUM_BASES, _HUM_OVERTONES = (50.0, 60.0), (1, 2, 3, 4, 5, 6)


def spectral_edge(f: Features) -> Fault:
    """Steepest fall of the mean spectrum within 700 Hz with nothing above it.

    Severity: how far the edge lies under 22 kHz, in octaves, for a fall of 20 dB or more, and less
    for a smaller fall; a low-pass at 8 kHz has 1.4, an MP3 of 128 kbit/s 0.4.
    """
    step = float(f.hz[1]) if len(f.hz) > 1 else 1.0
    width, reach = max(round(_EDGE_SMOOTH_HZ / step), 1), round(_EDGE_REACH_HZ / step)
    low, high = round(_EDGE_FROM_HZ / step), min(int(0.82 * len(f.hz)), len(f.hz) - 2 * reach)
    if high - low < 10 or not f.spectrum.any():
        return Fault("spectral edge", 0.0, 1.0, "the spectrum is too short for an edge")
    smooth = np.convolve(f.spectrum, np.ones(width) / width, "same")[: int(0.985 * len(f.hz))]
    db = 10 * np.log10(smooth + 3e-10 * smooth.max())  # what lies 95 dB down is not missed
    above = np.maximum.accumulate(db[::-1])[::-1]
    # The lowest level within 700 Hz under the edge, so that a single overtone is no edge.
    below = minimum_filter1d(db, reach)[low - reach // 2 : high - reach // 2]
    fall = np.minimum(below, db[low:high]) - above[low + reach : high + reach]
    lost = np.clip((fall - 8) / 12, 0, 1) * np.log2(22_050 / f.hz[low:high])
    at = int(lost.argmax())
    severity = float(lost[at])
    words = f"the spectrum falls by {fall[at]:.0f} dB at {f.hz[low + at] / 1000:.1f} kHz"
    return Fault("spectral edge", severity, 1 - 0.7 * eased(severity, 0.5, 2.2), words)


def hum(f: Features) -> Fault:
    """How far the 50 or 60 Hz family stands out of what never stops sounding, in dB.

    The spectrum that is exceeded in nine frames of ten holds the hum, which never pauses, and not
    the bass notes, which do. Louder music hides it.
    """
    channels, rate = f.once(slow)
    size = fast_length(0.372 * rate)
    if channels.shape[1] < 3 * size:
        return Fault("hum", 0.0, 1.0, "too short to hear hum")
    frames = sliding_window_view(channels.mean(0), size)[:: size // 2]
    step = rate / size
    found = spectra(frames * hann(size))[:, : round(400 / step)]
    power = found.real**2 + found.imag**2
    lasting = 10 * np.log10(np.percentile(power, 10, axis=0) + 1e-10)
    best = max(_hum_salience(lasting, base, step) for base in _HUM_BASES)
    words = f"mains harmonics stand out by {best:.0f} dB in the quiet parts"
    return Fault("hum", best, 1 - 0.6 * eased(best, 10, 20), words)


def _hum_salience(lasting_db: np.ndarray, base: float, step: float) -> float:
    """Return how far the second weakest of six harmonics stands out of its surroundings, in dB."""
    excess = []
    for k in _HUM_OVERTONES:
        at = round(base * k / step)
        around = lasting_db[round(base * (k - 0.4) / step) : round(base * (k + 0.4) / step)]
        excess.append(float(lasting_db[at - 1 : at + 2].max() - np.median(around)))
    return sorted(excess)[1]


def noise_floor(f: Features) -> Fault:
    """Noise in the weakest of eight bands above 12 kHz in the quiet parts, in dB.

    Relative to the loudest frame. Noise fills every band and flutters from bin to bin; overtones
    and what a codec leaves do not.
    """
    if f.active.sum() < 20:
        return Fault("noise floor", -120.0, 1.0, "too short to hear a noise floor")
    width = f.power.shape[1]
    first = min(int(12_000 / f.hz[1]), int(0.7 * width))
    high = f.power[f.active, first : int(0.93 * width)]
    level = high.sum(1)
    quiet = high[level <= np.percentile(level, 10)].astype(np.float64)
    weakest = min(map(_noise_power, np.array_split(quiet, 8, axis=1))) * width
    floor_db = float(10 * np.log10(weakest / 10 ** (f.level_db.max() / 10) + 1e-13))
    return Fault(
        "noise floor",
        floor_db,
        1 - 0.75 * eased(floor_db, -38, -18),
        f"high-frequency noise {floor_db:.0f} dB under the loudest moment",
    )


def _noise_power(band: np.ndarray) -> float:
    """Return the mean power of a band, [frames, bins], as far as its bins flutter like noise.

    The power of a bin of noise is exponentially distributed: the log of its mean lies Euler's 0.577
    above the mean of its log, within a frame. The overtones of a bright sound lie further apart.
    """
    mean = float(band.mean())
    gap = np.log(band.mean(1) + 1e-20) - np.log(band + 1e-20).mean(1)
    return mean * ramp(abs(float(gap.mean()) - 0.577), 0.3, 0.1)


def smear(f: Features) -> Fault:
    """How much better middling windows resolve the sound than the best of short and long ones.

    A struck sound is gathered by short windows (12 ms), a held one by long ones (0.19 s). Where
    short-time phases were turned at random, as poor vocoders and diffusion do, neither is: what is
    left is resolved best by windows as long as those that smeared it. Measured as the spread of
    power inside tiles of 0.2 s by 344 Hz, in nepers, averaged over the loud tiles. Own measure.
    """
    size, hop = fast_length(0.0116 * f.rate), max(round(f.rate / 200), 1)
    short = stft_power(f.mid, f.rate, size=size, hop=hop)
    windows = (short, 40), (f.power, 20), (f.long_power, 2)
    spreads, levels = zip(*(_tiles(power, n, f.rate) for power, n in windows), strict=True)
    tiles, bands = (min(s.shape[axis] for s in spreads) for axis in (0, 1))
    if tiles < 3 or bands < 3 or not f.mid.any():
        return Fault("smeared phase", -1.0, 1.0, "too short to hear smeared phase")
    brief, middling, lasting = (s[:tiles, :bands] for s in spreads)
    loud = levels[1][:tiles, :bands] > 1e-4 * levels[1].max()
    severity = float((middling - np.maximum(brief, lasting))[loud].mean())
    words = f"neither attacks nor tones are sharp ({severity:+.2f})"
    return Fault("smeared phase", severity, 1 - 0.3 * eased(severity, -0.08, 0.15), words)


def _tiles(power: np.ndarray, frames: int, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the spread of power in tiles of so many frames, and its mean, [tiles, bands].

    Tiles overlap by half, so that it hardly matters where the clip begins.
    """
    inside = _bands(power.shape[1], rate)
    half, width = frames // 2, inside.shape[0]
    count = len(power) // half
    halves = power[: count * half, :width].reshape(count, half, width)
    total, squared = halves.sum(1) @ inside, np.einsum("tfb,tfb->tb", halves, halves) @ inside
    cells = frames * inside.sum(0)
    mean, squares = (total[:-1] + total[1:]) / cells, (squared[:-1] + squared[1:]) / cells
    return np.log(squares / (mean**2 + 1e-20) + 1e-9), mean


@lru_cache(maxsize=16)
def _bands(bins: int, rate: int) -> np.ndarray:
    """Return which band of _TILE_HZ each bin belongs to, as ones, float32 [bins used, bands]."""
    step = rate / (2 * (bins - 1))
    edges = np.round(np.arange(0, min(_TILES_TO_HZ, 0.45 * rate), _TILE_HZ) / step)
    at = np.arange(edges[-1])[:, None]
    return ((at >= edges[:-1]) & (at < edges[1:])).astype(np.float32)
