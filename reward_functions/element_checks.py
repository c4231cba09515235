"""Element checks: what must be heard in a clip, and what must not.

Range:   [0, 1] each; several elements are joined by their weakest.
Source:  own rules on the shared spectrum; what they tell on the teacher's families is a test.
Blind to: who plays an element; a bass line and a bass drum are both bass.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import median_filter

from audioforge.data.brief import Brief, Element
from audioforge.reward_functions.claims import outcome
from audioforge.reward_functions.curves import ramp
from audioforge.reward_functions.score import CheckOutcome
from audioforge.utils.spectral_analysis import LOW_HZ, Features
from audioforge.utils.spectral_shapes import bins_between

_BASS_HZ, _TREBLE_HZ, _TOP_HZ = 150.0, 3_500.0, 7_200.0
_AROUND_HZ, _STANDS_OUT = 300.0, 12.5


def _share_db(features: Features, low: float, high: float) -> float:
    """Return the level of a band under that of everything from 40 Hz to 7.2 kHz, in dB."""
    total = features.spectrum[bins_between(features.hz, LOW_HZ, _TOP_HZ)].sum() + 1e-12
    band = features.spectrum[bins_between(features.hz, low, high)].sum()
    return float(10 * np.log10(band / total + 1e-9))


def _bass(features: Features) -> float:
    return ramp(_share_db(features, LOW_HZ, _BASS_HZ), -24, -9)


def _treble(features: Features) -> float:
    return ramp(_share_db(features, _TREBLE_HZ, _TOP_HZ), -38, -20)


def peak_share(features: Features) -> float:
    """Return the share of power in spectral lines, in [0, 1], over the loud tenths of a second.

    A line stands 11 dB above the median of its surroundings of 300 Hz. A bin of noise does so once
    in 6 000.
    """
    power = features.long_power[:, : features.long_power.shape[1] * 2 * 5_000 // features.rate]
    level = power.sum(1)
    loud = power[level > 0.01 * level.max()]
    wide = max(round(_AROUND_HZ * 2 * (features.long_power.shape[1] - 1) / features.rate), 3)
    lines = loud > _STANDS_OUT * median_filter(loud, (1, wide), mode="nearest")
    return float((loud * lines).sum() / (loud.sum() + 1e-12))


def _tones(features: Features) -> float:
    return ramp(features.once(peak_share), 0.2, 0.6)


def _noise(features: Features) -> float:
    return ramp(features.once(peak_share), 0.8, 0.4)


PRESENCE: dict[Element, Callable[[Features], float]] = {
    "bass": _bass,
    "treble": _treble,
    "tones": _tones,
    "noise": _noise,
}
"""How surely each element is heard, in [0, 1]."""


def required(features: Features, brief: Brief) -> CheckOutcome:
    """Check that every required element is heard."""
    found = {name: PRESENCE[name](features) for name in brief.required or ()}
    missing = [name for name, present in found.items() if present < 0.5]
    words = f"hardly any {' or '.join(missing)} is heard" if missing else "all of it is heard"
    asked = ", ".join(found)
    return outcome("required", asked, min(found.values()), f"asked for {asked}, {words}")


def forbidden(features: Features, brief: Brief) -> CheckOutcome:
    """Check that no forbidden element is heard."""
    found = {name: PRESENCE[name](features) for name in brief.forbidden or ()}
    heard = [name for name, present in found.items() if present > 0.5]
    words = f"{' and '.join(heard)} can be heard" if heard else "none of it is heard"
    asked = ", ".join(found)
    return outcome("forbidden", asked, 1 - max(found.values()), f"asked for no {asked}, {words}")
