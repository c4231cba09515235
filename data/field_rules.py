"""Rules for single fields of users' files: each returns the value it accepts or raises FieldError.

A rule is called with the field's full name and the value that came. It never converts silently: a
number in quotes is text, true is not 1, and infinities are refused.
"""

from __future__ import annotations

import difflib
import math
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rule = Callable[[str, Any], Any]

_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters apart from tab and line ends, text direction overrides, lone surrogates."""

_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother, _short.maxdict, _short.maxlist = (
    2,
    60,
    60,
    4,
    4,
)


class FieldError(ValueError):
    """A field that breaks its rule.

    Attributes:
        field: full name, such as "parameters.target_bpm"; "" for the target as a whole.
        must: what must hold, continuing "must".
        came: the value that came, shortened.
    """

    def __init__(self, field: str, must: str, came: Any) -> None:
        self.field, self.must, self.came = field, must, _shown(came)
        super().__init__(f"field {field or '(the target)'} must {must}, got {self.came}")


def known_fields(value: Any, allowed: Sequence[str], prefix: str = "") -> None:
    """Refuse what is not a mapping and fields that nobody knows, with the nearest known name."""
    if not isinstance(value, Mapping):
        raise FieldError(prefix.rstrip("."), "be a mapping of fields", value)
    for name in value:
        if name in allowed:
            continue
        shown = name[:80] if isinstance(name, str) and name.isprintable() else _shown(name)
        must = f"be a known field ({', '.join(allowed)}{_hint(shown, allowed)})"
        raise FieldError(f"{prefix}{shown}", must, name)


def mapping(entry: Mapping[str, Any], name: str, allowed: Sequence[str]) -> Mapping[str, Any]:
    """Return a nested mapping with known fields, empty when it is absent or null."""
    value = entry.get(name)
    if value is None:
        return {}
    known_fields(value, allowed, f"{name}.")
    return value


def required(entry: Mapping[str, Any], name: str, rule: Rule) -> Any:
    """Return a field that must be there."""
    if entry.get(name) is None:
        raise FieldError(name, "be given", "null" if name in entry else "nothing")
    return rule(name, entry[name])


def optional(
    entry: Mapping[str, Any], name: str, rule: Rule, default: Any, prefix: str = ""
) -> Any:
    """Return a field, or the default where it is absent or null."""
    value = entry.get(name)
    return default if value is None else rule(prefix + name, value)


def text(limit: int) -> Rule:
    """Accept text of 1 to `limit` characters, not only blanks, without control characters."""

    def rule(field: str, value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= limit or not value.strip():
            came = (
                f"{len(value)} characters"
                if isinstance(value, str) and len(value) > limit
                else value
            )
            raise FieldError(field, f"be text of 1 to {limit} characters", came)
        if found := _UNPRINTABLE.search(value):
            raise FieldError(field, "hold no control characters", found.group())
        return value

    return rule


def texts(count: int, limit: int) -> Rule:
    """Accept a list of up to `count` texts; returns a tuple."""

    def rule(field: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > count:
            raise FieldError(field, f"be a list of at most {count} texts", value)
        return tuple(text(limit)(f"{field}[{i}]", item) for i, item in enumerate(value))

    return rule


def one_or_more(count: int, limit: int) -> Rule:
    """Accept a text or a list of texts; returns a tuple, or None for an empty list."""

    def rule(field: str, value: Any) -> tuple[str, ...] | None:
        if isinstance(value, str):
            return (text(limit)(field, value),)
        return texts(count, limit)(field, value) or None

    return rule


def number(low: float, high: float) -> Rule:
    """Accept a finite number in [low, high]; returns a float."""

    def rule(field: str, value: Any) -> float:
        if not _is_number(value) or not low <= value <= high:
            raise FieldError(field, f"be a number from {low:g} to {high:g}", value)
        return float(value)

    return rule


def integer(low: int, high: int) -> Rule:
    """Accept a whole number in [low, high]."""

    def rule(field: str, value: Any) -> int:
        if not _is_number(value) or value != int(value) or not low <= value <= high:
            raise FieldError(field, f"be a whole number from {low} to {high}", value)
        return int(value)

    return rule


def window(low: float, high: float) -> Rule:
    """Accept a list of two numbers that rise within [low, high]; returns a tuple."""
    end = number(low, high)

    def rule(field: str, value: Any) -> tuple[float, float]:
        if not isinstance(value, list) or len(value) != 2:
            raise FieldError(field, "be a list of two numbers, lowest and highest", value)
        first, last = (end(f"{field}[{i}]", each) for i, each in enumerate(value))
        if first > last:
            raise FieldError(field, "rise from its first to its last number", value)
        return first, last

    return rule


def some_of(allowed: Sequence[str]) -> Rule:
    """Accept a list of one or more of a few words; returns a tuple without repeats."""
    word = choice(allowed)

    def rule(field: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= len(allowed):
            raise FieldError(field, f"be a list of some of {', '.join(allowed)}", value)
        return tuple(dict.fromkeys(word(f"{field}[{i}]", each) for i, each in enumerate(value)))

    return rule


def boolean(field: str, value: Any) -> bool:
    """Accept true or false."""
    if not isinstance(value, bool):
        raise FieldError(field, "be true or false", value)
    return value


def choice(allowed: Sequence[str]) -> Rule:
    """Accept one of a few words, exactly."""

    def rule(field: str, value: Any) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        hint = _hint(value, allowed) if isinstance(value, str) else ""
        raise FieldError(field, f"be one of {', '.join(allowed)}{hint}", value)

    return rule


def pattern(compiled: re.Pattern[str]) -> Rule:
    """Accept text that matches a pattern from its start."""

    def rule(field: str, value: Any) -> str:
        if not isinstance(value, str) or not compiled.match(value):
            raise FieldError(field, f"match {compiled.pattern}", value)
        return value

    return rule


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """Return a short repr on one line."""
    try:
        return _short.repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"


def _hint(came: str, allowed: Sequence[str]) -> str:
    """Suggest the nearest allowed word, if one is near: spelt alike, or with `came` as a part."""
    near = [word for word in allowed if came in word.split("_")]
    near += difflib.get_close_matches(came[:80], allowed, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
