import math

import numpy as np
import pytest
import signals

from audioforge.reward_functions.cuts import cut_strength
from audioforge.reward_functions.gates import gates, music_gates
from audioforge.reward_functions.realism import FLOOR, of_margin, realism_model
from audioforge.utils.audio_processing import Audio, resample
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


def of_music(audio):
    features = Features(audio)
    return {gate.name: gate.value for gate in music_gates(features)}


def test_blocks_of_two_pieces_are_heard_as_pieced_together_and_one_piece_is_not():
    spliced = signals.spliced(signals.mix(), signals.mix(seed=40))
    assert of_music(signals.mix())["pieced together"] > 0.9
    assert of_music(spliced)["pieced together"] < 0.5
    assert cut_strength(Features(signals.saw_drone())) < 2


def test_holes_of_digital_silence_are_no_joints():
    holed = signals.mix().samples.copy()
    for start in np.linspace(0.1, 0.9, 24):
        at = round(start * holed.shape[1])
        holed[:, at : at + 2_000] = 0
    assert cut_strength(Features(Audio(holed, 44_100))) < 1.85


def test_the_value_of_a_texture_rises_without_corners_to_the_median_of_music():
    margins = np.linspace(-2.0, 1.5, 701)
    values = np.array([of_margin(float(m)) for m in margins])
    steps = np.diff(values)
    assert (steps >= 0).all()
    assert np.abs(np.diff(steps)).max() < 0.15 * steps.max()
    low, quarter, middle = realism_model().levels
    for margin, value in ((-1.0, FLOOR), (low, 0.5), (quarter, 0.8), (middle, 1.0)):
        assert of_margin(margin) == pytest.approx(value)


def test_real_music_mostly_has_the_texture_of_music_and_noise_and_voices_have_not():
    clips = signals.real_music()[::4]
    if clips:
        assert np.median([of_music(clip)["unlike music"] for clip in clips]) > 0.9
    for made in (signals.pink(), signals.triad(), signals.stereo(signals.spoken())):
        assert of_music(made)["unlike music"] < 0.3


def test_a_clip_that_cannot_be_described_is_not_paid_in_full_as_music():
    assert of_music(resample(signals.mix(), 8_000))["not described"] < 1
