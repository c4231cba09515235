"""The contract between whoever wants sound and whoever makes it.

Parameters travel with the request; a backend keeps no hidden state. A request's clip does not
depend on its batch mates.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal, Protocol

from audioforge.utils.audio_processing import Audio, pcm16_sha256

MAX_PROMPT = 1_000
"""Characters of a prompt; longer text is refused, not cut."""
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class GenerationRequest:
    """One clip to be made: everything that decides how it sounds, apart from the weights."""

    prompt: str
    seconds: float
    seed: int
    steps: int = 8
    cfg_scale: float = 1.0
    sampler: str = "pingpong"
    negative_prompt: str = ""
    sigma_max: float = 1.0
    """Noise level the sampler starts from, in (0, 1]; 1 is pure noise."""

    def __post_init__(self) -> None:
        for name in ("prompt", "negative_prompt"):
            if len(getattr(self, name)) > MAX_PROMPT:
                raise ValueError(
                    f"{name} must be at most {MAX_PROMPT} characters, "
                    f"got {len(getattr(self, name))}"
                )
        for name in ("seconds", "cfg_scale", "sigma_max"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")
        if self.seconds <= 0:
            raise ValueError(f"seconds must be positive, got {self.seconds}")
        if not 0 < self.sigma_max <= 1:
            raise ValueError(f"sigma_max must be in (0, 1], got {self.sigma_max}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed must be in [0, {MAX_SEED}], got {self.seed}")

    @cached_property
    def key(self) -> str:
        """sha256 of the canonical request: equal requests have equal keys."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Clip:
    """A finished request."""

    request: GenerationRequest
    audio: Audio
    seconds_taken: float
    """Wall time of the batch divided by its clips."""

    @cached_property
    def sha256(self) -> str:
        """sha256 of the sound as 16-bit PCM."""
        return pcm16_sha256(self.audio)


@dataclass(frozen=True)
class Failure:
    """A request that could not be made. Never a reward of 0: recorded, counted, dropped."""

    request: GenerationRequest
    kind: Literal["invalid", "memory", "crash"]
    message: str


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


@dataclass(frozen=True)
class GenerationDefaults:
    """The setting a checkpoint's authors recommend."""

    steps: int
    cfg_scale: float
    sampler: str


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
    return None


class Backend(Protocol):
    """A generator of audio. Loading happens in `__init__`, never on import."""

    capabilities: Capabilities
    weights_sha256: str
    """sha256 over the weights, or of the code version where there are none."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Return one Clip or Failure per request, in request order."""
        ...
