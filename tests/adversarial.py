"""Adversarial: clips that a gameable reward would pay, with the marks each must stay under."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import signals

from audioforge.utils.audio_processing import Audio, resample

Maker = Callable[[Audio], Audio]

REJECT: dict[str, tuple[float, Maker]] = {
    "digital silence": (0.05, lambda b: signals.silence()),
    "near silence": (0.05, lambda b: signals.white(3e-5)),
    "single impulse": (0.05, lambda b: signals.impulse()),
    "DC 0.8": (
        0.05,
        lambda b: Audio(np.full((2, 8 * signals.RATE), 0.8), signals.RATE),
    ),
    "empty": (0.05, lambda b: Audio(np.zeros((2, 0)), signals.RATE)),
    "NaN and inf": (0.05, lambda b: signals.not_numbers()),
    "10 ms": (0.05, lambda b: Audio(b.samples[:, :441], b.sample_rate)),
    "one channel NaN": (0.05, lambda b: signals.one_channel_nan()),
    "denormal level": (0.05, lambda b: Audio(b.samples * np.float32(1e-39), b.sample_rate)),
    "sine": (0.25, lambda b: signals.sine()),
    "one burst": (0.25, lambda b: signals.burst()),
    "white noise, mono": (0.25, lambda b: signals.white()),
    "white noise, stereo": (0.25, lambda b: signals.white(same=False)),
    "pink noise": (0.25, lambda b: signals.pink()),
    "gated noise": (0.25, lambda b: signals.gated_noise()),
    "click track": (0.25, lambda b: signals.click_track()),
    "triad drone": (0.25, lambda b: signals.triad()),
    "log sweep": (0.25, lambda b: signals.sweep()),
    "chromatic staircase": (0.25, lambda b: signals.chromatic()),
    "square-wave song": (0.25, lambda b: Audio(0.5 * np.sign(b.samples), b.sample_rate)),
    "23 ms frame repeated": (0.25, lambda b: signals.frame_repeated(b, 1024 / signals.RATE)),
    "right is minus left": (0.25, lambda b: signals.channels(b, 1, -1)),
    "20 kHz tone over music": (0.25, signals.with_tone),
}
"""Kinds that must get at most the stated total, and how each is made from a real clip."""

BELOW_P25: dict[str, Maker] = {
    "kick only": lambda b: signals.kicks(),
    "saw drone": lambda b: signals.saw_drone(),
    "loudness inflation": lambda b: signals.limited(b, 18),
    "half a second looped": lambda b: signals.frame_repeated(b, 0.5),
    "left only": lambda b: signals.channels(b, 1, 0),
    "Haas fake stereo": signals.haas,
    "spectrally matched noise": signals.phases_randomised,
    "random beeps": lambda b: signals.beeps(),
    "2 s then silence": lambda b: signals.with_dropped(b, 0.25),
    "spliced songs": lambda b: signals.spliced(b, signals.mix(seed=40)),
}
"""Kinds that must stay below the 25th percentile of real music."""

OTHERS: dict[str, Maker] = {
    "8 kHz copy": lambda b: resample(b, 8_000),
    "192 kHz copy": lambda b: resample(b, 192_000),
    "six channels": lambda b: Audio(np.tile(b.samples[:1], (6, 1)), b.sample_rate),
    "negative full scale": lambda b: Audio(b.samples / -np.abs(b.samples).max(), b.sample_rate),
    "beyond full scale": lambda b: Audio(4 * b.samples / np.abs(b.samples).max(), b.sample_rate),
    "shuffled seconds": signals.shuffled,
    "10 dB slow gain ramp": lambda b: Audio(
        b.samples * np.linspace(0.32, 1, b.samples.shape[1]), b.sample_rate
    ),
    "bit-crushed with dither": signals.crushed,
    "clipped then low-passed": lambda b: signals.lowpassed(signals.limited(b, 12), 9_000),
}
"""Kinds without a stated mark: finite, in range and never the best."""


def adversarial(base: Audio) -> dict[str, Audio]:
    """Every kind, made from one real clip where it needs one."""
    makers = {name: maker for name, (_, maker) in REJECT.items()} | BELOW_P25 | OTHERS
    return {name: maker(base) for name, maker in makers.items()}
