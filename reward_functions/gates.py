"""Gates: what a clip must be before it is judged at all. Each multiplies the total.

A gate is a number in [0, 1] on a smooth ramp, so that a reward has no cliff; one below 0.9 is
listed by name. `length` needs the brief, the others only the clip; `music_gates` are for clips that
are judged as music, without a brief.

Range:   [0, 1] each; the product multiplies every total.
Source:  own thresholds; every clip of `real_audio` passes all of them but `music_gates`.
Blind to: everything that is not gross damage.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from audioforge.reward_functions.curves import eased, ramp
from audioforge.reward_functions.cuts import cut_strength
from audioforge.reward_functions.description import describe
from audioforge.reward_functions.realism import realism
from audioforge.reward_functions.sounding import sounding
from audioforge.utils.spectral_analysis import Features


class Gate(NamedTuple):
    """One precondition."""

    name: str
    value: float
    words: str


def gates(features: Features, seconds_asked: float | None = None) -> tuple[Gate, ...]:
    """Measure every gate of a clip.

    Args:
        features: the clip.
        seconds_asked: the length asked for; without it a clip need only be longer than 0.15 s.
    """
    if features.finite_share < 1:
        share = 100 * (1 - features.finite_share)
        words = (
            "the clip is empty"
            if features.audio.samples.size == 0
            else f"{share:.2g} % of the samples are not numbers"
        )
        return (Gate("empty" if features.audio.samples.size == 0 else "not finite", 0.0, words),)
    wanted = 0.9 * seconds_asked if seconds_asked else 0.15
    length = Gate(
        "too short",
        ramp(features.seconds, 0.8 * wanted - 1e-6, wanted - 1e-6),
        f"{features.seconds:.2f} s, at least {wanted:.2f} s needed",
    )
    lufs = features.lufs
    silent = Gate("silent", ramp(lufs, -75, -62), f"loudness {lufs:.0f} LUFS")
    antiphase = Gate(
        "antiphase",
        ramp(features.side_share, 0.985, 0.93),
        f"{100 * features.side_share:.0f} % of the energy vanishes in mono",
    )
    if silent.value == 0 or antiphase.value == 0 or not features.active.any():
        return (length, silent, antiphase)
    active = float(features.active.mean())
    line = stationary_line_share(features)
    moving = ramp(float(features.level_db[features.active].std()), 2.5, 5.0)
    return (
        length,
        silent,
        Gate(
            "mostly silent",
            ramp(active, 0.015, 0.08),
            f"{100 * active:.0f} % of the clip is within 50 dB of its loudest moment",
        ),
        Gate(
            "constant",
            ramp(_dc_share(features), 0.97, 0.6),
            f"DC offset {features.dc:.3f} of full scale",
        ),
        antiphase,
        Gate(
            "single line",
            max(moving, ramp(line, 0.995, 0.97)),
            f"{100 * line:.0f} % of the energy sits on one steady frequency",
        ),
    )


def music_gates(features: Features) -> tuple[Gate, ...]:
    """Measure the gates of a clip that is judged as music, without a brief.

    Args:
        features: a clip whose other gates are not shut.
    """
    features = sounding(features)
    cut = cut_strength(features)
    pieced = Gate(
        "pieced together",
        0.2 + 0.8 * eased(cut, 2.7, 1.85),
        f"sound breaks off at once, strength {cut:.1f}, in music mostly under 1.6",
    )
    if (description := features.once(describe)) is None:
        words = "too short or sampled too low for its texture to be compared with music"
        return (pieced, Gate("not described", 0.6, words))
    value, margin = realism(features, description)
    words = f"its texture lies with spoiled or made-up sound, margin {margin:.2f}"
    return (pieced, Gate("unlike music", value, words))


def _dc_share(features: Features) -> float:
    alternating = float(np.square(features.centred).mean(dtype=np.float64))
    return features.dc**2 / (features.dc**2 + alternating + 1e-12)


def stationary_line_share(features: Features) -> float:
    """Share of the long-term power within two bins of its strongest bin."""
    spectrum = features.spectrum
    best = int(spectrum.argmax())
    return float(spectrum[max(best - 2, 0) : best + 3].sum() / (spectrum.sum() + 1e-12))
