"""The teacher: deterministic, bounded, on the beat, and in the key it was asked for."""

import numpy as np
import pytest

from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES
from audioforge.generation.request import Clip, GenerationRequest
from audioforge.generation.synth import RENDERERS, render
from audioforge.generation.synth_backend import SynthBackend


def brief_of(name, **fields):
    return Brief(FAMILIES[name].category, name, **{"seconds": 4.0, **fields})


def test_every_family_has_a_renderer():
    assert set(RENDERERS) == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_clip_is_stereo_of_the_asked_length_at_minus_one_dbfs(name):
    clip = render(brief_of(name, seconds=2.5), seed=3)
    assert clip.samples.shape == (2, 110_250)
    assert np.abs(clip.samples).max() == pytest.approx(0.89, abs=1e-3)
    assert np.abs(clip.samples.mean(1)).max() < 0.01


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_seed_gives_the_same_samples_and_another_does_not(name):
    first, again, other = (render(brief_of(name), seed, 16_000).samples for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("bpm", [84, 112, 140])
def test_kicks_fall_on_the_asked_beats(bpm):
    clip = render(brief_of("techno", bpm=float(bpm)), seed=5, sample_rate=16_000)
    level = np.abs(clip.samples.mean(0)).reshape(-1, 160).max(1)  # 10 ms frames
    beats = np.arange(1, int(4 * bpm / 60)) * 60 / bpm
    on = np.mean([level[int(b * 100) : int(b * 100) + 3].max() for b in beats])
    off = np.mean([level[int((b - 0.08) * 100)] for b in beats])
    assert on > 2 * off


@pytest.mark.parametrize(
    ("key", "hz"), [("A minor", 440.0), ("C major", 523.25), ("E minor", 659.26)]
)
def test_the_organ_plays_the_asked_root(key, hz):
    clip = render(brief_of("organ", key=key), seed=1, sample_rate=16_000)
    spectrum = np.abs(np.fft.rfft(clip.samples.mean(0)))
    bins = np.arange(spectrum.size) / clip.seconds
    near = spectrum[(np.abs(bins - hz) < 4) | (np.abs(bins - hz / 2) < 4)].max()
    wrong = spectrum[np.abs(bins - hz * 2 ** (1 / 12)) < 3].max()
    assert near > 20 * wrong


@pytest.mark.parametrize("name", ["techno", "chords", "rain"])
def test_dark_has_less_treble_than_bright(name):
    def treble(brightness):
        clip = render(brief_of(name, brightness=brightness), seed=2)
        power = np.abs(np.fft.rfft(clip.samples[0])) ** 2
        return power[int(2_000 * clip.seconds) :].sum() / power.sum()

    assert treble("bright") > 3 * treble("dark")


def test_the_synth_backend_reads_the_prompt():
    request = GenerationRequest("128 bpm techno drum loop", 2.0, seed=9)
    (clip,) = SynthBackend().generate([request])
    assert isinstance(clip, Clip)
    expected = render(Brief("drums", "techno", 2.0, bpm=128.0, loop=True), 9)
    assert np.array_equal(clip.audio.samples, expected.samples)


def test_the_synth_backend_refuses_what_is_too_long():
    (failed,) = SynthBackend().generate([GenerationRequest("rain", 100.0, seed=1)])
    assert failed.kind == "invalid"
