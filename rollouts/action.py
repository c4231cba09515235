"""AudioAction: what a language model answers with, and how it becomes a request.

The schema shown to the model is generated from this class and the backend's capabilities. Ranges
here are what any backend could take; compiling to one backend clamps and lists what it changed.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from audioforge.generation.backend import Capabilities
from audioforge.generation.request import (
    MAX_PROMPT,
    MAX_SEED,
    MAX_SIGMA,
    GenerationRequest,
)


class AudioAction(BaseModel):
    """A request in the words of a policy. Fields left out take the backend's recommended value."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    prompt: str = Field(
        min_length=1, max_length=MAX_PROMPT, description="what it should sound like"
    )
    negative_prompt: str | None = Field(
        None, max_length=MAX_PROMPT, description="what it should not sound like"
    )
    seconds_total: float | None = Field(None, gt=0, le=190, description="length in seconds")
    steps: int | None = Field(None, ge=1, le=500, description="sampler steps; more is slower")
    cfg_scale: float | None = Field(
        None, ge=0, le=30, description="how strongly to follow the prompt"
    )
    sampler: str | None = Field(None, max_length=40, description="sampler name")
    sigma_min: float | None = Field(None, gt=0, le=MAX_SIGMA, description="noise to end at")
    sigma_max: float | None = Field(None, gt=0, le=MAX_SIGMA, description="noise to start from")
    temperature: float | None = Field(None, ge=0, le=10, description="0: the likeliest token")
    top_k: int | None = Field(None, ge=0, le=10_000, description="likeliest tokens; 0 is all")
    top_p: float | None = Field(None, gt=0, le=1, description="likeliest tokens by probability")
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    model: str | None = Field(None, max_length=200)
    steering: dict[str, float] | None = Field(None, max_length=16)


_TOKEN_FIELDS = ("temperature", "top_k", "top_p")


Decides = Literal["both", "prompt", "parameters"]
"""What of its action counts."""
_WORDS = frozenset({"prompt", "negative_prompt"})
PUT_ASIDE: dict[Decides, frozenset[str]] = {
    "both": frozenset(),
    "prompt": frozenset(AudioAction.model_fields) - _WORDS - {"seconds_total"},
    "parameters": _WORDS,
}
"""The fields that do not count."""


def restricted(
    action: AudioAction, decides: Decides, baseline_prompt: str
) -> tuple[AudioAction, tuple[str, ...]]:
    """Leave of an action what the policy decides; return it, and what was put aside.

    With "prompt" all settings but the length are the backend's recommended ones; with "parameters"
    the prompt is the target's own baseline prompt.
    """
    if decides == "both":
        return action, ()
    if decides == "parameters":
        changed: dict[str, Any] = {"prompt": baseline_prompt, "negative_prompt": None}
        return action.model_copy(update=changed), ("the target's baseline prompt was used",)
    kept = action.model_dump(exclude=set(PUT_ASIDE["prompt"]))
    return AudioAction(**kept), ("the recommended settings were used",)


def schema_lines(capabilities: Capabilities) -> str:
    """Describe the fields a policy may use with this backend, one per line."""
    ranges = {
        "seconds_total": f"number, 0.5 to {capabilities.max_seconds:g}",
        "steps": "integer, {} to {}".format(*capabilities.steps),
        "cfg_scale": "number, {:g} to {:g}".format(*capabilities.cfg_scale),
        "sampler": "one of " + ", ".join(f'"{s}"' for s in capabilities.samplers),
        "prompt": "text",
    }
    if capabilities.negative_prompt:
        ranges["negative_prompt"] = "text, optional"
    if capabilities.tokens:
        ranges |= {
            "temperature": "number, 0 to 10, optional",
            "top_k": "integer, 0 to 10000, optional",
            "top_p": "number, 0 to 1, optional",
        }
    described = {n: f.description for n, f in AudioAction.model_fields.items() if n in ranges}
    return "\n".join(f'"{name}": {ranges[name]} ({text})' for name, text in described.items())


def compile_action(
    action: AudioAction, capabilities: Capabilities, *, seconds: float, seed: int
) -> tuple[GenerationRequest, tuple[str, ...]]:
    """Turn an action into a request for one backend.

    Args:
        action: the policy's answer.
        capabilities: of the backend that will make it.
        seconds: the length used when the action names none.
        seed: drawn by the environment; an action's own seed is ignored here, or a policy would
            shop for lucky ones.

    Returns:
        The request, and one line for everything that was ignored or clamped.
    """
    notes: list[str] = []

    def clamp(name: str, low: float, high: float, usual: float) -> float:
        value = getattr(action, name)
        kept = min(max(usual if value is None else value, low), high)
        if value is not None and kept != value:
            notes.append(f"{name} {value:g} clamped to {kept:g}")
        return kept

    ignored = _ignored(capabilities)
    notes += [f"{name} ignored" for name in ignored if getattr(action, name) is not None]
    recommended = capabilities.recommended
    sampler = action.sampler or recommended.sampler
    if sampler not in capabilities.samplers:
        notes.append(f"sampler {sampler!r} unknown, {recommended.sampler!r} used")
        sampler = recommended.sampler
    optional: dict[str, Any] = {
        name: clamp(name, allowed[0], allowed[1], allowed[0])
        for name, allowed in (
            ("sigma_max", capabilities.sigma_max),
            ("sigma_min", capabilities.sigma_min),
        )
        if allowed is not None and getattr(action, name) is not None
    }
    optional |= {
        name: getattr(action, name)
        for name in ("negative_prompt", *_TOKEN_FIELDS)
        if name not in ignored and getattr(action, name) is not None
    }
    request = GenerationRequest(
        prompt=action.prompt,
        seconds=float(clamp("seconds_total", 0.5, capabilities.max_seconds, seconds)),
        steps=int(clamp("steps", *capabilities.steps, recommended.steps)),
        cfg_scale=float(clamp("cfg_scale", *capabilities.cfg_scale, recommended.cfg_scale)),
        sampler=sampler,
        seed=seed,
        **optional,
    )
    return request, tuple(notes)


def _ignored(capabilities: Capabilities) -> tuple[str, ...]:
    """Name the fields of an action that this backend has no use for."""
    return (
        *("seed", "model", "steering"),
        *(() if capabilities.negative_prompt else ("negative_prompt",)),
        *(() if capabilities.tokens else _TOKEN_FIELDS),
        *(n for n in ("sigma_max", "sigma_min") if getattr(capabilities, n) is None),
    )
