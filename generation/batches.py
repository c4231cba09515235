"""What a torch backend does around its model: choose a device, refuse, batch, trim."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable, Sequence

import torch

from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.utils.audio_processing import Audio

Made = Clip | Failure
Answer = torch.Tensor | str
"""A wave [channels, time] at the model's rate, or why there is none."""


def device_of(name: str) -> str:
    """Return the device of "auto" (cuda if there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        ValueError: another name, or a CUDA device that is not there.
    """
    there = torch.cuda.device_count()
    chosen = ("cuda" if there else "cpu") if name == "auto" else name
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", chosen):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}")
    if chosen != "cpu" and int(chosen.partition(":")[2] or 0) >= there:
        raise ValueError(f"device {name} was asked for, but this torch sees {there} CUDA devices")
    return chosen


def make_in_batches(
    requests: Sequence[GenerationRequest],
    problem_of: Callable[[GenerationRequest], str | None],
    make: Callable[[list[GenerationRequest]], Sequence[Answer]],
    rate: int,
    largest: int,
    alike: Callable[[GenerationRequest], Hashable] = lambda request: None,
) -> list[Made]:
    """Answer every request, in order; what the model cannot do is refused beforehand.

    Args:
        requests: any number.
        problem_of: says why a request cannot be made, or None.
        make: gives an Answer per request.
        rate: of the waves it makes, in Hz.
        largest: most requests it is given at once.
        alike: what must be equal within a batch.

    Raises:
        torch.OutOfMemoryError: `make` ran out of memory; the engine halves the batch and remembers.
    """
    made: dict[int, Made] = {}
    groups: dict[Hashable, list[int]] = {}
    for index, request in enumerate(requests):
        if problem := problem_of(request):
            made[index] = Failure(request, "invalid", problem)
        else:
            groups.setdefault(alike(request), []).append(index)
    batches = [g[i : i + largest] for g in groups.values() for i in range(0, len(g), largest)]
    for batch in batches:
        asked, started = [requests[i] for i in batch], time.perf_counter()
        answers = make(asked)
        taken = (time.perf_counter() - started) / len(batch)
        for index, request, answer in zip(batch, asked, answers, strict=True):
            made[index] = finished(request, answer, rate, taken)
    return [made[i] for i in range(len(requests))]


def finished(request: GenerationRequest, answer: Answer, rate: int, taken: float) -> Made:
    """Trim a wave to the asked length; beyond full scale, as at high cfg, it is scaled down."""
    if isinstance(answer, str):
        return Failure(request, "crash", answer)
    wave = answer[:, : round(request.seconds * rate)].float()
    if not bool(torch.isfinite(wave).all()):
        return Failure(request, "crash", "the model made non-finite samples")
    peak = wave.abs().max().clamp(min=1.0)  # clipping would leave flat tops
    return Clip(request, Audio((wave / peak).cpu().numpy(), rate), taken)
