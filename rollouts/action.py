"""AudioAction: what a language model answers with, and how it becomes a request.

The schema shown to the model is generated from this class and the backend's capabilities. Ranges
here are what any backend could take; compiling to one backend clamps and lists what it changed.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from audioforge.generation.request import MAX_PROMPT, MAX_SEED, Capabilities, GenerationRequest


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
    sigma_min: float | None = Field(None, ge=0, le=1_000)
    sigma_max: float | None = Field(None, gt=0, le=1_000)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    model: str | None = Field(None, max_length=200)
    steering: dict[str, float] | None = Field(None, max_length=16)


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
    ignored = (
        "sigma_min",
        "seed",
        "model",
        "steering",
        *(() if capabilities.negative_prompt else ("negative_prompt",)),
    )
    notes += [f"{name} ignored" for name in ignored if getattr(action, name) is not None]

    def clamp(name: str, value: Any, low: float, high: float) -> Any:
        kept = min(max(value, low), high)
        if kept != value:
            notes.append(f"{name} {value:g} clamped to {kept:g}")
        return kept

    recommended = capabilities.recommended
    sampler = action.sampler or recommended.sampler
    if sampler not in capabilities.samplers:
        notes.append(f"sampler {sampler!r} unknown, {recommended.sampler!r} used")
        sampler = recommended.sampler
    request = GenerationRequest(
        prompt=action.prompt,
        negative_prompt=(action.negative_prompt or "") if capabilities.negative_prompt else "",
        seconds=float(
            clamp("seconds_total", action.seconds_total or seconds, 0.5, capabilities.max_seconds)
        ),
        steps=int(clamp("steps", action.steps or recommended.steps, *capabilities.steps)),
        cfg_scale=float(
            clamp(
                "cfg_scale",
                recommended.cfg_scale if action.cfg_scale is None else action.cfg_scale,
                *capabilities.cfg_scale,
            )
        ),
        sampler=sampler,
        sigma_max=float(clamp("sigma_max", action.sigma_max or 1.0, 0.1, 1.0)),
        seed=seed,
    )
    return request, tuple(notes)
