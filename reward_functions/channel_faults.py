"""Channel faults: what is wrong between left and right. A clip with one channel has none of them.

Source:  rules of the table in `docs/rewards.md`, thresholds measured on real clips.
Blind to: a delay that differs between the bands, and width made by phase alone.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import fft

from audioforge.reward_functions.curves import eased
from audioforge.reward_functions.fault import Fault
from audioforge.reward_functions.time_faults import slow
from audioforge.utils.spectral_analysis import Features, fast_length, spectra


def narrow(f: Features) -> Fault:
    """How far the side signal lies under the whole of a two-channel clip, in dB, at most 90.

    Told and never punished: mono is a fault only where stereo was asked for.
    """
    if f.side is None:
        return Fault("narrow stereo", 0.0, 1.0, "one channel")
    under = -10 * math.log10(f.side_share + 1e-9)
    return Fault("narrow stereo", under, 1.0, f"the sides lie {under:.0f} dB under the whole")


def inverted(f: Features) -> Fault:
    """Share of the energy that vanishes when the channels are added."""
    share = f.side_share
    words = f"{100 * share:.0f} % of the energy vanishes in mono"
    return Fault("inverted channel", share, 0.2 + 0.8 * eased(share, 0.85, 0.6), words)


def delayed_channel(f: Features) -> Fault:
    """One channel is the other one, 1 to 40 ms late: fake width that combs in mono."""
    if f.side is None or f.side_share < 0.02:
        return Fault("delayed channel", 0.0, 1.0, "no such delay")
    (left, right), rate = f.once(slow)
    size = fast_length(left.size + 1000)
    both = spectra(np.stack([left, right]), size)
    cross = np.asarray(fft.irfft(both[0] * np.conj(both[1]), size))
    cross /= np.sqrt(float((left**2).sum()) * float((right**2).sum())) + 1e-9
    near, far = round(0.001 * rate), round(0.04 * rate)
    late = float(max(cross[near:far].max(), cross[-far:-near].max()))
    severity = min(late - 0.5, late - float(np.abs(cross[0])))
    words = f"the channels match best with a delay ({late:.2f})"
    return Fault("delayed channel", severity, 0.08 + 0.92 * eased(severity, 0.4, 0.15), words)


def lost_channel(f: Features) -> Fault:
    """Level difference between the channels in dB: one side is missing or far too quiet."""
    return Fault(
        "lost channel",
        f.balance_db,
        0.15 + 0.85 * eased(f.balance_db, 24, 12),
        f"one channel is {f.balance_db:.0f} dB quieter",
    )
