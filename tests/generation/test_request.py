"""Requests are validated once, equal requests have equal keys, and models are found by name."""

import dataclasses

import pytest
import signals

from audioforge.generation.registry import load_backend
from audioforge.generation.request import GenerationRequest, InitAudio

PLAIN = GenerationRequest("techno beat", 4.0, seed=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": "x" * 1_001}, "prompt must be at most 1000 characters, got 1001"),
        ({"seconds": 0.0}, "seconds must be positive, got 0.0"),
        ({"seconds": float("nan")}, "seconds must be finite, got nan"),
        ({"cfg_scale": float("inf")}, "cfg_scale must be finite, got inf"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"seed": -1}, r"seed must be in \[0, 4294967295\], got -1"),
        ({"sigma_max": 0.0}, r"sigma_max must be in \(0, 1000\], got 0.0"),
        ({"sigma_min": 2e3}, r"sigma_min must be in \(0, 1000\], got 2000.0"),
        ({"top_p": 0.0}, r"top_p in \(0, 1\], got 1.0, 0 and 0.0"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(PLAIN, **change)


def test_the_key_tells_requests_apart():
    assert PLAIN.key == dataclasses.replace(PLAIN).key
    for change in ({"seed": 2}, {"steps": 9}, {"prompt": "rock beat"}, {"cfg_scale": 1.5}):
        assert dataclasses.replace(PLAIN, **change).key != PLAIN.key


@pytest.mark.parametrize("name", ["no-such-model", "./nowhere", "a/b/c"])
def test_an_unknown_model_is_one_clear_line(name):
    with pytest.raises(ValueError, match=r"no model .*: name synth, tiny-stable-audio, a folder"):
        load_backend(name)


def test_a_hub_model_that_cannot_be_had_is_one_clear_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="cannot get nobody/nothing from the hub"):
        load_backend("nobody/nothing")


def test_an_unknown_device_is_one_clear_line():
    with pytest.raises(ValueError, match="device must be auto, cpu, cuda or cuda:N, got 'tpu'"):
        load_backend("tiny-stable-audio", "tpu")


def test_json_holds_what_differs_from_the_defaults_and_reads_back():
    told = dataclasses.replace(PLAIN, steps=9, sigma_max=0.7).to_json()
    assert told == {
        "prompt": "techno beat",
        "seconds": 4.0,
        "seed": 1,
        "steps": 9,
        "sigma_max": 0.7,
    }
    assert GenerationRequest.from_json(told).to_json() == told


def test_sound_to_start_from_counts_by_its_samples():
    first, same = (InitAudio(signals.sine(440.0, 0.1)) for _ in range(2))
    request = dataclasses.replace(PLAIN, init_audio=first)
    assert request.key == dataclasses.replace(PLAIN, init_audio=same).key != PLAIN.key
    for other in (InitAudio(signals.sine(441.0, 0.1)), InitAudio(first.audio, strength=0.5)):
        assert dataclasses.replace(PLAIN, init_audio=other).key != request.key
    with pytest.raises(ValueError, match="made anew from that sound"):
        GenerationRequest.from_json(request.to_json())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use": "mix"}, "use must be one of"),
        ({"strength": 0.0}, r"strength must be in \(0, 1\], got 0.0"),
        ({"use": "remake"}, "remake must name stretches"),
        ({"remake": ((0.0, 1.0),)}, "remake must name stretches"),
        ({"use": "remake", "remake": ((1.0, 0.5),)}, "pairs of 0 <= start < end"),
    ],
)
def test_sound_to_start_from_says_what_it_is_for(settings, words):
    with pytest.raises(ValueError, match=words):
        InitAudio(signals.sine(440.0, 0.1), **settings)
