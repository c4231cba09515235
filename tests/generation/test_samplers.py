"""Every sampler of every objective in one mixed batch, against upstream's solo calls."""

import dataclasses
import re
import shutil

import numpy as np
import pytest
import torch

from audioforge.generation import rf_sampler, v_sampler
from audioforge.generation.registry import load_backend
from audioforge.generation.request import Failure, GenerationRequest, InitAudio
from audioforge.utils.audio_processing import Audio

RF_TOLERANCE = 1e-5
V_TOLERANCE = 1e-5
"""Largest difference, as a share of the largest latent (or of 1): float32 rounding of noise that
starts 500 times louder than the latents."""
LEAP_TOLERANCE = 1e-3
"""With three steps or fewer, leaps from 500 to 0.3 amplify that rounding."""
SIGMAS = {"sigma_min": 0.3, "sigma_max": 500.0}


def mixed(samplers, **more):
    """One request per sampler: own prompt, steps, cfg and seed."""
    return [
        GenerationRequest(
            f"{word} loop at {90 + i} bpm",
            1.0,
            100 + i,
            3 + i % 4,
            (1.0, 3.0, 0.5)[i % 3],
            sampler,
            negative_prompt="drums" if i % 2 else "",
            **more,
        )
        for i, (sampler, word) in enumerate(
            zip(samplers, ["techno", "wind", "drone", "siren"] * 4, strict=False)
        )
    ]


def apart(made, expected):
    """The largest difference, as a share of the largest latent."""
    return float((made - expected).abs().max() / expected.abs().max().clamp(min=1))


def furthest(backend, requests, upstream, **more):
    """How far our batch is from solo calls, per sampler."""
    ours = backend.latents(requests)
    return {
        request.sampler: apart(made, upstream(backend, request, **more)[0])
        for made, request in zip(ours, requests, strict=True)
    }


@pytest.mark.parametrize("objective", ["rectified_flow", "rf_denoiser"])
def test_every_rectified_flow_sampler_equals_solo_upstream_calls(
    small_backend, upstream, objective
):
    backend = small_backend(objective)
    found = furthest(backend, mixed(backend.capabilities.samplers), upstream)
    assert max(found.values()) < RF_TOLERANCE, found


def test_every_v_sampler_equals_solo_upstream_calls(small_backend, upstream):
    backend = small_backend("v")
    requests = mixed(v_sampler.SAMPLERS)
    found = furthest(backend, requests, upstream, **SIGMAS)
    assert set(found) == set(backend.capabilities.samplers)
    assert max(found.values()) < V_TOLERANCE, found


@pytest.mark.parametrize("sampler", rf_sampler.SAMPLERS)
def test_one_step_alone_equals_a_solo_upstream_call(small_backend, upstream, sampler):
    backend = small_backend("rectified_flow")
    (request,) = mixed([sampler])
    found = furthest(backend, [dataclasses.replace(request, steps=1)], upstream)
    assert found[sampler] < RF_TOLERANCE


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_equal_solo_upstream_calls(small_backend, upstream, steps):
    backend = small_backend("v")
    brownian = ("dpmpp-2m-sde", "dpmpp-3m-sde") if steps == 1 else ()  # upstream has no tree there
    samplers = [s for s in v_sampler.SAMPLERS if s not in brownian]
    requests = [dataclasses.replace(r, steps=steps) for r in mixed(samplers)]
    found = furthest(backend, requests, upstream, **SIGMAS)
    assert max(found.values()) < LEAP_TOLERANCE, found


def test_a_brownian_sampler_of_one_step_denoises_once(small_backend):
    backend = small_backend("v")
    (request,) = mixed(["dpmpp-3m-sde"])
    one = dataclasses.replace(request, steps=1)
    made = backend.latents([one, dataclasses.replace(one, sampler="dpmpp-2m")])
    assert apart(made[0], made[1]) < V_TOLERANCE


def test_every_request_has_its_own_noise_range(small_backend, upstream):
    backend = small_backend("v")
    ranges = [(0.01, 100.0), (0.5, 20.0), (1.0, 2.5)]
    requests = [
        dataclasses.replace(r, sigma_min=low, sigma_max=high)
        for r, (low, high) in zip(
            mixed(["dpmpp-2m-sde", "k-heun", "k-dpm-fast"]), ranges, strict=True
        )
    ]
    for request, made in zip(requests, backend.latents(requests), strict=True):
        solo = upstream(backend, request, sigma_min=request.sigma_min, sigma_max=request.sigma_max)
        assert apart(made, solo[0]) < V_TOLERANCE


def test_mates_change_nothing_but_rounding_and_the_batch_stays_full(small_backend):
    backend = small_backend("rectified_flow")
    requests = mixed(rf_sampler.SAMPLERS) * 5
    together = backend.latents(requests)
    shapes = []
    hook = backend.model.model.register_forward_pre_hook(
        lambda module, args: shapes.append(len(args[0]))
    )
    backend.max_rows, usual = 6, backend.max_rows
    try:
        narrow = backend.latents(requests)
    finally:
        backend.max_rows = usual
        hook.remove()
    assert (together - narrow).abs().max() < RF_TOLERANCE
    assert max(shapes) == 6
    assert min(shapes[: len(shapes) // 2]) >= 5


def test_one_by_one_a_clip_is_the_same_to_the_bit_whatever_its_mates(small_checkpoint):
    folder = small_checkpoint("rectified_flow")
    alone = load_backend(str(folder), "cpu", one_by_one=True)
    requests = [
        GenerationRequest("wind", 1.0, i, 3, 1.0 + i % 2, sampler)
        for i, sampler in enumerate(alone.capabilities.samplers)
    ]
    together = [clip.sha256 for clip in alone.generate(requests)]
    assert together == [alone.generate([r])[0].sha256 for r in requests]
    assert together == [c.sha256 for c in alone.generate(requests[::-1])][::-1]


def tone(rate=16_000, seconds=0.8, channels=1):
    time = np.arange(round(rate * seconds)) / rate
    wave = 0.5 * np.sin(2 * np.pi * 330 * time)
    return Audio(np.repeat(wave[None], channels, 0).astype(np.float32), rate)


def as_upstream(audio):
    return audio.sample_rate, torch.from_numpy(audio.samples.copy())


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("objective", ["rectified_flow", "v"])
def test_a_variation_equals_solo_upstream_calls(small_backend, upstream, objective, strength):
    backend = small_backend(objective)
    start = InitAudio(tone(channels=2), strength=strength)
    level = v_sampler.start_level(strength, 0.3, 500.0)
    for request in mixed(backend.capabilities.samplers, init_audio=start):
        linear = objective != "v" or request.sampler.startswith("v-ddim")
        solo = upstream(
            backend,
            request,
            init_audio=as_upstream(start.audio),
            init_noise_level=strength if linear else level,
            **({} if objective != "v" else {"sigma_min": 0.3}),
        )
        made = backend.latents([request])[0]
        assert apart(made, solo[0]) < V_TOLERANCE, request.sampler


def test_a_variation_among_others_is_as_alone(small_backend):
    backend = small_backend("rectified_flow")
    start = InitAudio(tone(rate=44_100, seconds=2.0), strength=0.5)
    requests = mixed(rf_sampler.SAMPLERS)
    requests[1] = dataclasses.replace(requests[1], init_audio=start)
    requests[2] = dataclasses.replace(requests[2], init_audio=start)
    together = backend.latents(requests)
    for i, request in enumerate(requests):
        assert (together[i] - backend.latents([request])[0]).abs().max() < RF_TOLERANCE


def test_less_strength_stays_closer_to_the_sound(small_backend):
    backend = small_backend("rectified_flow")
    near, far = (
        backend.generate(
            mixed(["euler"], init_audio=InitAudio(tone(seconds=1.0), strength=strength))
        )[0].audio.samples
        for strength in (0.05, 0.9)
    )
    plain = backend.generate(
        mixed(["euler"], init_audio=InitAudio(tone(seconds=1.0), strength=0.001))
    )[0].audio.samples
    assert np.abs(near - plain).mean() < 0.5 * np.abs(far - plain).mean()


@pytest.mark.parametrize("objective", ["rectified_flow", "v"])
def test_inpainting_equals_solo_upstream_calls(small_backend, upstream, objective):
    backend = small_backend(objective, inpaints=True)
    start = InitAudio(tone(), use="remake", remake=((0.1, 0.3), (0.5, 2.0)))
    samplers = backend.capabilities.samplers[:4]
    remade, plain = mixed(samplers, init_audio=start), mixed(samplers)
    mask = torch.ones(1, 16_384)
    mask[:, 1_600:4_800] = mask[:, 8_000:] = 0
    inpaint = {"inpaint_audio": as_upstream(start.audio), "inpaint_mask": mask}
    sigmas = SIGMAS if objective == "v" else {}
    ours = backend.latents(remade + plain)
    for made, request in zip(ours, remade + plain, strict=True):
        more = inpaint if request.init_audio else {}
        solo = upstream(backend, request, **sigmas, **more)
        assert apart(made, solo[0]) < V_TOLERANCE, request.sampler
    assert (ours[0] - ours[len(samplers)]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampler": "k-dpm-adaptive"}, "sampler must be one of"),
        ({"sampler": "euler"}, "sampler must be one of"),
        ({"sigma_max": 1.0}, r"sigma_max must be in \[2, 1000\]"),
        ({"sigma_min": 1.5}, r"sigma_min must be in \[0.001, 1\]"),
        (
            {"sigma_max": 5.0, "init_audio": InitAudio(tone())},
            "leave sigma_max out",
        ),
        (
            {"init_audio": InitAudio(tone(), use="remake", remake=((0.0, 0.5),))},
            r"init_audio must be of a use this model knows \(\['vary'\]\)",
        ),
    ],
)
def test_what_an_objective_cannot_do_is_one_clear_line(small_backend, change, words):
    (request,) = mixed(["k-heun"])
    (failed,) = small_backend("v").generate([dataclasses.replace(request, **change)])
    assert isinstance(failed, Failure)
    assert re.search(words, failed.message)


def test_a_stretch_to_remake_lies_within_the_clip(small_backend):
    start = InitAudio(tone(), use="remake", remake=((0.5, 0.6),))
    request = GenerationRequest("siren", 0.4, 1, init_audio=start, sampler="euler")
    (failed,) = small_backend("rectified_flow", inpaints=True).generate([request])
    assert "remake must begin within the 0.4 s of the clip, got 0.5 s" in failed.message


def test_a_card_narrows_the_samplers_on_offer(small_checkpoint, tmp_path):
    folder = shutil.copytree(small_checkpoint("rectified_flow"), tmp_path / "model")
    (folder / "audioforge.json").write_text('{"samplers": ["euler"]}')
    backend = load_backend(str(folder), "cpu")
    assert backend.capabilities.samplers == ("euler",)
    assert isinstance(backend.generate(mixed(["rk4"]))[0], Failure)


def test_an_unknown_v_sampler_has_no_program():
    with pytest.raises(ValueError, match="sampler must be one of"):
        v_sampler.program("euler", 4, 0.3, 500.0)
