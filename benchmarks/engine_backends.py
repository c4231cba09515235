"""Backends for benchmarks/engine.py: one that does nothing, one that fails in every way."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from audioforge.generation.backend import Capabilities, GenerationDefaults
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.utils.audio_processing import Audio

POISON = "poison"
FITS = 12
"""Requests that fit into the simulated memory at once."""
PASS_SECONDS = 0.02


class Nothing:
    """Answers every request with the same short silence: what is measured is the engine."""

    weights_sha256 = "nothing"
    capabilities = Capabilities(
        model="nothing",
        sample_rate=8_000,
        channels=1,
        max_seconds=10.0,
        steps=(1, 100),
        cfg_scale=(0.0, 10.0),
        samplers=("none",),
        negative_prompt=False,
        recommended=GenerationDefaults(1, 1.0, "none"),
        licence="MIT",
        note="For benchmarks.",
    )
    _silence = Audio(np.zeros((1, 80), np.float32), 8_000)

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Answer at once."""
        return [Clip(request, self._silence, 0.0) for request in requests]


class Noise(Nothing):
    """Makes noise that tells which request it was, in PASS_SECONDS; poison breaks it."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Make noise from the seed.

        Raises:
            MemoryError: more than FITS requests.
            RuntimeError: one of them is poison.
        """
        if len(requests) > FITS:
            raise MemoryError(f"{len(requests)} requests do not fit")
        if any(request.prompt == POISON for request in requests):
            raise RuntimeError("this request breaks the model")
        time.sleep(PASS_SECONDS)
        return [Clip(request, noise(request), 0.0) for request in requests]


def noise(request: GenerationRequest) -> Audio:
    """Return what a request sounds like: noise from its seed."""
    drawn = np.random.default_rng(request.seed).uniform(-1, 1, (1, 800))
    return Audio(drawn.astype(np.float32), 8_000)
