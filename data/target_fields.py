"""Target: one thing to be made, and the rules that compile a plain mapping to it, field by field.

The curated file, users' files and recorded runs all hold the same fields; an unknown one is an
error, never ignored. A mapping that breaks a rule raises FieldError with what must hold and what
came; `data/target_files.py` adds the file and the line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from audioforge.data import field_rules as rules
from audioforge.data.brief import ELEMENTS, KEYS, MAX_SECONDS, Brief
from audioforge.data.families import CATEGORIES, FAMILIES, Category
from audioforge.data.field_rules import FieldError
from audioforge.data.presets import presets
from audioforge.data.references import named_references, stored_references
from audioforge.data.wording import CATEGORY_WORDS, TONE_WORDS, read_text

Difficulty = Literal["easy", "medium", "hard"]
Split = Literal["train", "eval"]
DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
SPLITS: tuple[Split, ...] = ("train", "eval")
SAMPLERS = ("euler", "dpmpp", "pingpong")
ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
DEFAULT_SECONDS = 4.0
SHORTEST_SECONDS = 0.1

TARGET_FIELDS = (
    *("id", "category", "subcategory", "target_description", "reference_file", "parameters"),
    *("baseline_prompt", "difficulty", "split", "metadata", "read_description"),
)
METADATA_FIELDS = ("suitable_sampler", "recommended_steps", "typical_cfg_scale")
PARAMETERS: dict[str, tuple[str, rules.Rule]] = {
    "seconds_total": ("seconds", rules.number(SHORTEST_SECONDS, MAX_SECONDS)),
    "target_bpm": ("bpm", rules.number(30, 300)),
    "key": ("key", rules.choice(KEYS)),
    "loop": ("loop", rules.boolean),
    "brightness": ("brightness", rules.choice(("dark", "bright"))),
    "space": ("space", rules.choice(("dry", "spacious"))),
    "drive": ("drive", rules.choice(("clean", "distorted"))),
    "attack": ("attack", rules.choice(("punchy", "soft"))),
    "percussion": ("percussion", rules.boolean),
    "sustained": ("sustained", rules.boolean),
    "loudness_lufs": ("loudness_lufs", rules.window(-70, 0)),
    "loudness_range_lu": ("loudness_range_lu", rules.window(0, 60)),
    "stereo": ("stereo", rules.choice(("mono", "narrow", "wide"))),
    "one_shot": ("one_shot", rules.boolean),
    "gapless": ("gapless", rules.boolean),
    "required": ("required", rules.some_of(ELEMENTS)),
    "forbidden": ("forbidden", rules.some_of(ELEMENTS)),
    "family": ("family", rules.choice(tuple(FAMILIES))),
}
"""Fields of `parameters`: the brief field each compiles to, and its rule. null means not asked."""

_TONES = ("brightness", "space", "drive", "attack")
_TONE_OF_WORD = {word: field for field, words in TONE_WORDS.items() for word in words}
_DECADE = re.compile(r"\b(?:19|20)?[5-9]0s\b", re.IGNORECASE)
_SEPARATE = {"percussion": True, "sustained": False}
_TEXTURE = {"percussion": False, "sustained": True}
_CERTAIN: dict[str, dict[str, bool]] = {
    **{f.name: _SEPARATE for f in FAMILIES.values() if f.category == "drums"},
    **{name: _TEXTURE for name in ("wind", "drone", "waves", "siren", "riser")},
    **{name: {"sustained": False} for name in ("laser", "arpeggio", "bassline", "melody")},
    **{name: {"percussion": False} for name in ("flute", "organ")},
    "rain": {"sustained": True},
    "impact": _SEPARATE,
}


@dataclass(frozen=True)
class Target:
    """One thing to be made: what the policy reads, and the brief the clip is judged by."""

    id: str
    """Unique within its file; matches ID_PATTERN."""
    category: Category
    subcategory: str
    """A name in FAMILIES, or free text for users' targets."""
    target_description: str
    """What the policy reads."""
    brief: Brief
    """The same in typed fields: what the clip is judged by."""
    baseline_prompt: str
    """A plain prompt for it, to compare a policy's own with."""
    difficulty: Difficulty
    split: Split
    reference_files: tuple[str, ...]
    """Absolute paths of the style set; may be empty."""
    tone_characteristics: tuple[str, ...]
    suitable_sampler: str
    recommended_steps: int
    typical_cfg_scale: float

    def __post_init__(self) -> None:
        if not ID_PATTERN.match(self.id):
            raise ValueError(f"id must match {ID_PATTERN.pattern}, got {self.id!r}")
        if self.category != self.brief.category:
            raise ValueError(
                f"category must be the brief's, {self.brief.category!r}, got {self.category!r}"
            )
        if self.difficulty not in DIFFICULTIES or self.split not in SPLITS:
            raise ValueError(
                f"difficulty must be one of {DIFFICULTIES} and split one of {SPLITS}, "
                f"got {self.difficulty!r} and {self.split!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the plain mapping that `compile_target` turns back into this target."""
        parameters: dict[str, Any] = {
            name: getattr(self.brief, field) for name, (field, _) in PARAMETERS.items()
        }
        return {
            "id": self.id,
            "category": self.category,
            "subcategory": self.subcategory,
            "target_description": self.target_description,
            "reference_file": stored_references(
                self.reference_files, self.category, self.brief.family
            ),
            "parameters": parameters | {"tone_characteristics": list(self.tone_characteristics)},
            "baseline_prompt": self.baseline_prompt,
            "difficulty": self.difficulty,
            "split": self.split,
            "metadata": {name: getattr(self, name) for name in METADATA_FIELDS},
            "read_description": False,
        }


def certain(category: Category, family: str | None) -> dict[str, bool]:
    """Return `percussion` and `sustained` where the kind of sound leaves no doubt."""
    if family is not None:
        return dict(_CERTAIN.get(family, {}))
    return dict(_SEPARATE) if category == "drums" else {}


def difficulty_of(brief: Brief) -> Difficulty:
    """Grade by how many of tempo, key, loop and the four tones are asked: 0-1, 2, 3 or more."""
    asked = sum(name in brief.asked() for name in ("bpm", "key", "loop", *_TONES))
    return "easy" if asked <= 1 else "medium" if asked == 2 else "hard"


def compile_target(entry: Any, folder: Path, *, read_description: bool = True) -> Target:
    """Compile a plain mapping to a Target.

    Args:
        entry: the mapping; only `target_description` and `category` must be there.
        folder: what a relative `reference_file` is relative to.
        read_description: whether brief fields that `parameters` does not name are read from the
            description; the entry's own `read_description` wins.

    Raises:
        FieldError: a field is unknown, missing or out of its range.
    """
    rules.known_fields(entry, TARGET_FIELDS)
    category: Category = rules.required(entry, "category", rules.choice(CATEGORIES))
    description = rules.required(entry, "target_description", rules.text(1_000))
    reads = rules.optional(entry, "read_description", rules.boolean, read_description)
    subcategory = rules.optional(entry, "subcategory", rules.text(80), "")
    tones, brief = _compile_parameters(entry, category, subcategory, description if reads else None)
    usual = presets()[category]["balanced"]
    metadata = rules.mapping(entry, "metadata", METADATA_FIELDS)
    stem = hashlib.sha256(description.encode()).hexdigest()[:8]
    return Target(
        id=rules.optional(entry, "id", rules.pattern(ID_PATTERN), f"{category}-{stem}"),
        category=category,
        subcategory=subcategory or brief.family or category,
        target_description=description,
        brief=brief,
        baseline_prompt=rules.optional(
            entry, "baseline_prompt", rules.text(1_000), _plain_prompt(brief)
        ),
        difficulty=rules.optional(
            entry, "difficulty", rules.choice(DIFFICULTIES), difficulty_of(brief)
        ),
        split=rules.optional(entry, "split", rules.choice(SPLITS), "train"),
        reference_files=named_references(entry, folder, category, brief.family),
        tone_characteristics=tones,
        suitable_sampler=rules.optional(
            metadata, "suitable_sampler", rules.pattern(ID_PATTERN), usual.sampler, "metadata."
        ),
        recommended_steps=rules.optional(
            metadata, "recommended_steps", rules.integer(1, 500), usual.steps, "metadata."
        ),
        typical_cfg_scale=rules.optional(
            metadata, "typical_cfg_scale", rules.number(0, 30), usual.cfg_scale, "metadata."
        ),
    )


def _compile_parameters(
    entry: Mapping[str, Any], category: Category, subcategory: str, description: str | None
) -> tuple[tuple[str, ...], Brief]:
    """Merge what is certain, the description, the tone words and the explicit fields, last wins."""
    parameters = rules.mapping(entry, "parameters", (*PARAMETERS, "tone_characteristics"))
    explicit = {
        field: None if parameters[name] is None else rule(f"parameters.{name}", parameters[name])
        for name, (field, rule) in PARAMETERS.items()
        if name in parameters
    }
    read = _read(description, category) if description is not None else {}
    if subcategory in FAMILIES and FAMILIES[subcategory].category == category:
        read["family"] = subcategory
    family = explicit.get("family", read.get("family"))
    if family is not None and FAMILIES[family].category != category:
        raise FieldError("parameters.family", f"be a family of category {category!r}", family)
    words = rules.optional(
        parameters, "tone_characteristics", rules.texts(16, 40), None, "parameters."
    )
    toned = _toned(words or (), explicit)
    sure = certain(category, family) if description is not None else {}
    fields: dict[str, Any] = (
        {"seconds": DEFAULT_SECONDS} | sure | read | toned | explicit | {"family": family}
    )
    if fields["seconds"] is None:
        raise FieldError("parameters.seconds_total", "be a number of seconds", None)
    both = set(fields.get("required") or ()) & set(fields.get("forbidden") or ())
    if both:
        raise FieldError("parameters.forbidden", "not hold what is required", sorted(both))
    brief = Brief(category, **fields)
    said = tuple(v for name in _TONES if (v := getattr(brief, name)) is not None)
    return (said if words is None else words), brief


def _read(description: str, category: Category) -> dict[str, Any]:
    """Read brief fields from free text.

    "80s" names a decade, not a length. `loop` is not taken from words: "a drum loop" names a kind
    of sound, and only `parameters.loop` asks for one that repeats without a seam.
    """
    fields = dict(read_text(_DECADE.sub(" ", description)).fields)
    if fields.pop("category", category) != category:
        fields.pop("family", None)
    fields.pop("loop", None)
    if fields.get("seconds", SHORTEST_SECONDS) < SHORTEST_SECONDS:
        del fields["seconds"]
    return fields


def _toned(words: tuple[str, ...], explicit: Mapping[str, Any]) -> dict[str, str]:
    """Return the brief fields that tone words ask for; words nobody knows only describe."""
    toned: dict[str, str] = {}
    for word in words:
        name, value = _TONE_OF_WORD.get(word.lower(), ("", ""))
        if not name:
            continue
        other = toned.setdefault(name, value)
        stated = explicit.get(name) or value
        if other != value or stated != value:
            clash = other if other != value else stated
            raise FieldError(
                "parameters.tone_characteristics", f"agree on {name} ({clash!r} is asked too)", word
            )
    return toned


def _plain_prompt(brief: Brief) -> str:
    return FAMILIES[brief.family].words[0] if brief.family else CATEGORY_WORDS[brief.category][0]
