"""What is asked of a generator, and what it answers with: GenerationRequest, Clip, Failure.

Parameters travel with the request; a backend keeps no hidden state. A request's clip does not
depend on its batch mates.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from audioforge.utils.audio_processing import Audio, pcm16_sha256

MAX_PROMPT = 1_000
"""Characters of a prompt; longer text is refused, not cut."""
MAX_SEED = 2**32 - 1
MAX_SIGMA = 1_000.0
MAX_REMAKES = 16
_USES = ("vary", "remake", "continue", "melody")


@dataclass(frozen=True)
class InitAudio:
    """Sound a clip starts from. Two are equal when use, settings and 16-bit samples are."""

    audio: Audio = field(compare=False, repr=False)
    use: Literal["vary", "remake", "continue", "melody"] = "vary"
    """A variation of all of it, stretches of it made anew (inpainting), what follows it, or its
    melody played by another sound."""
    strength: float = 0.7
    """For "vary": how much noise is laid over it before sampling, in (0, 1]; 1 forgets it."""
    remake: tuple[tuple[float, float], ...] = ()
    """For "remake": the (start, end) of each stretch to be made anew, in seconds."""
    sha256: str = field(init=False)
    """Of its sound as 16-bit PCM."""

    def __post_init__(self) -> None:
        if self.use not in _USES:
            raise ValueError(f"use must be one of {list(_USES)}, got {self.use!r}")
        if not 0 < self.strength <= 1:
            raise ValueError(f"strength must be in (0, 1], got {self.strength}")
        if bool(self.remake) != (self.use == "remake"):
            raise ValueError(
                "remake must name stretches in seconds with use 'remake' and with no other, "
                f"got {list(self.remake)} with use {self.use!r}"
            )
        if len(self.remake) > MAX_REMAKES or not all(
            0 <= start < end < math.inf for start, end in self.remake
        ):
            raise ValueError(
                f"remake must hold at most {MAX_REMAKES} pairs of 0 <= start < end, "
                f"got {list(self.remake)}"
            )
        object.__setattr__(self, "sha256", pcm16_sha256(self.audio))


@dataclass(frozen=True)
class GenerationRequest:
    """One clip to be made: everything that decides how it sounds, apart from the weights.

    None stands for what the model's authors recommend.
    """

    prompt: str
    seconds: float
    seed: int
    steps: int = 8
    cfg_scale: float = 1.0
    sampler: str = "pingpong"
    negative_prompt: str = ""
    sigma_max: float | None = None
    """Noise a diffusion sampler starts from: at most 1 for rectified flow, hundreds for v."""
    sigma_min: float | None = None
    """Noise level a sampler of the v objective ends at."""
    temperature: float = 1.0
    """Of a token model; 0 takes the likeliest token."""
    top_k: int = 0
    """Likeliest tokens drawn from; 0 is all of them."""
    top_p: float = 1.0
    """Likeliest tokens drawn from until they have this probability together, in (0, 1]."""
    init_audio: InitAudio | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "negative_prompt"):
            if len(getattr(self, name)) > MAX_PROMPT:
                raise ValueError(
                    f"{name} must be at most {MAX_PROMPT} characters, "
                    f"got {len(getattr(self, name))}"
                )
        for name in ("seconds", "cfg_scale", "temperature"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite, got {getattr(self, name)}")
        if self.seconds <= 0:
            raise ValueError(f"seconds must be positive, got {self.seconds}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed must be in [0, {MAX_SEED}], got {self.seed}")
        self._check_sampling()

    def _check_sampling(self) -> None:
        for name in ("sigma_min", "sigma_max"):
            sigma = getattr(self, name)
            if sigma is not None and not 0 < sigma <= MAX_SIGMA:
                raise ValueError(f"{name} must be in (0, {MAX_SIGMA:g}], got {sigma}")
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(
                "temperature and top_k must be at least 0 and top_p in (0, 1], "
                f"got {self.temperature}, {self.top_k} and {self.top_p}"
            )

    @cached_property
    def key(self) -> str:
        """sha256 of what differs from the defaults: equal requests have equal keys."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return plain types: the fields without a default and those that differ from theirs."""
        told = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.default is MISSING or getattr(self, f.name) != f.default
        }
        if start := self.init_audio:
            told["init_audio"] = {
                "sha256": start.sha256,
                "use": start.use,
                "strength": start.strength,
                "remake": [list(stretch) for stretch in start.remake],
            }
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> GenerationRequest:
        """Read what `to_json` gave.

        Raises:
            ValueError: a value that makes no sense, or a request that starts from a sound: only
                the sound's hash was written.
            TypeError: a field missing or unknown.
        """
        if told.get("init_audio") is not None:
            raise ValueError("a request that starts from a sound is made anew from that sound")
        return cls(**told)


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
    kind: Literal["invalid", "memory", "crash", "timeout"]
    message: str
