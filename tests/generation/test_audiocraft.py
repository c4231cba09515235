"""The audiocraft adapter; skipped where audiocraft is not installed, but for the message.

To run it: install audiocraft as audiocraft_imports.INSTALL says, best in an environment of its own,
for it pins old packages; then `pytest tests/generation/test_audiocraft.py`.
"""

import dataclasses
import importlib.util

import numpy as np
import pytest
import torch

from audioforge.generation import audiocraft_imports
from audioforge.generation.registry import load_backend
from audioforge.generation.request import Clip, Failure, GenerationRequest, InitAudio
from audioforge.utils.audio_processing import Audio

needed = pytest.mark.skipif(
    importlib.util.find_spec("audiocraft") is None, reason="audiocraft is not installed"
)


def ask(prompt="rain", seconds=0.3, seed=1, cfg=3.0, **more):
    return GenerationRequest(prompt, seconds, seed, 1, cfg, "sample", **more)


@pytest.fixture(scope="module")
def backend():
    return load_backend("audiocraft:debug", "cpu")


def test_without_audiocraft_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(audiocraft_imports.importlib.util, "find_spec", lambda name: None)
    audiocraft_imports.audiocraft_musicgen.cache_clear()
    with pytest.raises(ImportError, match="audiocraft is not installed: pip install flashy"):
        load_backend("audiocraft:debug", "cpu")


@needed
@pytest.mark.parametrize("seconds", [0.1, 0.333])
def test_a_clip_has_the_asked_length(backend, seconds):
    (clip,) = backend.generate([ask(seconds=seconds)])
    assert isinstance(clip, Clip)
    assert clip.audio.samples.shape == (1, round(seconds * 32_000))


@needed
def test_a_clip_is_the_same_alone_and_in_company_and_the_global_state_is_left_alone(backend):
    before = torch.get_rng_state()
    first = backend.generate([ask(seed=1), ask(seed=2, temperature=0.5), ask(seed=1)])
    (alone,) = backend.generate([ask(seed=2, temperature=0.5)])
    assert first[1].sha256 == alone.sha256
    assert first[0].sha256 == first[2].sha256 != first[1].sha256
    assert torch.equal(torch.get_rng_state(), before)


@needed
@pytest.mark.parametrize(
    "change", [{"seed": 9}, {"temperature": 0.1}, {"top_k": 1}, {"top_p": 0.05}], ids=str
)
def test_knobs_reach_the_model(backend, change):
    first, second = backend.generate([ask(), dataclasses.replace(ask(), **change)])
    assert first.sha256 != second.sha256


@needed
def test_the_clip_holds_what_follows_the_sound(backend):
    sound = Audio(np.random.default_rng(0).normal(0, 0.1, (1, 16_000)), 32_000)
    (clip,) = backend.generate([ask(init_audio=InitAudio(sound, use="continue"))])
    assert isinstance(clip, Clip)
    assert clip.audio.samples.shape == (1, 9_600)


@needed
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"top_k": 5, "top_p": 0.5}, "by top_k or by top_p"),
        ({"negative_prompt": "hiss"}, "takes no negative prompt"),
        (
            {"init_audio": InitAudio(Audio(np.zeros((1, 9_000)), 32_000), use="melody")},
            "init_audio must be of a use",
        ),
    ],
    ids=["both", "negative", "melody"],
)
def test_what_the_model_cannot_do_is_said(backend, change, words):
    (failed,) = backend.generate([dataclasses.replace(ask(), **change)])
    assert isinstance(failed, Failure)
    assert words in failed.message
