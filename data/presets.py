"""Presets: named generation settings per category, from `data/parameter_presets.json`.

They are starting points for people and for search, and the "recommended" values of targets that
name none. What a checkpoint can really do is in its backend's capabilities.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from audioforge.data import field_rules as rules
from audioforge.data.families import CATEGORIES, Category

PRESET_NAMES = ("draft", "balanced", "quality")
SAMPLERS = ("euler", "dpmpp", "pingpong")
PRESETS_FILE = Path(__file__).resolve().parent / "parameter_presets.json"


@dataclass(frozen=True)
class Preset:
    """One named setting."""

    steps: int
    """Sampler steps, 1 to 500."""
    cfg_scale: float
    """Guidance, 0 to 30; 1 is none."""
    sampler: str
    """One of SAMPLERS."""
    why: str
    """One line."""
    reward: float | None = None
    """Mean reward it was measured at, in [0, 1]; None where it was not measured."""
    interval: tuple[float, float] | None = None
    """95 % bootstrap interval of that mean."""
    clips: int | None = None
    """Clips it was measured on."""
    measured_by: str | None = None
    """The command, and the generator."""


@cache
def presets() -> Mapping[Category, Mapping[str, Preset]]:
    """Return the shipped presets by category and name, read and checked once; read-only."""
    return parse_presets(json.loads(PRESETS_FILE.read_text("utf-8")))


def parse_presets(content: Any) -> Mapping[Category, Mapping[str, Preset]]:
    """Check the content of a presets file.

    Raises:
        FieldError: a category or preset is missing or unknown, or a value is out of range.
    """
    rules.known_fields(content, ("notes", "presets"))
    rules.required(content, "notes", rules.text(2_000))
    by_category = rules.mapping(content, "presets", CATEGORIES)
    return MappingProxyType({category: _category(by_category, category) for category in CATEGORIES})


def _category(by_category: Mapping[str, Any], category: Category) -> Mapping[str, Preset]:
    named = by_category.get(category)
    rules.known_fields(named, PRESET_NAMES, f"presets.{category}.")
    assert isinstance(named, Mapping)  # known_fields has refused anything else
    return MappingProxyType(
        {name: _preset(named.get(name), f"presets.{category}.{name}.") for name in PRESET_NAMES}
    )


def _preset(values: Any, prefix: str) -> Preset:
    checks = {
        "steps": rules.integer(1, 500),
        "cfg_scale": rules.number(0, 30),
        "sampler": rules.choice(SAMPLERS),
        "why": rules.text(200),
    }
    measured = {
        "reward": rules.number(0, 1),
        "interval": rules.window(0, 1),
        "clips": rules.integer(1, 1_000_000),
        "measured_by": rules.text(200),
    }
    rules.known_fields(values, (*checks, *measured), prefix)
    told = {name: rule(prefix + name, values.get(name)) for name, rule in checks.items()}
    told |= {n: rules.optional(values, n, rule, None, prefix) for n, rule in measured.items()}
    return Preset(**told)


def with_presets(
    content: Mapping[str, Any], category: str, named: Mapping[str, Preset], notes: str = ""
) -> dict[str, Any]:
    """Return the content of a presets file with one category replaced.

    Args:
        content: of the file.
        category: whose presets to replace.
        named: all of PRESET_NAMES.
        notes: replaces the file's; empty keeps them.

    Raises:
        FieldError: what would be written is not valid.
    """
    entry = {
        name: {key: value for key, value in asdict(named[name]).items() if value is not None}
        for name in PRESET_NAMES
    }
    told = {"notes": notes or content["notes"], "presets": {**content["presets"], category: entry}}
    told = json.loads(json.dumps(told))
    parse_presets(told)
    return told


def presets_text(content: Mapping[str, Any]) -> str:
    """Write the content of a presets file as JSON, one preset a line."""
    categories = [
        f"    {json.dumps(category)}: {{\n"
        + ",\n".join(f"      {json.dumps(n)}: {json.dumps(p)}" for n, p in named.items())
        + "\n    }"
        for category, named in content["presets"].items()
    ]
    body = ",\n".join(categories)
    return f'{{\n  "notes": {json.dumps(content["notes"])},\n  "presets": {{\n{body}\n  }}\n}}\n'
