"""What the engine relies on in both kinds of model: memory errors reach it, rows are counted."""

import asyncio

import pytest
import torch

from audioforge.generation.engine import Engine
from audioforge.generation.registry import load_backend
from audioforge.generation.request import Clip, GenerationRequest

DIFFUSION = [
    GenerationRequest("techno drum loop at 128 bpm", 1.0, 1, 4, 3.0, "dpmpp"),
    GenerationRequest("howling wind", 2.0, 2, 3, 1.0, "pingpong"),
    GenerationRequest("dark drone", 1.0, 3, 2, 1.0, "euler"),
    GenerationRequest("siren", 0.5, 4, 1, 2.0, "euler", negative_prompt="drums"),
]
TOKENS = [
    GenerationRequest("c sharp note, piano", 0.5, 1, 1, 3.0, "sample"),
    GenerationRequest("techno beat, 128 bpm", 0.2, 2, 1, 1.0, "sample"),
    GenerationRequest("d minor chord, guitar", 0.04, 3, 1, 1.0, "sample"),
    GenerationRequest("house beat, 120 bpm", 0.5, 4, 1, 2.0, "sample", negative_prompt="flute"),
]
MODELS = {"tiny-stable-audio": (DIFFUSION, "latents"), "tiny-musicgen": (TOKENS, "tokens")}


@pytest.fixture(params=MODELS)
def model(request):
    """Backend, requests for it, and the name of the method that runs its model."""
    return load_backend(request.param, "cpu"), *MODELS[request.param]


def made(backend, requests):
    """What the engine makes of requests, and its metrics."""

    async def run():
        async with Engine.in_process(backend) as engine:
            return await engine.generate(requests), engine.metrics()

    return asyncio.run(run())


def test_out_of_memory_is_the_engines_to_handle_and_no_clip_is_lost(model, monkeypatch):
    backend, requests, runs = model
    whole, sizes = getattr(backend, runs), []

    def tight(some):
        sizes.append(len(some))
        if len(some) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(some)

    monkeypatch.setattr(backend, runs, tight)
    clips, _ = made(backend, requests)
    assert all(isinstance(c, Clip) for c in clips)
    assert sizes == [4, 2, 1, 1, 1, 1]


def test_a_request_too_large_for_memory_alone_is_a_failure(model, monkeypatch):
    backend, requests, runs = model

    def never(some):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(backend, runs, never)
    clips, _ = made(backend, requests[:2])
    assert [c.kind for c in clips] == ["memory", "memory"]


def test_rows_of_a_diffusion_model_are_steps_and_twice_as_many_with_guidance():
    _, metrics = made(load_backend("tiny-stable-audio", "cpu"), DIFFUSION)
    assert metrics.row_evaluations == 2 * 4 + 3 + 2 + 2 * 1


def test_rows_of_a_token_model_are_frames_and_their_delay_and_twice_as_many_with_guidance():
    backend = load_backend("tiny-musicgen", "cpu")
    _, metrics = made(backend, TOKENS)
    # 25 frames a second, and the last of four codebooks comes three positions late
    frames = [backend.codec.frames(r.seconds) for r in TOKENS]
    assert frames == [13, 5, 1, 13]
    assert metrics.row_evaluations == 2 * (13 + 3) + (5 + 3) + (1 + 3) + 2 * (13 + 3)


def test_a_longer_clip_is_counted_window_by_window():
    backend = load_backend("tiny-musicgen", "cpu")
    backend.window, backend.overlap = 10, 4
    backend.generate([GenerationRequest("a note, flute", 0.6, 1, 1, 1.0, "sample")])
    # 15 frames: ten, then five that start from the last four; three positions late each time
    assert backend.row_evaluations == (10 + 3) + (5 + 3)
