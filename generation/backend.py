"""What a generator declares and promises: Capabilities and the Backend protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from audioforge.generation.request import Clip, Failure, GenerationRequest


@dataclass(frozen=True)
class GenerationDefaults:
    """The setting a checkpoint's authors recommend."""

    steps: int
    cfg_scale: float
    sampler: str


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do; actions are compiled to it and the LLM is told about it."""

    model: str
    sample_rate: int
    channels: int
    max_seconds: float
    steps: tuple[int, int]
    cfg_scale: tuple[float, float]
    samplers: tuple[str, ...]
    negative_prompt: bool
    recommended: GenerationDefaults
    licence: str
    note: str
    """How the checkpoint wants to be used, one line."""
    sigma_max: tuple[float, float] | None = None
    """Range a request may set it in; None where the model takes none."""
    sigma_min: tuple[float, float] | None = None
    tokens: bool = False
    """Whether temperature, top_k and top_p do something."""
    init_audio: tuple[str, ...] = ()
    """The uses of an InitAudio it knows."""
    model_mb: float = 0.0
    """Memory the loaded weights take, in MB; 0 is not known."""
    clip_mb: float = 0.0
    """Memory each clip of a batch takes on top, at the full length, in MB."""
    looks: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Samplers that evaluate the model more than once a step, and how often."""


def problem_of(request: GenerationRequest, can: Capabilities) -> str | None:
    """Say what a backend with these capabilities cannot do about a request, or None."""
    if request.seconds > can.max_seconds:
        return f"seconds must be at most {can.max_seconds:g}, got {request.seconds:g}"
    if request.sampler not in can.samplers:
        return f"sampler must be one of {list(can.samplers)}, got {request.sampler!r}"
    if request.steps > can.steps[1]:
        return f"steps must be at most {can.steps[1]}, got {request.steps}"
    if not 0 <= request.cfg_scale <= can.cfg_scale[1]:
        return f"cfg_scale must be in [0, {can.cfg_scale[1]:g}], got {request.cfg_scale:g}"
    if request.negative_prompt and not can.negative_prompt:
        return "this model takes no negative prompt: leave it out"
    if not can.tokens and (request.temperature, request.top_k, request.top_p) != (1.0, 0, 1.0):
        return "this model draws no tokens: leave temperature, top_k and top_p out"
    start = request.init_audio
    if start is not None and start.use not in can.init_audio:
        known = list(can.init_audio) or "none"
        return f"init_audio must be of a use this model knows ({known}), got {start.use!r}"
    return _sigma_problem(request, can)


def _sigma_problem(request: GenerationRequest, can: Capabilities) -> str | None:
    for name in ("sigma_min", "sigma_max"):
        value, allowed = getattr(request, name), getattr(can, name)
        if value is None:
            continue
        if allowed is None:
            return f"this model takes no {name}: leave it out"
        if not allowed[0] <= value <= allowed[1]:
            return f"{name} must be in [{allowed[0]:g}, {allowed[1]:g}], got {value:g}"
    return None


class Backend(Protocol):
    """A generator of audio. Loading happens in `__init__`, never on import.

    Two things it may have besides, which the engine uses: a static method
    `batch_key(request) -> str`, where not all requests can share a pass, and `row_evaluations`,
    a count of the rows its model was evaluated for.
    """

    capabilities: Capabilities
    weights_sha256: str
    """sha256 over the weights, or of the code version where there are none."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Return one Clip or Failure per request, in request order.

        Raises:
            MemoryError, torch.OutOfMemoryError: the requests do not fit together; the engine makes
                smaller batches and remembers the size, so a backend need not.
        """
        ...
