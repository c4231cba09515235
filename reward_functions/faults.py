"""Faults: damage that a listener would call broken, each found by its own detector.

Detectors read the clip as it is where level matters (flat tops, DC) and the analysed copy
elsewhere.
Source: `docs/rewards.md`; the detectors follow the measured table there (flat tops near the channel
peak, third-difference outliers, zero runs between sound, self-correlation in half-second windows).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import signal

from audioforge.reward_functions.curves import ramp
from audioforge.utils.spectral_analysis import Features, fast_length, hann

_SLOW_HZ = 11_025


class Fault(NamedTuple):
    """One kind of damage: 1 is none, 0 is as bad as it gets."""

    name: str
    value: float
    measured: float
    words: str


def flat_tops(f: Features) -> Fault:
    """Share of samples in runs of three or more at the peak that are entered by a jump."""
    worst = max((_flat_share(channel) for channel in f.centred), default=0.0)
    return Fault(
        "clipping",
        ramp(np.log10(worst + 1e-9), -1.5, -3.7),
        worst,
        f"{100 * worst:.2g} % of the samples are flat tops",
    )


def _flat_share(x: np.ndarray) -> float:
    level = np.abs(x)
    peak = level.max(initial=0.0)
    if peak <= 0 or x.size < 8:
        return 0.0
    high = np.flatnonzero(level >= 0.9985 * peak)
    starts = np.flatnonzero(np.diff(high, prepend=-9) > 1)
    lengths = np.diff(np.append(starts, high.size))
    first, last = high[starts], high[starts] + lengths - 1
    jump_in = np.abs(x[first] - x[np.maximum(first - 1, 0)])
    jump_out = np.abs(x[last] - x[np.minimum(last + 1, x.size - 1)])
    clipped = (lengths >= 3) & (np.maximum(jump_in, jump_out) > 0.006 * peak)
    return float(lengths[clipped].sum() / x.size)


def held_steps(f: Features) -> Fault:
    """Share of loud samples equal to their neighbour: sample-and-hold, square waves."""
    x = f.clean.samples
    loud = np.abs(x[:, 1:]) > 0.05 * max(f.peak, 1e-9)
    equal = float(((x[:, 1:] == x[:, :-1]) & loud).sum() / max(loud.sum(), 1))
    return Fault(
        "held samples",
        ramp(equal, 0.45, 0.08),
        equal,
        f"{100 * equal:.0f} % of the loud samples repeat the one before",
    )


def clicks(f: Features) -> Fault:
    """Isolated outliers of the third difference, per second."""
    worst, size = 0.0, max(round(0.00145 * f.rate), 16)
    for x in f.sound:
        rough = np.abs(np.diff(x, 3))
        blocks = rough[: rough.size // size * size].reshape(-1, size)
        if len(blocks) < 8:
            continue
        top, usual = blocks.max(1), np.partition(blocks, size // 2, axis=1)[:, size // 2]
        around = np.maximum.reduce([np.roll(usual, s) for s in (-2, -1, 0, 1, 2)])
        loudest = np.maximum(np.percentile(usual, 90), 1e-5)
        outliers = (top > 30 * around + 3 * loudest) & (top > 0.02)
        worst = max(worst, float(outliers.sum()) / f.seconds)
    clicky = ramp(np.log10(worst + 0.01), 1.0, -0.3)
    # More than a dozen a second are edges of a waveform (a sawtooth, a buzz), not accidents.
    return Fault(
        "clicks", max(clicky, ramp(worst, 50, 120)), worst, f"{worst:.1f} clicks per second"
    )


def dropouts(f: Features) -> Fault:
    """Holes of digital silence of 5 ms or more that sound is cut off by, on both sides."""
    level = np.abs(f.clean.samples).max(0) if f.clean.samples.size else np.zeros(0)
    quiet = np.flatnonzero(np.diff(np.concatenate([[0], (level <= 1e-7).astype(np.int8), [0]])))
    starts, ends = quiet[0::2], quiet[1::2]
    near = round(0.005 * f.rate)
    threshold = 0.1 * float(np.sqrt((level**2).mean())) if level.size else 0.0
    lost = [
        e - s
        for s, e in zip(starts, ends, strict=True)
        if e - s >= near
        and s > near
        and e < level.size - near
        and min(level[s - near : s].max(), level[e : e + near].max()) > threshold
    ]
    count = len(lost) / max(f.seconds, 0.1)
    return Fault(
        "dropouts",
        ramp(count, 1.5, 0.0) if lost else 1.0,
        count,
        f"{len(lost)} holes of digital silence",
    )


def direct_current(f: Features) -> Fault:
    """Absolute mean of the worst channel."""
    return Fault("DC offset", ramp(f.dc, 0.12, 0.006), f.dc, f"DC offset {f.dc:.4f} of full scale")


def hum(f: Features) -> Fault:
    """How far the 50 or 60 Hz family stands out of the quietest third of the clip, in dB.

    Mains hum is as loud in the quiet parts as in the loud ones; a bass note at the same pitch is
    not.
    """
    size = fast_length(0.372 * f.rate)
    if f.mid.size < 4 * size:
        return Fault("hum", 1.0, 0.0, "too short to hear hum")
    frames = np.lib.stride_tricks.sliding_window_view(f.mid, size)[:: size // 2]
    energy = (frames**2).sum(1)
    quiet = np.abs(np.fft.rfft(frames[energy <= np.percentile(energy, 30)] * hann(size), axis=1))
    best = max(_hum_salience(quiet**2, base, f.rate / size) for base in (50.0, 60.0))
    gap = 10 * np.log10((energy.max() + 1e-12) / (np.percentile(energy, 30) + 1e-12))
    value = 1 - 0.6 * ramp(gap, 6, 15) * ramp(best, 14, 26)
    words = f"mains harmonics stand out by {best:.0f} dB in the quiet parts"
    return Fault("hum", value, best, words)


def _hum_salience(quiet: np.ndarray, base: float, bin_hz: float) -> float:
    """Return how far the second weakest of five harmonics stands out and stays put, in dB."""
    excess = []
    for k in (1, 2, 3, 4, 6):
        at = round(base * k / bin_hz)
        low, high = round(base * (k - 0.4) / bin_hz), round(base * (k + 0.4) / bin_hz)
        line, around = quiet[:, at - 1 : at + 2].max(1), np.median(quiet[:, low:high])
        levels = 10 * np.log10(line + 1e-14)
        fading = float(np.percentile(levels, 90) - np.percentile(levels, 10))
        stands_out = float(np.median(levels) - 10 * np.log10(around + 1e-14))
        excess.append(stands_out - 6 * max(fading - 1.5, 0.0))
    return float(np.sort(excess)[1])


def noise_floor(f: Features) -> Fault:
    """Noise above 0.63 of Nyquist in the quiet parts, in dB under the loudest frame.

    Only a flat spectrum counts: overtones reach as high, but stand in lines.
    """
    if f.active.sum() < 20:
        return Fault("noise floor", 1.0, -120.0, "too short to hear a noise floor")
    high = f.power[f.active, int(0.63 * f.power.shape[1]) :]
    level = high.sum(1)
    quiet = high[level <= np.percentile(level, 10)].mean(0, dtype=np.float64) + 1e-14
    floor_db = float(10 * np.log10(quiet.sum() / (f.power.sum(1).max() + 1e-12)))
    flat_db = float(10 * (np.log10(quiet).mean() - np.log10(quiet.mean())))
    value = 1 - 0.6 * ramp(floor_db, -38, -18) * ramp(flat_db, -9, -4)
    return Fault(
        "noise floor",
        value,
        floor_db,
        f"high-frequency noise {floor_db:.0f} dB under the loudest moment",
    )


def silence_run(f: Features) -> Fault:
    """Longest silent stretch as a share of the clip."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (~f.active).astype(np.int8), [0]])))
    share = float((edges[1::2] - edges[0::2]).max(initial=0)) / max(len(f.active), 1)
    return Fault(
        "silence",
        0.1 + 0.9 * ramp(share, 0.8, 0.3),
        share,
        f"longest silence {share * f.seconds:.1f} s of {f.seconds:.1f} s",
    )


def repetition(f: Features) -> Fault:
    """Exact repetition: the same waveform again after 36 ms to 1.05 s, in most of the clip."""
    x, rate = _slow(f.mid, f.rate)
    window, reach = round(1.0 * rate), round(1.05 * rate)
    shortest, longest_period = round(0.002 * rate), round(0.036 * rate)
    starts = range(0, x.size - window - reach, window)
    best = []
    for s in starts:
        r = _self_correlation(x[s : s + window + reach], window)
        if r is None or r[shortest:longest_period].max() > 0.99:
            continue  # silence, or a steady tone, which repeats itself by nature
        best.append(float(r[longest_period:].max()))
    if len(best) < 2:
        return Fault("repetition", 1.0, 0.0, "too little to compare")
    share = float(np.mean(np.array(best) > 0.9995))
    return Fault(
        "repetition",
        0.1 + 0.9 * ramp(share, 0.9, 0.35),
        share,
        f"{100 * share:.0f} % of the clip repeats exactly within a second",
    )


def _self_correlation(piece: np.ndarray, window: int) -> np.ndarray | None:
    """Normalised correlation of the first `window` samples with every later place, [reach + 1]."""
    head = piece[:window]
    size = fast_length(piece.size + window)
    product = np.fft.irfft(np.fft.rfft(piece, size) * np.conj(np.fft.rfft(head, size)), size)[
        : piece.size - window + 1
    ]
    energy = np.concatenate([[0.0], np.cumsum(piece.astype(np.float64) ** 2)])
    moving = energy[window:] - energy[:-window]
    own = moving[0]
    if own < 1e-7 * window:
        return None
    return product / np.sqrt(np.maximum(own * moving, (1e-3 * own) ** 2))


def _slow(mono: np.ndarray, rate: int) -> tuple[np.ndarray, float]:
    """Reduce by a whole factor to 8 to 16 kHz; return the sound and its rate."""
    factor = max(round(rate / _SLOW_HZ), 1)
    return (
        signal.resample_poly(mono, 1, factor).astype(np.float32) if factor > 1 else mono
    ), rate / factor


def delayed_channel(f: Features) -> Fault:
    """One channel is the other one, 1 to 40 ms late: fake width that combs in mono."""
    if f.side is None or f.side_share < 0.02:
        return Fault("delayed channel", 1.0, 0.0, "no such delay")
    (left, rate), (right, _) = (_slow(channel, f.rate) for channel in f.sound)
    size = fast_length(left.size + 1000)
    cross = np.fft.irfft(np.fft.rfft(left, size) * np.conj(np.fft.rfft(right, size)), size)
    cross /= np.sqrt(float((left**2).sum()) * float((right**2).sum())) + 1e-9
    near, far = round(0.001 * rate), round(0.04 * rate)
    late = float(max(cross[near:far].max(), cross[-far:-near].max()))
    excess = late - float(np.abs(cross[0]))
    return Fault(
        "delayed channel",
        0.08 + 0.92 * ramp(min(late - 0.5, excess), 0.35, 0.1),
        late,
        f"the channels match best with a delay ({late:.2f})",
    )


def lost_channel(f: Features) -> Fault:
    """Level difference between the channels in dB: one side is missing or far too quiet."""
    return Fault(
        "lost channel",
        0.15 + 0.85 * ramp(f.balance_db, 24, 10),
        f.balance_db,
        f"one channel is {f.balance_db:.0f} dB quieter",
    )


DETECTORS = (
    flat_tops,
    held_steps,
    clicks,
    dropouts,
    direct_current,
    hum,
    noise_floor,
    silence_run,
    repetition,
    delayed_channel,
    lost_channel,
)


def faults(features: Features) -> tuple[Fault, ...]:
    """Run every detector on a clip."""
    return tuple(detector(features) for detector in DETECTORS)
