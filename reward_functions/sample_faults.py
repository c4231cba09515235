"""Sample faults: damage to single samples and to levels, read from the clip as it is.

Source:  rules of the table in `docs/rewards.md`, thresholds measured on real clips.
Blind to: damage that was resampled, dithered or re-encoded afterwards.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d

from audioforge.reward_functions.curves import eased
from audioforge.reward_functions.fault import Fault, digital_silence, runs
from audioforge.utils.spectral_analysis import Features

_BLOCK = 64
_NEAR, _FAR = 2, 22
"""A click is compared with the blocks that lie 2 to 22 blocks, or 32 ms, before and after it."""


def flat_tops(f: Features) -> Fault:
    """Share of samples in runs of three or more at the peak that are entered by a jump."""
    worst = max((_flat_share(channel) for channel in f.centred), default=0.0)
    value = eased(np.log10(worst + 1e-9), -1.2, -3.7)
    return Fault("clipping", worst, value, f"{100 * worst:.2g} % of the samples are flat tops")


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
        equal,
        eased(equal, 0.9, 0.08),
        f"{100 * equal:.0f} % of the loud samples repeat the one before",
    )


def coarse_steps(f: Features) -> Fault:
    """Step between neighbouring sample values, in bits under the peak: bit depth that is left.

    Dither and resampling hide it, so it weighs little.
    """
    if f.peak <= 0:
        return Fault("coarse steps", -30.0, 1.0, "no sound")
    x = f.clean.samples
    loudest = x[int(np.abs(x).max(1).argmax())]
    values = np.unique(loudest[:: max(loudest.size // 16_384, 1)])
    if values.size < 3:
        return Fault("coarse steps", -1.0, 0.5, "fewer than three sample values")
    step = float(np.percentile(np.diff(values), 10))
    bits = float(np.log2(step / f.peak + 1e-9))
    value = 0.4 + 0.6 * eased(bits, -3.0, -8.0)
    return Fault("coarse steps", bits, value, f"the steps are {-bits:.0f} bits under the peak")


def clicks(f: Features) -> Fault:
    """Blocks whose third difference stands alone, per second, weighted by how far it stands out.

    Blocks last 1.45 ms. An attack is followed by sound as rough as itself, and the edges of a
    buzz by each other; a click stands between smooth stretches.
    """
    size = max(round(f.rate * _BLOCK / 44_100), 16)
    worst = max((_click_rate(x, size) for x in f.sound), default=0.0) / max(f.seconds, 0.1)
    value = 0.1 + 0.9 * eased(worst, 6.0, 0.3)
    return Fault("clicks", worst, value, f"clicks stand out by {worst:.1f} doublings per second")


def _click_rate(x: np.ndarray, size: int) -> float:
    count = (x.size - 3) // size
    if count < 2 * _FAR + 2:
        return 0.0
    top = np.abs(np.diff(x, 3))[: count * size].reshape(count, size).max(1)
    span = _FAR - _NEAR + 1
    padded = maximum_filter1d(np.pad(top, _FAR, mode="reflect"), span, origin=0)
    middle = np.arange(count) + _FAR
    before, after = padded[middle - _NEAR - span // 2], padded[middle + _NEAR + span // 2]
    ratio = top / (np.maximum(before, after) + 0.0033)
    return float(np.log2(np.clip(ratio / 4, 1, 25)).sum())


def dropouts(f: Features) -> Fault:
    """Holes of digital silence of 5 ms or more that sound is cut off by and comes back from.

    A decay is no hole, however loud the next attack; what comes back may have decayed meanwhile.
    Severity: holes per second, those of 10 ms counting 1 and each doubling a fifth more.
    """
    level = f.envelope
    starts, ends = runs(level <= digital_silence(f))
    near = round(0.005 * f.rate)
    loud = float(np.sqrt((level**2).mean())) if level.size else 0.0
    lost = []
    for start, end in zip(starts, ends, strict=True):
        if end - start < near or start <= near or end >= level.size - near:
            continue
        before, after = level[start - near : start].max(), level[end : end + near].max()
        if before > 0.03 * loud and after > 0.005 * loud and max(before, after) > 0.1 * loud:
            lost.append(int(end - start))
    hurt = sum(1 + 0.2 * np.log2(size / near / 2) for size in lost) / max(f.seconds, 0.1)
    value = 0.05 + 0.95 * eased(hurt, 1.6, 0.0) if lost else 1.0
    return Fault("dropouts", float(hurt), value, f"{len(lost)} holes of digital silence")


def direct_current(f: Features) -> Fault:
    """Absolute mean of the worst channel, as a share of twice the clip's peak."""
    share = f.dc / max(2 * f.peak, 1e-9)
    words = f"DC offset {f.dc:.4f} of full scale, the peak is {f.peak:.2f}"
    return Fault("DC offset", share, eased(share, 0.1, 0.006), words)
