"""Audio quality: is the clip free of damage, and does it move like real sound of its kind?

The fault detectors of `faults.py` and a fourteen-descriptor naturalness band (`naturalness.py`)
are multiplied, and the product is put on one scale: 0.9 and more is undamaged, where most real
clips lie; 0.5 has lost more than half of its quality to faults, as few real clips have.

Range:   [0, 1]
Unscored: never; silence and unreadable clips score 0.
Source:  detectors and bands measured on real clips, `docs/rewards.md`; the scale is ours.
Blind to: taste, musical structure, phase that is smeared a little, damage that was re-encoded
         away.
"""

from __future__ import annotations

import math

from audioforge.reward_functions.curves import through
from audioforge.reward_functions.faults import Fault, faults
from audioforge.reward_functions.naturalness import Naturalness, naturalness, profile
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
_SCALE = ((0.0, 0.0), (0.15, 0.25), (0.4, 0.5), (0.92, 0.9), (1.0, 1.0))
"""Quality as multiplied, and the value it stands for."""


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
    found, natural = faults(features), naturalness(features, profile(category))
    raw = _multiplied(found, natural, category)
    value = through(raw, _SCALE)
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


def _multiplied(found: tuple[Fault, ...], natural: Naturalness, category: str | None) -> float:
    """Multiply naturalness and faults; a fault that is ordinary in the category counts half."""
    value = natural.value
    for fault in found:
        value *= (
            math.sqrt(fault.value)
            if fault.name in _TOLERATED.get(category or "", ())
            else fault.value
        )
    return value
