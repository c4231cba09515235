import numpy as np
import pytest
import signals

from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES
from audioforge.generation.synth import render
from audioforge.reward_functions.tempo import match_tempo
from audioforge.utils.audio_processing import Audio, repeat, resample
from audioforge.utils.spectral_analysis import Features

RELATED = (0.25, 1 / 3, 0.5, 2 / 3, 0.75, 1, 4 / 3, 1.5, 2, 3, 4)


def decoys(bpm, rng, count=20):
    drawn = rng.uniform(50, 200, 2000)
    far = np.all(np.abs(drawn[:, None] / (bpm * np.array(RELATED)) - 1) > 0.08, axis=1)
    return drawn[far][:count]


def share_beating_decoys(clips):
    rng = np.random.default_rng(0)
    beaten = [
        match_tempo(f, bpm).score > np.median(scores) + 0.2
        and (match_tempo(f, bpm).score > scores).mean() >= 0.95
        for f, bpm in clips
        for scores in [np.array([match_tempo(f, d).score for d in decoys(bpm, rng)])]
    ]
    return np.mean(beaten)


def test_the_asked_tempo_beats_unrelated_ones_on_renders_at_16_khz_mono():
    rng = np.random.default_rng(4)
    clips = []
    for family in FAMILIES.values():
        if family.bpm:
            bpm = float(rng.integers(75, 170))
            clip = render(
                Brief(family.category, family.name, seconds=4.0, bpm=bpm), int(rng.integers(1000))
            )
            mono = Audio(resample(clip, 16_000).samples.mean(0, keepdims=True), 16_000)
            clips.append((Features(mono), bpm))
    assert share_beating_decoys(clips) >= 0.8


def test_the_labelled_tempo_beats_unrelated_ones_on_real_loops():
    clips = [
        (Features(repeat(a, 12.0) if kind == "loop" else a), bpm)
        for _, kind, bpm, a in signals.real_clips()
        if bpm
    ]
    if not clips:
        pytest.skip("no real audio here")
    assert share_beating_decoys(clips) >= 0.85


@pytest.mark.parametrize(
    "name",
    [
        "digital silence",
        "white noise, same on both sides",
        "pink noise",
        "triad drone",
        "detuned saw drone",
        "log sweep",
        "sine",
    ],
)
def test_what_has_no_pulse_earns_nothing_at_any_tempo(name):
    features = Features(signals.adversarial()[name][0])
    assert max(match_tempo(features, bpm).score for bpm in range(40, 241, 4)) <= 0.1


def test_half_and_double_earn_part_and_other_tempi_little():
    features = Features(signals.kicks(120.0))
    assert match_tempo(features, 120).score > 0.95
    assert match_tempo(features, 60).score >= 0.5
    assert 0.5 <= match_tempo(features, 240).score <= 0.7
    assert match_tempo(features, 87).score < 0.1


@pytest.mark.parametrize("family", ["house", "techno", "rock", "hiphop", "breakbeat"])
def test_a_slower_tempo_must_explain_the_faster_pulse(family):
    features = Features(render(Brief("drums", family, seconds=8.0, bpm=125), 3))
    own = match_tempo(features, 125).score
    assert own > 0.9
    assert match_tempo(features, 125 * 2 / 5).score < 0.7 * own
    assert match_tempo(features, 62.5).score >= 0.6  # half of it does explain it


def test_a_shift_hardly_moves_the_score():
    base = signals.mix()
    shifted = Audio(base.samples[:, 2205:], base.sample_rate)
    assert match_tempo(Features(shifted), 118).score == pytest.approx(
        match_tempo(Features(base), 118).score, abs=0.03
    )
