"""Audio quality: is the clip free of damage, and does it move like real sound of its kind?

The fault detectors of `faults.py` and a fourteen-descriptor naturalness band (`naturalness.py`)
are multiplied, and the product is calibrated. For music 0.5 is the 25th percentile of real clips,
0.9 the 75th, and 1 is reached only above the 97th; in a category the bands are wide and most
undamaged clips score above 0.9.

Range:   [0, 1]
Unscored: never; silence and unreadable clips score 0.
Source:  detectors and bands measured on real clips, `docs/rewards.md`; percentile map is ours.
Blind to: taste, musical structure, phase that is smeared a little, damage that was re-encoded
         away.
"""

from __future__ import annotations

import math

from audioforge.reward_functions.curves import through
from audioforge.reward_functions.faults import Fault, faults
from audioforge.reward_functions.naturalness import Naturalness, Profile, naturalness, profile
from audioforge.reward_functions.score import Score
from audioforge.utils.spectral_analysis import Features

_TOLERATED = {
    "ambient": ("noise floor", "hum", "smeared phase"),
    "sfx": ("noise floor", "hum", "silence", "clicks", "spectral edge", "smeared phase"),
    "drums": ("silence", "noise floor"),
    "instruments": ("silence", "hum", "spectral edge"),
    "phrases": ("spectral edge",),
}
"""Faults that are ordinary in a category and count half of their logarithm there."""
_CAPS = (0.15, 0.4, 0.92, 1.0)
"""Highest raw quality that stands for 0.25, 0.5, 0.9 and 1."""


def score(features: Features, category: str | None = None) -> Score:
    """Score the quality of one clip.

    Args:
        features: the clip.
        category: of the brief, which chooses the bands; None judges it as music.
    """
    if not features.sound.any():
        return Score(
            0.0,
            "no sound",
            {"loudness_lufs": features.lufs if math.isfinite(features.lufs) else -120.0},
        )
    bands = profile(category)
    found, natural = faults(features), naturalness(features, bands)
    raw = raw_quality(found, natural, category)
    value = calibrated(raw, bands)
    worst = sorted((f for f in found if f.value < 0.85), key=lambda f: f.value)
    reasons = [f"{f.name}: {f.words}" for f in worst[:2]]
    if natural.value < 0.7:
        reasons.append(
            f"unlike real sound in {natural.worst}: {natural.measured:.3g}, usual {natural.usual}"
        )
    return Score(
        value,
        "; ".join(reasons) or "no fault found, within the range of real sound",
        {f"fault_{f.name.replace(' ', '_')}": f.value for f in found}
        | {"naturalness": natural.value, "raw": raw},
    )


def raw_quality(found: tuple[Fault, ...], natural: Naturalness, category: str | None) -> float:
    """Multiply naturalness and faults; a fault that is ordinary in the category counts half."""
    value = natural.value
    for fault in found:
        value *= (
            math.sqrt(fault.value)
            if fault.name in _TOLERATED.get(category or "", ())
            else fault.value
        )
    return value


def calibrated(raw: float, bands: Profile) -> float:
    """Map a raw quality through the percentiles of its profile, which are capped.

    Most made clips of a category have nothing wrong, so their percentiles crowd at 1; the caps keep
    the map from becoming a cliff there.
    """
    p5, p25, p75, p97 = (min(p, cap) for p, cap in zip(bands.quality, _CAPS, strict=True))
    return through(
        raw, sorted({0.0: 0.0, p5: 0.25, p25: 0.5, p75: 0.9, max(p97, p75 + 0.01): 1.0}.items())
    )
