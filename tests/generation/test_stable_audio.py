"""The Stable Audio backend against upstream's own sampling, and its promises about batches."""

import dataclasses
import json
import random

import numpy as np
import pytest
import torch

from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.generation.rf_sampler import program
from audioforge.generation.stable_audio import StableAudioBackend

MIXED = [
    GenerationRequest("techno drum loop at 128 bpm", 4.0, 11, 4, 3.0, "euler"),
    GenerationRequest("howling wind", 2.0, 12, 8, 1.0, "pingpong"),
    GenerationRequest("dark drone in a minor", 4.0, 13, 6, 5.0, "dpmpp", negative_prompt="drums"),
    GenerationRequest("", 1.0, 14, 3, 2.0, "pingpong"),
    GenerationRequest("laser zaps", 3.0, 15, 1, 0.5, "dpmpp"),
    GenerationRequest("siren", 3.0, 16, 5, 1.0, "euler", sigma_max=0.7),
]


def test_a_mixed_batch_equals_solo_upstream_calls(backend, upstream):
    ours = backend.latents(MIXED)
    for made, request in zip(ours, MIXED, strict=True):
        assert (made - upstream(backend, request)[0]).abs().max() < 1e-5


def test_prompts_and_negative_prompts_change_the_latents(backend):
    request = GenerationRequest("dark drone", 4.0, 13, 4, 5.0, "euler")
    other = dataclasses.replace(request, prompt="siren")
    negative = dataclasses.replace(request, negative_prompt="siren")
    first, second, third = backend.latents([request, other, negative])
    assert (first - second).abs().max() > 1e-3
    assert (first - third).abs().max() > 1e-3


def test_the_same_batch_twice_is_bit_identical(backend):
    first = [clip.sha256 for clip in backend.generate(MIXED)]
    assert first == [clip.sha256 for clip in backend.generate(MIXED)]


def test_a_clip_has_the_asked_length_and_layout(backend):
    for clip, request in zip(backend.generate(MIXED), MIXED, strict=True):
        assert isinstance(clip, Clip)
        assert clip.audio.samples.shape == (1, round(request.seconds * 16_000))


@pytest.mark.parametrize(("level", "peak"), [(0.25, 0.25), (1.0, 1.0), (3.0, 1.0)])
def test_a_clip_beyond_full_scale_is_scaled_down_and_keeps_its_shape(
    backend, monkeypatch, level, peak
):
    wave = level * torch.sin(torch.linspace(0, 200, 16_000))[None]
    monkeypatch.setattr(backend, "latents", lambda requests: torch.zeros(1))
    monkeypatch.setattr(backend, "_decode", lambda latents: [wave])
    (clip,) = backend.generate([GenerationRequest("", 1.0, 0)])
    assert np.abs(clip.audio.samples).max() == pytest.approx(peak, abs=1e-3)
    assert np.corrcoef(clip.audio.samples[0], wave[0].numpy())[0, 1] > 0.999_999


def random_states():
    """The states a library could disturb; numpy's legacy one is what others seed."""
    legacy = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), legacy[1].tolist(), random.getstate()


def test_global_random_state_and_stdout_are_left_alone(backend, capfd):
    before = random_states()
    backend.generate(MIXED[:2])
    assert random_states() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seconds": 9.0}, "seconds must be at most 4.096, got 9"),
        ({"sampler": "k-heun"}, "sampler must be one of"),
        ({"steps": 5_000}, "steps must be at most 250, got 5000"),
        ({"cfg_scale": 99.0}, "cfg_scale must be in"),
    ],
)
def test_what_the_checkpoint_cannot_do_is_a_failure_and_spares_its_neighbours(
    backend, change, words
):
    bad = dataclasses.replace(MIXED[1], **change)
    failed, made = backend.generate([bad, MIXED[1]])
    assert isinstance(failed, Failure)
    assert words in failed.message
    assert isinstance(made, Clip)


def test_an_unknown_sampler_has_no_coefficients():
    with pytest.raises(ValueError, match="sampler must be one of"):
        program("heun", 4, warp=None)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (
            lambda folder: (folder / "model_config.json").write_text("{}"),
            "not a stable-audio-tools configuration",
        ),
        (
            lambda folder: (folder / "model_config.json").write_text("nonsense"),
            "not a stable-audio-tools",
        ),
    ],
)
def test_a_spoilt_checkpoint_is_one_clear_error(checkpoint, tmp_path, spoil, words):
    for part in ("model_config.json", "model.safetensors"):
        (tmp_path / part).write_bytes((checkpoint / part).read_bytes())
    spoil(tmp_path)
    with pytest.raises(ValueError, match=words):
        StableAudioBackend.load(str(tmp_path), name="spoilt")


def test_weights_that_do_not_fit_are_one_clear_error(checkpoint, tmp_path):
    config = json.loads((checkpoint / "model_config.json").read_text())
    config["model"]["diffusion"]["config"]["depth"] = 5
    tokenizer = config["model"]["conditioning"]["configs"][0]["config"]
    tokenizer["tokenizer_name"] = str(checkpoint / "tokenizer")
    (tmp_path / "model_config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"model.safetensors does not fit model_config.json"):
        StableAudioBackend.load(str(tmp_path), name="spoilt")
