"""Stable Audio pipelines of diffusers, tiny and with random weights, as a backend."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import torch
from tiny_pipelines import RATE, first_pipeline, third_pipeline

pytest.importorskip("diffusers")

from audioforge.generation import diffusers_load
from audioforge.generation.diffusers_backend import DiffusersBackend
from audioforge.generation.registry import load_backend
from audioforge.generation.request import Clip, Failure, GenerationRequest, InitAudio
from audioforge.generation.sat_imports import quiet
from audioforge.utils.audio_processing import Audio


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Saved pipelines by name; weights that start at zero would hide every input."""
    made = {}
    with torch.random.fork_rng(), quiet():
        for name, build in (("first", first_pipeline), ("third", third_pipeline)):
            torch.manual_seed(0)
            pipeline = build()
            for module in (pipeline.transformer, pipeline.vae):
                for weight in module.parameters():
                    if not weight.any():
                        torch.nn.init.normal_(weight, std=0.05)
            made[name] = tmp_path_factory.mktemp(name)
            pipeline.save_pretrained(made[name])
    return made


@pytest.fixture(scope="module")
def backends(folders):
    return {name: load_backend(str(folder), "cpu") for name, folder in folders.items()}


def asked(name, count=5):
    """Requests of which some share what a pipeline takes once."""
    sampler = {"first": "dpmpp-2m-sde", "third": "pingpong"}[name]
    return [
        GenerationRequest(
            ("wind", "siren loop", "drums")[i % 3],
            (0.5, 0.25)[i // 3 % 2],
            i,
            3,
            (1.0, 3.0)[i % 2],
            sampler,
            negative_prompt="drums" if i == 1 else "",
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("name", ["first", "third"])
def test_a_folder_is_recognised_and_a_mixed_call_is_as_solo_calls(backends, name):
    backend = backends[name]
    assert isinstance(backend, DiffusersBackend)
    together = backend.generate(asked(name))
    for clip, request in zip(together, asked(name), strict=True):
        assert isinstance(clip, Clip)
        assert clip.request == request
        assert clip.audio.samples.shape == (2, round(request.seconds * RATE))
        (alone,) = backend.generate([request])
        assert np.abs(clip.audio.samples - alone.audio.samples).max() < 1e-5


@pytest.mark.parametrize("name", ["first", "third"])
def test_a_clip_is_what_the_pipeline_itself_makes(backends, name):
    backend = backends[name]
    request = asked(name)[1]
    length = {"first": "audio_end_in_s", "third": "duration"}[name]
    with quiet():
        expected = backend.pipeline(
            request.prompt,
            num_inference_steps=request.steps,
            guidance_scale=request.cfg_scale,
            negative_prompt=request.negative_prompt,
            generator=torch.Generator().manual_seed(request.seed),
            **{length: request.seconds},
        ).audios[0]
    (clip,) = backend.generate([request])
    assert np.abs(clip.audio.samples - expected.numpy()).max() < 1e-5


def test_prompt_seed_cfg_and_negative_prompt_all_matter(backends):
    base = dataclasses.replace(asked("third")[0], cfg_scale=4.0)
    changes = [{"prompt": "siren"}, {"seed": 9}, {"cfg_scale": 1.0}, {"negative_prompt": "siren"}]
    requests = [base, *(dataclasses.replace(base, **c) for c in changes)]
    sounds = {clip.sha256 for clip in backends["third"].generate(requests)}
    assert len(sounds) == len(requests)


def sound():
    time = np.arange(RATE) / RATE
    return Audio(np.sin(2 * np.pi * 220 * time)[None].astype(np.float32) / 2, RATE)


def test_variations_and_remakes_in_one_call_equal_the_pipelines_of_diffusers(backends):
    backend = backends["third"]
    plain = dataclasses.replace(asked("third")[0], seconds=0.512)
    vary = dataclasses.replace(plain, init_audio=InitAudio(sound(), strength=0.4))
    remake = dataclasses.replace(
        plain, init_audio=InitAudio(sound(), use="remake", remake=((0.0, 0.256),))
    )
    clips = backend.generate([vary, remake, plain])
    wave = torch.from_numpy(sound().samples[:, : round(0.512 * RATE)].copy())
    wave = wave.expand(2, -1)[None]
    told = {"prompt": plain.prompt, "duration": 0.512, "audio": wave, "num_inference_steps": 3}
    with quiet():
        varied = backend._by_use["vary"](
            **told, init_noise_level=0.4, generator=torch.Generator().manual_seed(0)
        ).audios[0]
        remade = backend._by_use["remake"](
            **told,
            mask_start_seconds=0.0,
            mask_end_seconds=0.256,
            generator=torch.Generator().manual_seed(0),
        ).audios[0]
    assert np.abs(clips[0].audio.samples - varied.numpy()).max() < 1e-5
    assert np.abs(clips[1].audio.samples - remade.numpy()).max() < 1e-5
    assert len({clip.sha256 for clip in clips}) == 3


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("first", {"init_audio": InitAudio(sound())}, "init_audio must be of a use"),
        ("first", {"sampler": "euler"}, "sampler must be one of ['dpmpp-2m-sde']"),
        ("third", {"seconds": 3.0}, "seconds must be at most 2, got 3"),
        ("third", {"cfg_scale": 0.5}, "cfg_scale must be at least 1"),
        ("third", {"cfg_scale": 2.0, "init_audio": InitAudio(sound())}, "without guidance"),
        ("third", {"sigma_max": 0.5}, "this model takes no sigma_max"),
    ],
)
def test_what_a_pipeline_cannot_do_is_a_failure_and_spares_its_neighbours(
    backends, name, change, words
):
    good = asked(name)[0]
    failed, made = backends[name].generate([dataclasses.replace(good, **change), good])
    assert isinstance(failed, Failure)
    assert words in failed.message
    assert isinstance(made, Clip)


def test_the_capabilities_say_what_the_pipelines_can(backends):
    first, third = backends["first"].capabilities, backends["third"].capabilities
    assert (first.init_audio, third.init_audio) == ((), ("vary", "remake"))
    assert first.max_seconds == pytest.approx(256 * 32 / RATE)
    assert third.max_seconds == pytest.approx(2.0)
    assert third.recommended.steps == 8
    assert first.model_mb > 0
    assert third.clip_mb > 0


def test_global_random_state_and_stdout_are_left_alone(backends, capfd):
    before = torch.get_rng_state()
    for name, backend in backends.items():
        backend.generate(asked(name, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert capfd.readouterr() == ("", "")


def test_another_pipeline_or_pickled_weights_are_one_clear_error(folders, tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(ValueError, match="pipeline must be one of"):
        load_backend(str(tmp_path), "cpu")
    index = (folders["third"] / "model_index.json").read_text()
    (tmp_path / "model_index.json").write_text(index)
    for part in folders["third"].rglob("*"):
        if part.suffix in (".json", ".txt") and part.parent != folders["third"]:
            copy = tmp_path / part.relative_to(folders["third"])
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(part.read_bytes())
    torch.save({}, tmp_path / "transformer" / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match="not a usable StableAudio3Pipeline in safetensors"):
        load_backend(str(tmp_path), "cpu")


def test_without_diffusers_one_line_names_the_command(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ImportError, match=r"pip install diffusers==0\.42\.1"):
        diffusers_load.load(str(folders["third"]), "third", "cpu")
