"""What a tensor backend does around its model: waves become clips, out of memory halves a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.utils.audio_processing import Audio

Waves = Callable[[list[GenerationRequest]], Sequence[torch.Tensor]]
"""Requests -> one wave [channels, time] each."""


def make_waves(
    requests: list[GenerationRequest], make: Waves, sample_rate: int
) -> list[Clip | Failure]:
    """Make one batch; out of memory halves it, down to one request.

    Args:
        requests: all valid.
        make: runs the model.
        sample_rate: of the waves, in Hz.
    """
    started = time.perf_counter()
    try:
        waves = make(requests)
    except torch.OutOfMemoryError as error:
        message = str(error).splitlines()[0]
    else:
        taken = (time.perf_counter() - started) / len(requests)
        return [
            clip_of(request, wave, sample_rate, taken)
            for request, wave in zip(requests, waves, strict=True)
        ]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(requests) == 1:
        return [Failure(requests[0], "memory", message)]
    middle = len(requests) // 2
    halves = requests[:middle], requests[middle:]
    return [made for half in halves for made in make_waves(half, make, sample_rate)]


def clip_of(
    request: GenerationRequest, wave: torch.Tensor, sample_rate: int, taken: float
) -> Clip | Failure:
    """Cut a wave to the asked length and scale it down where it is beyond full scale.

    At a high cfg a model overshoots; clipping would leave flat tops.
    """
    wave = wave[:, : round(request.seconds * sample_rate)].float()
    if not bool(torch.isfinite(wave).all()):
        return Failure(request, "crash", "the model made non-finite samples")
    peak = wave.abs().max().clamp(min=1.0)
    return Clip(request, Audio((wave / peak).cpu().numpy(), sample_rate), taken)
