"""Loudness, width, one-shot, pauses and elements: right on known sounds, told in words."""

import math

import numpy as np
import pytest
import signals

from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES
from audioforge.generation.synth import render
from audioforge.reward_functions.checks import compile_checks
from audioforge.reward_functions.element_checks import PRESENCE
from audioforge.utils.audio_processing import Audio
from audioforge.utils.spectral_analysis import Features


def checked(audio, name, asked):
    outcomes = compile_checks(Features(audio), Brief("drums", **{name: asked}))
    return next(o for o in outcomes if o.name == name)


def bursts(*starts, seconds=3.0, rate=22_050):
    """Decaying noise at some moments."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(1).standard_normal(t.size)
    level = sum(np.where(t >= s, np.exp(-9 * np.maximum(t - s, 0)), 0) for s in starts)
    return Audio((0.3 * noise * level)[None], rate)


def test_loudness_is_full_inside_the_window_and_falls_outside():
    quiet = Audio(0.1 * signals.mix().samples, 44_100)
    heard = Features(quiet).lufs
    assert checked(quiet, "loudness_lufs", (heard - 2, heard + 2)).score == 1
    assert 0 < checked(quiet, "loudness_lufs", (heard + 3, heard + 6)).score < 1
    louder = checked(quiet, "loudness_lufs", (heard + 9, -5.0))
    assert louder.score == 0
    assert f"heard {heard:.1f}" in louder.words


def test_loudness_range_tells_steady_from_swelling_and_needs_three_seconds():
    steady = Audio(np.tile(signals.mix().samples, 2), 44_100)
    gain = 10 ** (np.linspace(-24, 0, steady.samples.shape[1]) / 20)
    swelling = Audio(steady.samples * gain, 44_100)
    assert checked(steady, "loudness_range_lu", (0.0, 4.0)).score == 1
    assert checked(swelling, "loudness_range_lu", (0.0, 4.0)).score == 0
    assert checked(swelling, "loudness_range_lu", (12.0, 25.0)).score == 1
    short = checked(Audio(steady.samples[:, :44_100], 44_100), "loudness_range_lu", (0.0, 4.0))
    assert math.isnan(short.score)
    assert short.confidence == 0


def test_width_is_told_and_one_channel_is_not_judged_for_width():
    rng = np.random.default_rng(2)
    mid, side = rng.standard_normal((2, 44_100)) * 0.1
    share = {"mono": 0.0, "narrow": 0.25, "wide": 0.7}
    for asked in share:
        for name, gain in share.items():
            made = Audio(np.stack([mid + gain * side, mid - gain * side]), 44_100)
            passed = checked(made, "stereo", asked).passed
            assert passed == (asked == name), (asked, name)
    antiphase = Audio(np.stack([side, -side]), 44_100)
    assert checked(antiphase, "stereo", "wide").score == 0
    assert checked(Audio(mid[None], 44_100), "stereo", "wide").passed is None
    assert checked(Audio(mid[None], 44_100), "stereo", "mono").passed


def test_one_event_is_told_from_several_and_from_steady_sound():
    steady = signals.white()
    assert checked(bursts(0.1), "one_shot", True).score > 0.9
    assert checked(bursts(0.1, 0.8, 1.5, 2.2), "one_shot", True).score < 0.1
    assert checked(bursts(0.1, 0.8, 1.5, 2.2), "one_shot", False).score > 0.9
    assert checked(steady, "one_shot", True).score < 0.1


def test_real_one_shots_are_told_from_real_loops():
    if not signals.real_clips():
        pytest.skip("no real audio here")
    values = {True: [], False: []}
    for _, category, _, audio in signals.real_clips():
        if category in ("drum", "instrument", "loop") and audio.seconds >= 0.3:
            values[category != "loop"].append(checked(audio, "one_shot", True).score)
    above = [np.mean(np.array(values[False]) < one) for one in values[True]]
    assert np.mean(above) > 0.85


def test_pauses_are_told_from_sound_without_gaps():
    holed = signals.white().samples.copy()
    holed[:, 60_000:90_000] = 0
    for audio, whole in ((signals.white(), True), (Audio(holed, 44_100), False)):
        assert checked(audio, "gapless", True).passed is whole
        assert checked(audio, "gapless", False).passed is not whole
    late = np.pad(signals.white().samples, ((0, 0), (44_100, 0)))
    assert checked(Audio(late, 44_100), "gapless", True).score == 0


ELEMENTS = {
    "bass": (("techno", "trap", "bass", "bassline", "drone"), ("flute", "organ", "rain", "melody")),
    "treble": (("breakbeat", "rock", "rain", "waves"), ("tribal", "bass", "drone", "bassline")),
    "tones": (("organ", "flute", "piano", "chords", "drone"), ("rain", "wind", "waves", "riser")),
    "noise": (("rain", "wind", "waves", "riser"), ("organ", "piano", "bell", "chords", "melody")),
}


@pytest.mark.parametrize("element", PRESENCE)
def test_elements_are_heard_where_they_are_and_not_where_they_are_not(element):
    present, absent = ELEMENTS[element]
    for names, there in ((present, True), (absent, False)):
        for name in names:
            family = FAMILIES[name]
            clip = render(Brief(family.category, name, seconds=4.0), 930_000)
            assert checked(clip, "required", (element,)).passed is there, name
            assert checked(clip, "forbidden", (element,)).passed is not there, name


def test_the_weakest_of_several_elements_decides_and_is_named():
    rain = render(Brief("ambient", "rain", seconds=2.0), 1)
    outcome = checked(rain, "required", ("noise", "bass"))
    assert outcome.passed is False
    assert "hardly any bass" in outcome.words


@pytest.mark.parametrize(
    "fields",
    [
        {"loudness_lufs": (-10.0, -20.0)},
        {"loudness_lufs": (-90.0, -20.0)},
        {"loudness_range_lu": (5.0, 99.0)},
        {"stereo": "huge"},
        {"required": ()},
        {"forbidden": ("drums",)},
        {"required": ("bass",), "forbidden": ("bass", "noise")},
    ],
)
def test_a_brief_that_cannot_be_is_refused(fields):
    with pytest.raises(ValueError, match="must"):
        Brief("drums", **fields)
