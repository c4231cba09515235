"""Naturalness: is the clip inside the range that real sound of its kind spans, in every respect?

Fourteen descriptors of texture, movement and balance are compared with bands measured on real and
reference clips (`calibration.json`, made by `python -m audioforge.reward_functions.calibrate`).
Each is two-sided: noise and a sine, a drone and a hail of clicks lie outside at opposite ends.

Range:   [0, 1]; 1 where the clips of the calibration lie, falling to 0 outside without corners.
Source:  bands from percentiles; own choice of descriptors.
Blind to: musical sense, and any fault that leaves the statistics alone (phase smear, shuffled
bars).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from audioforge.reward_functions.committed import committed
from audioforge.reward_functions.curves import eased
from audioforge.utils.spectral_analysis import BANDS, FRAME_HZ, Features

DESCRIPTORS = (
    "flatness_db", "line_share", "movement_db", "slow_movement_db", "level_range_db", "crest_db",
    "occupied_bands", "centroid_band", "onset_contrast", "colour_change", "modulation",
    "top_octave_db", "noise_like_share", "cut_share",
)  # fmt: skip
_FLOOR = 0.01
"""What one descriptor far outside leaves of its own value."""


class Naturalness(NamedTuple):
    """How natural a clip is, and what stands out most."""

    value: float
    worst: str
    measured: float
    usual: str


Profile = Mapping[str, tuple[float, float, float, float]]
"""What is usual for one kind of clip, per descriptor: value 0 at the first number, 1 from the
second to the third, 0 at the fourth."""


@cache
def profiles() -> dict[str, Profile]:
    """Load the committed calibration.

    Raises:
        FileNotFoundError: it is missing; the message names the command that makes it.
    """
    path = committed("calibration.json", "python -m audioforge.reward_functions.calibrate")
    stored = json.loads(path.read_text())["profiles"]
    return {name: {k: tuple(v) for k, v in p["bands"].items()} for name, p in stored.items()}


def profile(category: str | None) -> Profile:
    """Return the profile of a category, or that of music."""
    return profiles()[category or "music"]


def naturalness(features: Features, bands: Profile) -> Naturalness:
    """Compare a clip with a profile; every descriptor outside its band multiplies the value."""
    values = {}
    measured = features.once(descriptors)
    for name, x in measured.items():
        zero_low, one_low, one_high, zero_high = bands[name]
        inside = (
            1.0
            if math.isnan(x)
            else min(eased(x, zero_low, one_low), eased(x, zero_high, one_high))
        )
        values[name] = max(inside, _FLOOR)
    worst = min(values, key=lambda name: values[name])
    _, low, high, _ = bands[worst]
    product = math.exp(sum(math.log(v) for v in values.values()) / 3)
    return Naturalness(
        product, worst.replace("_", " "), measured[worst], f"{low:.3g} to {high:.3g}"
    )


def descriptors(f: Features) -> dict[str, float]:
    """Measure the fourteen descriptors of a clip that is not silent."""
    active = f.active if f.active.sum() >= 8 else np.ones(len(f.active), bool)
    power = f.frame_power[active]
    weight = np.sqrt(power) / (np.sqrt(power).sum() + 1e-12)
    smooth = _smoothed(f.mel, 5)[active]
    db = 10 * np.log10(np.maximum(smooth, smooth.max() * 1e-5))
    shape = f.mel.mean(0, dtype=np.float64)
    shape /= shape.sum() + 1e-12
    logs = f.level_db[active]
    flux = f.flux_db[active]
    return {
        "flatness_db": float(weight @ f.frame_flatness_db[active]),
        "line_share": float(weight @ f.line_share[active]),
        "movement_db": float(np.abs(db[10:] - db[:-10]).mean()) if len(db) > 12 else 0.0,
        "slow_movement_db": _slow_movement(f),
        "level_range_db": float(np.percentile(logs, 95) - np.percentile(logs, 10)),
        "crest_db": float(
            20 * np.log10(max(f.sound.max(), -f.sound.min()) + 1e-9)
            - 10 * np.log10(np.square(f.sound).mean(dtype=np.float64) + 1e-12)
        ),
        "occupied_bands": float(np.exp(-(shape * np.log(shape + 1e-12)).sum())),
        "centroid_band": float(shape @ np.arange(BANDS)),
        "onset_contrast": float(np.percentile(flux, 97) / (np.median(flux) + 0.5)),
        "colour_change": _colour_change(f, active),
        "modulation": _modulation(f),
        "top_octave_db": _top_octave(f),
        "noise_like_share": _noise_like_share(f, active),
        "cut_share": _cut_share(f),
    }


def _smoothed(mel: np.ndarray, frames: int) -> np.ndarray:
    """Average over neighbouring frames, which takes the flutter of noise out."""
    total = np.cumsum(
        np.pad(mel, ((frames // 2 + 1, frames // 2), (0, 0)), mode="edge"), axis=0, dtype=np.float64
    )
    return (total[frames:] - total[:-frames]) / frames


def _slow_movement(f: Features) -> float:
    """Standard deviation over time of quarter-second levels in 16 bands, in dB."""
    if len(f.mel) < FRAME_HZ // 2:
        return float("nan")
    bands = f.mel.reshape(len(f.mel), 16, BANDS // 16).mean(2)
    slow = _smoothed(bands, FRAME_HZ // 4)
    return float((10 * np.log10(np.maximum(slow, slow.max() * 1e-5))).std(0).mean())


def _colour_change(f: Features, active: np.ndarray) -> float:
    """Mean distance between the spectral shapes of frames 0.1 s apart, in [0, 1]."""
    shape = np.sqrt(_smoothed(f.mel, 5)[active])
    shape /= np.linalg.norm(shape, axis=1, keepdims=True) + 1e-9
    if len(shape) < 12:
        return float("nan")
    return float(1 - (shape[10:] * shape[:-10]).sum(1).mean())


def _modulation(f: Features) -> float:
    """Depth of the level's movement between 0.5 and 12 Hz, relative to its mean."""
    envelope = np.sqrt(f.mel.sum(1))
    if len(envelope) < 60:
        return float("nan")
    power = np.abs(np.fft.rfft(envelope - envelope.mean())) ** 2 / len(envelope) ** 2
    hz = np.fft.rfftfreq(len(envelope), 1 / FRAME_HZ)
    return float(np.sqrt(2 * power[(hz >= 0.5) & (hz <= 12)].sum()) / (envelope.mean() + 1e-9))


def _top_octave(f: Features) -> float:
    """Level of the upper half of the clip's own spectrum against the whole, in dB."""
    half = f.spectrum[len(f.spectrum) // 2 :].sum()
    return float(10 * np.log10((half + 1e-12) / (f.spectrum.sum() + 1e-12)))


def _noise_like_share(f: Features, active: np.ndarray) -> float:
    """Share of the spectrum whose bins flutter like Gaussian noise, weighted by level, in [0, 1].

    The power of a bin of stationary noise is exponentially distributed, so the log of its mean lies
    Euler's 0.577 above the mean of its log; steady tones give 0 and music more.
    """
    inside = f.between(100, 7_000)[active]
    if len(inside) < 50:
        return float("nan")
    floor = inside.max() * 1e-9 + 1e-14
    mean = inside.mean(0, dtype=np.float64)
    gap = np.log(mean + floor) - np.log(inside + floor).mean(0)
    weight = np.sqrt(mean)
    likeness = np.clip(1.5 - np.abs(gap - 0.577) / 0.15, 0, 1)
    return float(weight @ likeness / (weight.sum() + 1e-12))


def _cut_share(f: Features) -> float:
    """Share of the bands that fall by 6 dB or more within 20 ms, in the most abrupt frames.

    Sounds start abruptly and die away; where many bands end at once, sound was cut.
    """
    fall = (f.mel_db[:-2] - f.mel_db[2:] > 6).mean(1)
    if len(fall) < 50:
        return float("nan")
    return float(np.sort(fall)[-max(len(fall) // 50, 1) :].mean())
