"""Faults: damage that a listener would call broken, each found by its own detector.

sample_faults.py    flat tops, held samples, coarse steps, clicks, dropouts, DC
spectral_faults.py  spectral edge, mains hum, noise floor, smeared phase
time_faults.py      silence, stutter, exact repetition
channel_faults.py   narrow, inverted, delayed and lost channels

Every detector gives a severity and what it leaves of the quality (`fault.py`); audio_quality
multiplies the latter and `benchmarks/faults.py` compares the former with clean clips.
"""

from __future__ import annotations

from collections.abc import Callable

from audioforge.reward_functions import (
    channel_faults,
    sample_faults,
    spectral_faults,
    time_faults,
)
from audioforge.reward_functions.fault import Fault
from audioforge.utils.spectral_analysis import Features

DETECTORS: dict[str, Callable[[Features], Fault]] = {
    "clipping": sample_faults.flat_tops,
    "held samples": sample_faults.held_steps,
    "coarse steps": sample_faults.coarse_steps,
    "clicks": sample_faults.clicks,
    "dropouts": sample_faults.dropouts,
    "DC offset": sample_faults.direct_current,
    "spectral edge": spectral_faults.spectral_edge,
    "hum": spectral_faults.hum,
    "noise floor": spectral_faults.noise_floor,
    "smeared phase": spectral_faults.smear,
    "silence": time_faults.silence_run,
    "stutter": time_faults.stutter,
    "repetition": time_faults.repetition,
    "narrow stereo": channel_faults.narrow,
    "inverted channel": channel_faults.inverted,
    "delayed channel": channel_faults.delayed_channel,
    "lost channel": channel_faults.lost_channel,
}
"""Every detector by the name of its fault."""


def faults(features: Features) -> tuple[Fault, ...]:
    """Run every detector on a clip, in the order of DETECTORS."""
    return tuple(detector(features) for detector in DETECTORS.values())
