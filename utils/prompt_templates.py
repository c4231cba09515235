"""Prompt templates: named pairs of system and user text with slots, filled without surprises.

A slot is `{name}`. Filling is one pass over the template: what is put in is never read again, so
a target's text cannot open slots, reach attributes (as `str.format` would allow) or grow without
bound.
Text that looks like a chat marker (`<|end|>`, `</s>`) is broken up, or a target could end its own
message and speak as the system.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_VALUE = 2_000
"""Characters of one filled-in value; longer text is cut and ends in an ellipsis."""
MAX_TEMPLATE = 8_000
"""Characters of one template."""
_SLOT = re.compile(r"\{([a-z_]{1,30})\}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_MARKER = re.compile(r"<(?=[|/a-zA-Z])")


@dataclass(frozen=True)
class PromptTemplate:
    """One way to ask: the text of the system and of the user message, with slots."""

    name: str
    system: str
    user: str

    def __post_init__(self) -> None:
        for part in ("system", "user"):
            if not 0 < len(getattr(self, part)) <= MAX_TEMPLATE:
                raise ValueError(
                    f"template {self.name!r}: {part} must have 1 to {MAX_TEMPLATE} characters, "
                    f"got {len(getattr(self, part))}"
                )

    def slots(self) -> frozenset[str]:
        """Return the names of all slots."""
        return frozenset(_SLOT.findall(self.system)) | frozenset(_SLOT.findall(self.user))


def load_templates(path: str | Path) -> tuple[dict[str, PromptTemplate], str]:
    """Read a template file.

    Args:
        path: JSON of `{"default": name, "templates": {name: {"system": ..., "user": ...}}}`.

    Returns:
        The templates by name, and the name of the default one.

    Raises:
        ValueError: the file is not of that shape; the message names the template.
    """
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
        parts = {
            name: (texts["system"], texts["user"]) for name, texts in told["templates"].items()
        }
        default = told["default"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: must hold 'default' and 'templates' with system and user texts ({error!r})"
        ) from error
    if not all(isinstance(text, str) for pair in parts.values() for text in pair):
        raise ValueError(f"{path}: system and user must be text in every template")
    if default not in parts:
        raise ValueError(f"{path}: default must be one of {sorted(parts)}, got {default!r}")
    return {name: PromptTemplate(name, *pair) for name, pair in parts.items()}, default


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values into the slots of a template text, in one pass.

    Args:
        text: with slots such as `{description}`; other braces stay as they are.
        values: by slot name; each is cut at MAX_VALUE characters and made harmless.

    Raises:
        ValueError: the text has a slot for which there is no value.
    """
    missing = sorted(set(_SLOT.findall(text)) - set(values))
    if missing:
        raise ValueError(f"no value for slot {missing[0]!r}; have {sorted(values)}")
    return _SLOT.sub(lambda slot: harmless(values[slot.group(1)]), text)


def harmless(value: str) -> str:
    """Return text without control characters and chat markers, of at most MAX_VALUE characters."""
    kept = value if len(value) <= MAX_VALUE else value[: MAX_VALUE - 1] + "…"
    return _MARKER.sub("< ", _CONTROL.sub(" ", kept)).strip()
