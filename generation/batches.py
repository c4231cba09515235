"""What a torch backend does around its model: choose a device, refuse, batch, halve, trim."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.utils.audio_processing import Audio

Made = Clip | Failure
Answer = torch.Tensor | str
"""A wave [channels, time] at the model's rate, or why there is none."""


def device_of(name: str) -> str:
    """Return "cpu" or "cuda" for "auto", "cpu" or "cuda".

    Raises:
        ValueError: another name, or cuda where there is none.
    """
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    if chosen not in ("cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, got {name!r}")
    if chosen == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda was asked for, but this torch sees no CUDA device: use cpu")
    return chosen


def make_in_batches(
    requests: Sequence[GenerationRequest],
    problem_of: Callable[[GenerationRequest], str | None],
    make: Callable[[list[GenerationRequest]], list[Answer]],
    rate: int,
    largest: int,
) -> list[Made]:
    """Answer every request, in order; what the model cannot do is refused beforehand.

    Args:
        requests: any number.
        problem_of: says why a request cannot be made, or None.
        make: gives an Answer per request; it may run out of memory.
        rate: of the waves it makes, in Hz.
        largest: most requests it is given at once.
    """
    made: dict[int, Made] = {}
    ready = []
    for index, request in enumerate(requests):
        if problem := problem_of(request):
            made[index] = Failure(request, "invalid", problem)
        else:
            ready.append(index)
    for start in range(0, len(ready), largest):
        batch = ready[start : start + largest]
        clips = _halving([requests[i] for i in batch], rate, make)
        made |= zip(batch, clips, strict=True)
    return [made[i] for i in range(len(requests))]


def _halving(
    requests: list[GenerationRequest],
    rate: int,
    make: Callable[[list[GenerationRequest]], list[Answer]],
) -> list[Made]:
    """Make one batch; out of memory halves it, down to one request."""
    started = time.perf_counter()
    try:
        answers = make(requests)
    except torch.OutOfMemoryError as error:
        message = str(error).splitlines()[0]
    else:
        taken = (time.perf_counter() - started) / len(requests)
        pairs = zip(requests, answers, strict=True)
        return [_finished(request, answer, rate, taken) for request, answer in pairs]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(requests) == 1:
        return [Failure(requests[0], "memory", message)]
    middle = len(requests) // 2
    return _halving(requests[:middle], rate, make) + _halving(requests[middle:], rate, make)


def _finished(request: GenerationRequest, answer: Answer, rate: int, taken: float) -> Made:
    """Trim a wave to the asked length and bring it within full scale."""
    if isinstance(answer, str):
        return Failure(request, "crash", answer)
    wave = answer[:, : round(request.seconds * rate)]
    if not bool(torch.isfinite(wave).all()):
        return Failure(request, "crash", "the model made non-finite samples")
    peak = wave.abs().max().clamp(min=1.0)  # scaled down, not cut flat
    return Clip(request, Audio((wave / peak).cpu().numpy(), rate), taken)
