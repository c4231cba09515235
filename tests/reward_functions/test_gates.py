import math

import numpy as np
import pytest
import signals

from audioforge.reward_functions.gates import gates
from audioforge.utils.audio_processing import Audio
from audioforge.utils.spectral_analysis import Features


def opening(audio, seconds=None):
    return math.prod(g.value for g in gates(Features(audio), seconds))


@pytest.mark.parametrize(
    ("audio", "name"),
    [
        (signals.silence(), "silent"),
        (signals.white(3e-5), "silent"),
        (signals.sine(), "single line"),
        (signals.impulse(), "mostly silent"),
        (signals.channels(signals.mix(), 1, -1), "antiphase"),
        (signals.broken(signals.mix()), "not finite"),
        (Audio(np.zeros((1, 0)), 44_100), "empty"),
        (Audio(signals.mix().samples[:, :441], 44_100), "too short"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_each_gate_shuts_and_says_its_name(audio, name):
    found = gates(Features(audio))
    assert math.prod(g.value for g in found) < 0.05
    assert name in [g.name for g in found if g.value < 0.9]


def test_length_is_judged_against_what_was_asked_on_a_ramp():
    assert opening(signals.mix(), 8.0) == 1
    assert opening(signals.mix(), 8.8) == 1
    assert 0 < opening(signals.mix(), 10.0) < 1
    assert opening(signals.mix(), 16.0) == 0


def test_quiet_and_mono_music_pass():
    quiet = Audio(signals.mix().samples[:1] * 0.02, 44_100)
    assert opening(quiet) == 1


def test_every_real_clip_passes():
    if not signals.real_clips():
        pytest.skip("no real audio here")
    shut = [name for name, _, _, audio in signals.real_clips() if opening(audio) < 0.85]
    assert shut == []
