"""Reference sets: measured once for equal sounds, without holding the sounds."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from audioforge.reward_functions import reference_sets
from audioforge.utils.audio_processing import Audio


@pytest.fixture
def measured(monkeypatch):
    """Count what is measured, with an empty memory."""
    calls = []
    inner = reference_sets.reference_set
    monkeypatch.setattr(reference_sets, "_sets", {})
    monkeypatch.setattr(
        reference_sets, "reference_set", lambda found: calls.append(len(found)) or inner(found)
    )
    return calls


def tones(*hertz):
    clock = np.arange(22_050) / 22_050
    return [Audio(np.sin(2 * np.pi * f * clock)[None], 22_050) for f in hertz]


def test_equal_sounds_are_measured_once(measured):
    first = reference_sets.known_set(tones(220, 330))
    assert reference_sets.known_set(tones(220, 330)) is first
    assert measured == [2]


def test_a_set_that_differs_by_a_sample_or_a_rate_is_another(measured):
    (tone,) = tones(220)
    samples = tone.samples.copy()
    samples[0, 500] += 1e-4
    for other in (tone, Audio(samples, 22_050), Audio(tone.samples, 44_100)):
        reference_sets.known_set([other])
    assert measured == [1, 1, 1]


def test_its_sounds_are_not_held(measured):
    kept = tones(220)
    alive = weakref.ref(kept[0])
    reference_sets.known_set(kept)
    kept.clear()
    gc.collect()
    assert alive() is None


def test_the_oldest_set_goes_when_there_are_too_many(measured, monkeypatch):
    monkeypatch.setattr(reference_sets, "MAX_SETS", 2)
    for hertz in (220, 330, 440, 440, 220):
        reference_sets.known_set(tones(hertz))
    assert len(measured) == 4


def test_threads_that_want_the_same_set_measure_it_once(measured):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: reference_sets.known_set(tones(220, 330)), range(8)))
    assert measured == [2]
    assert all(one is found[0] for one in found)
