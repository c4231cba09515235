import math

import numpy as np
import pytest
import signals

from audioforge.data.brief import Brief
from audioforge.reward_functions.technical_characteristics import score, true_peak_dbtp
from audioforge.utils.audio_processing import Audio
from audioforge.utils.spectral_analysis import Features

BRIEF = Brief("drums", "rock", seconds=8.0)


def judged(audio, brief=BRIEF):
    return score(Features(audio), brief)


def test_true_peak_finds_the_crest_between_samples():
    t = np.arange(48_000) / 48_000
    between = Audio(0.5 * np.sin(2 * np.pi * 12_000 * t + np.pi / 4)[None], 48_000)
    assert np.abs(between.samples).max() == pytest.approx(0.5 * math.sqrt(0.5), abs=1e-3)
    assert true_peak_dbtp(Features(between)) == pytest.approx(-6.02, abs=0.3)
    assert true_peak_dbtp(Features(signals.silence())) == -math.inf


def test_an_ordinary_mix_of_the_asked_length_passes_everything():
    outcome = judged(signals.mix())
    assert outcome.value > 0.95
    assert outcome.reason == "length, level and channels are in order"


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda b: Audio(b.samples[:, :300_000], b.sample_rate), "length"),
        (lambda b: Audio(b.samples * 0.005, b.sample_rate), "loudness"),
        (lambda b: signals.limited(b, 30), "dynamics"),
        (lambda b: Audio(b.samples * 4, b.sample_rate), "peak"),
        (lambda b: signals.channels(b, 1, 0), "channels"),
        (lambda b: signals.channels(b, 1, -0.8), "channels"),
    ],
    ids=["short", "too quiet", "crushed", "beyond full scale", "one side", "cancels in mono"],
)
def test_each_defect_fails_its_own_check_and_is_named(change, check):
    outcome = judged(change(signals.mix()))
    assert outcome.measured[f"check_{check}"] < 0.5
    assert f"{check}: " in outcome.reason
    assert outcome.value < judged(signals.mix()).value - 0.2


def test_mono_is_legitimate():
    mono = Audio(signals.mix().samples.mean(0, keepdims=True), signals.RATE)
    assert judged(mono).value > 0.95
    both = Audio(np.repeat(mono.samples, 2, axis=0), signals.RATE)
    assert judged(mono).measured["plr_db"] == pytest.approx(
        judged(both).measured["plr_db"], abs=0.05
    )


def test_a_steady_tone_is_not_crushed_music():
    assert judged(signals.sine(level=0.2), Brief("instruments", seconds=8.0)).value > 0.9
    assert judged(signals.sine(level=0.2), BRIEF).measured["check_dynamics"] < 0.5


def test_a_held_chord_judged_as_music_is_not_crushed_and_a_crushed_mix_is():
    held = Audio(0.3 * signals.triad().samples, signals.RATE)
    assert score(Features(held)).measured["check_dynamics"] > 0.9
    crushed = signals.limited(signals.mix(), 30)
    assert score(Features(crushed)).measured["check_dynamics"] < 0.5


def test_the_loop_point_is_judged_only_where_a_loop_was_asked():
    rising = Audio(signals.mix().samples * np.linspace(0.02, 1, 8 * signals.RATE), signals.RATE)
    assert "check_loop" not in judged(rising).measured
    asked = Brief("drums", "rock", seconds=8.0, loop=True)
    assert (
        judged(rising, asked).measured["check_loop"]
        < judged(signals.mix(), asked).measured["check_loop"]
    )
