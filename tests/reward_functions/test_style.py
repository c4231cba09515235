import numpy as np
import pytest
import signals

from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES
from audioforge.generation.synth import render
from audioforge.reward_functions import creativity, style_consistency
from audioforge.reward_functions.fingerprint import copy_similarity, fingerprint
from audioforge.utils.audio_processing import Audio, resample
from audioforge.utils.spectral_analysis import Features

STYLED = ("breakbeat", "tribal", "rain", "drone", "flute", "melody", "siren", "guitar")


def clip(name, seed):
    return render(Brief(FAMILIES[name].category, name, seconds=4.0), seed)


@pytest.fixture(scope="module")
def sets():
    return {
        name: style_consistency.reference_set([Features(clip(name, 60 + i)) for i in range(4)])
        for name in STYLED
    }


def test_another_clip_of_the_family_beats_every_other_family(sets):
    for name in STYLED:
        own = style_consistency.score(Features(clip(name, 900)), sets[name]).value
        others = [
            style_consistency.score(Features(clip(other, 900)), sets[name]).value
            for other in STYLED
            if other != name
        ]
        assert own > max(others) + 0.15, name
        assert own >= 0.5, name


def copies():
    return {
        "the same bytes": lambda a: a,
        "shifted": lambda a: Audio(a.samples[:, 8_000:], a.sample_rate),
        "with noise 60 dB down": lambda a: Audio(
            a.samples + 1e-3 * np.random.default_rng(0).standard_normal(a.samples.shape),
            a.sample_rate,
        ),
        "a semitone faster": signals.resampled_copy,
        "a semitone slower": lambda a: signals.resampled_copy(a, 2 ** (-1 / 12)),
        "reversed": lambda a: Audio(a.samples[:, ::-1], a.sample_rate),
        "16 kHz mono": lambda a: Audio(resample(a, 16_000).samples.mean(0, keepdims=True), 16_000),
        "6 dB quieter, sides swapped": lambda a: Audio(a.samples[::-1] * 0.5, a.sample_rate),
    }


@pytest.mark.parametrize("how", list(copies()))
def test_a_copy_of_a_reference_earns_little_style(sets, how):
    change = copies()[how]
    for name in ("flute", "siren", "melody"):
        honest = style_consistency.score(Features(clip(name, 900)), sets[name]).value
        copied = style_consistency.score(Features(change(clip(name, 61))), sets[name])
        assert copied.value <= 0.5 * honest, (name, copied.reason)


def test_a_copy_of_real_music_is_found_and_other_music_is_not():
    music = signals.real_music()
    if not music:
        pytest.skip("no real audio here")
    marks = [fingerprint(Features(a)) for a in music]
    for how, change in copies().items():
        assert copy_similarity(fingerprint(Features(change(music[-1]))), marks[-1]) > 0.9, how
    strangers = [
        copy_similarity(marks[i], marks[j]) for i in range(0, len(marks), 3) for j in range(1, i, 3)
    ]
    assert np.percentile(strangers, 95) < 0.8


def test_a_reference_given_twice_does_not_make_copying_legitimate():
    own = [Features(clip("melody", 60 + i)) for i in (0, 1, 2, 1)]
    known = style_consistency.reference_set(own)
    assert known is not None
    assert len(known.marks) == 3
    assert style_consistency.score(Features(clip("melody", 61)), known).value < 0.1


def test_similarity_is_symmetric():
    a, b = (fingerprint(Features(clip("melody", s))) for s in (1, 2))
    assert copy_similarity(a, b) == pytest.approx(copy_similarity(b, a), abs=0.02)


def test_no_references_is_unscored():
    assert not style_consistency.score(Features(clip("rain", 1)), None).scored
    assert style_consistency.reference_set([Features(signals.silence())]) is None


def test_repeating_oneself_earns_less_than_something_new_and_low_quality_earns_nothing():
    own = creativity.vector(Features(clip("melody", 5)))
    twin = creativity.vector(Features(clip("melody", 5)))
    other = creativity.vector(Features(clip("organ", 6)))
    repeated, fresh = (
        creativity.score(own, [twin], None, 0.8),
        creativity.score(own, [other], None, 0.8),
    )
    assert repeated.value <= 0.25
    assert fresh.value > 0.9
    assert creativity.score(own, [other], None, 0.2).value == 0
    assert 0 < creativity.score(own, [other], None, 0.4).value < fresh.value


def test_novelty_without_history_is_unscored():
    assert not creativity.score(
        creativity.vector(Features(clip("melody", 5))), [], None, 1.0
    ).scored
    assert not creativity.score(
        creativity.vector(Features(signals.silence())), [np.ones(3)], None, 1.0
    ).scored
