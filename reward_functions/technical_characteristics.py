"""Technical characteristics: does the clip meet the delivery facts a listener or a player expects?

Length as asked, a sane loudness, dynamics that were not crushed, peaks below full scale, channels
that belong together and survive mono, and no step at the loop point where a loop was asked.

Range:   [0, 1], weighted geometric mean of the checks; each has a flat top, so none can be
maximised.
Unscored: never; an empty clip scores 0.
Source:  loudness and true peak after ITU-R BS.1770-4; windows are ours (loudness -26 to -8 LUFS,
         peak to loudness above 7 dB for music), see `docs/rewards.md`.
Blind to: whether the mix is good.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy import signal

from audioforge.data.brief import Brief
from audioforge.reward_functions.checks import seam_jump
from audioforge.reward_functions.curves import eased, geometric_mean, plateau, ramp
from audioforge.reward_functions.naturalness import descriptors
from audioforge.reward_functions.score import Score
from audioforge.utils.spectral_analysis import Features

WEIGHTS = {
    "length": 1.0,
    "loudness": 0.7,
    "dynamics": 1.0,
    "peak": 0.7,
    "channels": 1.0,
    "loop": 0.8,
}
_PEAK_TO_LOUDNESS = {
    "music": (2.5, 6.0),
    "drums": (2.5, 6.0),
    "phrases": (0.0, 3.5),
    "instruments": (-1.0, 0.6),
    "sfx": (-1.5, 0.6),
    "ambient": (0.0, 3.5),
}
"""True peak over loudness in dB that scores 0 and 1. Mono counts as played on both sides, 3 dB
louder; a steady tone then has about 0.7 by nature, crushed music 3 to 5."""
_FLOOR = 0.05


def score(features: Features, brief: Brief | None = None) -> Score:
    """Score the delivery of one clip; without a brief, length and loop are left out."""
    if not features.sound.any():
        return Score(0.0, "no sound", {"seconds": features.seconds})
    lufs, peak = features.lufs, true_peak_dbtp(features)
    dynamics_db = peak - lufs - (3.01 if features.side is None else 0.0)
    values: dict[str, tuple[float, str]] = {
        "loudness": (plateau(lufs, -32, -7, 18), f"{lufs:.1f} LUFS"),
        "dynamics": (
            eased(dynamics_db, *_peak_to_loudness(features, brief)),
            f"peaks {dynamics_db:.1f} dB above the loudness",
        ),
        "peak": (
            ramp(peak, 4.0, 1.0) * ramp(features.peak, 1.5, 1.0 + 1e-4),
            f"true peak {peak:.1f} dB",
        ),
        "channels": (
            _channels(features),
            f"{100 * features.side_share:.0f} % side, {features.balance_db:.1f} dB off balance",
        ),
    }
    if brief is not None:
        off = abs(features.seconds - brief.seconds)
        values["length"] = (
            ramp(off / brief.seconds, 0.15, 0.02),
            f"{features.seconds:.2f} s for {brief.seconds:g} s",
        )
        if brief.loudness_lufs is not None:
            del values["loudness"]  # a check of its own
        jump = features.once(seam_jump) if brief.loop else math.nan
        if not math.isnan(jump):
            values["loop"] = (ramp(jump, 2.5, 1.1), f"seam step {jump:.1f}")
    value = geometric_mean((max(v, _FLOOR), WEIGHTS[n]) for n, (v, _) in values.items())
    failed = [f"{n}: {words}" for n, (v, words) in values.items() if v < 0.8]
    measured = {
        "seconds": features.seconds,
        "loudness_lufs": lufs,
        "peak_dbtp": peak,
        "plr_db": dynamics_db,
        "side_share": features.side_share,
        "balance_db": features.balance_db,
    }
    return Score(
        value,
        "; ".join(failed) or "length, level and channels are in order",
        measured | {f"check_{n}": v for n, (v, _) in values.items()},
    )


def _peak_to_loudness(features: Features, brief: Brief | None) -> tuple[float, float]:
    """Return the dB that score 0 and 1; music whose level stands still is judged as a texture."""
    if brief is not None:
        return _PEAK_TO_LOUDNESS[brief.category]
    still = ramp(features.once(descriptors)["level_range_db"], 2.0, 1.0)
    moving, held = np.array(_PEAK_TO_LOUDNESS["music"]), np.array(_PEAK_TO_LOUDNESS["ambient"])
    zero, one = moving + still * (held - moving)
    return float(zero), float(one)


def _channels(features: Features) -> float:
    """1 for mono and for ordinary stereo; less for a lost channel or one that cancels in mono."""
    if features.side is None:
        return 1.0
    return eased(features.balance_db, 24.0, 8.0) * eased(features.side_share, 0.9, 0.6)


def true_peak_dbtp(features: Features) -> float:
    """Return the peak between samples in dB, four times oversampled around the 8 largest ones."""
    best = 0.0
    for channel in features.centred:
        level = np.abs(channel)
        sample_peak = float(level.max(initial=0.0))
        best = max(best, sample_peak)
        places = np.flatnonzero(level >= 0.89 * sample_peak)
        for at in places[np.argsort(level[places])[-8:]]:
            piece = channel[max(at - 16, 0) : at + 17]
            between = np.asarray(signal.resample_poly(piece, 4, 1, window=_between()))[24:-24]
            best = max(best, float(np.abs(between).max(initial=0.0)))
    return 20 * math.log10(best) if best > 0 else -math.inf


@cache
def _between() -> np.ndarray:
    """Return the low-pass that resample_poly designs anew at every call."""
    return np.asarray(signal.firwin(81, 1 / 4, window=("kaiser", 5.0)))  # type: ignore[arg-type]
