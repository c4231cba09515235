"""From a decoded object to an AudioAction: what is repaired inside an object, and how it is told.

The rules, each of which leaves a ParseIssue:

- a wrapper with exactly one object that has a "prompt" is opened ("unwrapped");
- a common other name becomes ours ("renamed"), an unknown field is left out ("unknown_field");
- a number in quotes is a number ("number_as_text"), a fraction for a whole number is rounded
  ("rounded"), a number beyond the range of AudioAction is clamped ("clamped");
- control characters in a text become spaces and lone surrogates U+FFFD ("cleaned");
- a sampler by another name gets ours ("sampler_alias");
- an optional field that still does not fit is left out ("dropped"), so that the backend's
  recommended value is used.

The prompt is never invented or cut: missing, empty, not text or too long means no action.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import ValidationError

from audioforge.generation.request import MAX_PROMPT
from audioforge.rollouts.action import AudioAction


class ParseIssue(NamedTuple):
    """One thing about an answer that was not as asked."""

    kind: str
    """A word of FATAL, or the name of a repair."""
    field: str | None
    """The field of AudioAction, or None when it is about the whole answer."""
    message: str
    """One line for a reader."""


class Fields(NamedTuple):
    """A decoded object."""

    found: dict[str, Any]
    repeated: tuple[str, ...] = ()
    """Names that came more than once; the last one counts."""


FATAL = frozenset(
    {"not_text", "empty", "unfinished_reasoning", "no_object", "no_prompt", "bad_prompt", "invalid"}
)
"""Kinds of issue that mean there is no action."""

ALIASES = {
    "cfg": "cfg_scale",
    "guidance": "cfg_scale",
    "guidance_scale": "cfg_scale",
    "duration": "seconds_total",
    "length": "seconds_total",
    "seconds": "seconds_total",
    "num_inference_steps": "steps",
    "num_steps": "steps",
    "negative": "negative_prompt",
    "sampler_type": "sampler",
}
SAMPLER_ALIASES = {
    "dpm++": "dpmpp",
    "dpm-pp": "dpmpp",
    "dpm_pp": "dpmpp",
    "k-euler": "euler",
    "k_euler": "euler",
    "ping-pong": "pingpong",
    "ping_pong": "pingpong",
    "ping pong": "pingpong",
}
_WHOLE = ("steps", "seed", "top_k")
_NUMBERS = (
    *("seconds_total", "cfg_scale", "sigma_min", "sigma_max", "temperature", "top_p"),
    *_WHOLE,
)
_TEXT_LIMITS = {"prompt": MAX_PROMPT, "negative_prompt": MAX_PROMPT, "sampler": 40, "model": 200}
_NUMBER_TEXT = re.compile(r"[+-]?\d{1,12}(?:\.\d{1,12})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MAX_UNKNOWN_LISTED = 8
_MAX_STEERING = 16

Note = Callable[[str, str | None, str], None]


def _bounds(name: str) -> tuple[float, bool, float]:
    """Return (low, whether low itself is allowed, high) of a numeric field of AudioAction."""
    low, closed, high = -math.inf, True, math.inf
    for rule in AudioAction.model_fields[name].metadata:
        if (value := getattr(rule, "ge", None)) is not None:
            low = value
        if (value := getattr(rule, "gt", None)) is not None:
            low, closed = value, False
        if (value := getattr(rule, "le", None)) is not None:
            high = value
    return low, closed, high


_BOUNDS = {name: _bounds(name) for name in _NUMBERS}


def build_action(fields: Fields) -> tuple[AudioAction | None, tuple[ParseIssue, ...]]:
    """Make an action of a decoded object, repairing by the rules above.

    Args:
        fields: a decoded JSON object, as deep and odd as the parser lets through.

    Returns:
        The action, or None when a FATAL issue is among the issues.
    """
    issues: list[ParseIssue] = []

    def note(kind: str, field: str | None, message: str) -> None:
        issues.append(ParseIssue(kind, field, message))

    found = _unwrap(fields.found, note)
    if "prompt" not in found:
        return None, (ParseIssue("no_prompt", "prompt", 'the object has no "prompt"'),)
    for name in fields.repeated:
        note("repeated_name", None, f"{shown(name)} came more than once, the last one counts")
    kept: dict[str, Any] = {}
    for name, value in _named(found, note).items():
        mended = _mend(name, value, note)
        if mended is not None:
            kept[name] = mended
    if any(issue.kind in FATAL for issue in issues):
        return None, tuple(issues)
    try:
        return AudioAction.model_validate(kept), tuple(issues)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_context=False, include_input=False):
            note(
                "invalid",
                ".".join(map(str, one["loc"])),
                f"{'.'.join(map(str, one['loc']))}: {one['msg']}",
            )
        return None, tuple(issues)


def shown(value: Any) -> str:
    """Return a value as short text for a message, safe to print."""
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    text = _CONTROL.sub(" ", _SURROGATE.sub("\ufffd", text))
    return text if len(text) <= 60 else text[:57] + "..."


def _unwrap(found: dict[str, Any], note: Note) -> dict[str, Any]:
    if "prompt" in found:
        return found
    inner = [
        (name, value)
        for name, value in found.items()
        if isinstance(value, dict) and "prompt" in value
    ]
    if len(inner) != 1:
        return found
    note("unwrapped", None, f"the object inside {shown(inner[0][0])} was taken")
    return inner[0][1]


def _named(found: dict[str, Any], note: Note) -> dict[str, Any]:
    """Keep the fields of AudioAction, under their own names; None means "left out"."""
    kept = {name: value for name, value in found.items() if name in AudioAction.model_fields}
    unknown: list[str] = []
    for name, value in found.items():
        if name in kept:
            continue
        ours = ALIASES.get(name.strip().lower().replace("-", "_"))
        if ours is None or ours in kept:
            unknown.append(name)
        else:
            note("renamed", ours, f"{shown(name)} read as {ours}")
            kept[ours] = value
    for name in unknown[:_MAX_UNKNOWN_LISTED]:
        note("unknown_field", None, f"unknown field {shown(name)} left out")
    if len(unknown) > _MAX_UNKNOWN_LISTED:
        note(
            "unknown_field",
            None,
            f"{len(unknown) - _MAX_UNKNOWN_LISTED} more unknown fields left out",
        )
    return {name: value for name, value in kept.items() if value is not None or name == "prompt"}


def _mend(name: str, value: Any, note: Note) -> Any:
    """Return a value that AudioAction takes, or None for "leave it out"."""
    if name in _NUMBERS:
        return _number(name, value, note)
    if name == "steering":
        return _steering(value, note)
    return _text(name, value, note)


def _number(name: str, value: Any, note: Note) -> int | float | None:
    if isinstance(value, str) and _NUMBER_TEXT.fullmatch(value.strip()):
        note("number_as_text", name, f"{name} {shown(value)} read as a number")
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        note("dropped", name, f"{name} must be a number, got {shown(value)}; left out")
        return None
    if not math.isfinite(value):
        note("dropped", name, f"{name} must be finite, got {value}; left out")
        return None
    if name in _WHOLE and value != int(value):
        note("rounded", name, f"{name} must be whole, {value:g} rounded to {round(value)}")
    elif name in _WHOLE and isinstance(value, float):
        note("rounded", name, f"{name} {value:g} read as a whole number")
    return _inside(name, round(value) if name in _WHOLE else value, note)


def _inside(name: str, value: int | float, note: Note) -> int | float | None:
    low, closed, high = _BOUNDS[name]
    outside = not low <= value <= high
    if (outside and name == "seed") or value < low or (value == low and not closed):
        if closed and name != "seed":
            note("clamped", name, f"{name} {value:g} clamped to {low:g}")
            return type(value)(low)
        note(
            "dropped",
            name,
            f"{name} must be {'at least' if closed else 'above'} {low:g}, got {value:g}; left out",
        )
        return None
    if outside:
        note("clamped", name, f"{name} {value:g} clamped to {high:g}")
        return type(value)(high)
    return value


def _text(name: str, value: Any, note: Note) -> str | None:
    bad = "bad_prompt" if name == "prompt" else "dropped"
    if not isinstance(value, str):
        note(bad, name, f"{name} must be text, got {shown(value)}")
        return None
    clean = _CONTROL.sub(" ", _SURROGATE.sub("\ufffd", value.strip())).strip()
    if clean != value.strip():
        note("cleaned", name, f"unprintable characters in {name} replaced")
    if len(clean) > _TEXT_LIMITS[name]:
        note(bad, name, f"{name} must be at most {_TEXT_LIMITS[name]} characters, got {len(clean)}")
        return None
    if not clean:
        if name == "prompt":
            note(bad, name, "prompt must not be empty")
        return None
    return _sampler(clean, note) if name == "sampler" else clean


def _sampler(name: str, note: Note) -> str:
    low = name.lower()
    ours = SAMPLER_ALIASES.get(low, low)
    if ours.startswith(("dpm++", "dpmpp")):
        ours = "dpmpp"
    if ours != name:
        note("sampler_alias", "sampler", f"sampler {shown(name)} read as {ours}")
    return ours


def _steering(value: Any, note: Note) -> dict[str, float] | None:
    if not isinstance(value, dict) or len(value) > _MAX_STEERING:
        note(
            "dropped",
            "steering",
            f"steering must be up to {_MAX_STEERING} names with a number each; left out",
        )
        return None
    kept: dict[str, float] = {}
    for name, strength in value.items():
        clean = _CONTROL.sub(" ", _SURROGATE.sub("\ufffd", name))[:200]
        if (
            isinstance(strength, bool)
            or not isinstance(strength, int | float)
            or not math.isfinite(strength)
        ):
            note(
                "dropped",
                "steering",
                f"steering {shown(name)} must be a finite number, got {shown(strength)}; left out",
            )
        else:
            kept[clean] = float(strength)
    return kept or None
