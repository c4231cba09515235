"""References: the clips a style target is compared with, a small set per family.

They lie in `data/evaluation_references/<category>/<family>-<n>.flac` and are rendered by the
teacher with `python -m audioforge.generation.render_references`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from audioforge.data import field_rules as rules
from audioforge.data.families import FAMILIES, Category, in_category
from audioforge.data.field_rules import FieldError
from audioforge.utils.audio_processing import read_audio

DATA = Path(__file__).resolve().parent
REFERENCES = DATA / "evaluation_references"
MAX_REFERENCE_SECONDS = 60.0
"""Longest reference of a user's own."""


@cache
def reference_files(category: Category, family: str | None = None) -> tuple[Path, ...]:
    """Return the style set of a family, or of all families of a category, in a fixed order.

    Args:
        category: one of CATEGORIES.
        family: a name in FAMILIES of that category, or None for the whole category.

    Raises:
        ValueError: the family is unknown or in another category.
        FileNotFoundError: the references were not rendered.
    """
    if family is not None and (family not in FAMILIES or FAMILIES[family].category != category):
        names = [f.name for f in in_category(category)]
        raise ValueError(f"family must be one of {names} in category {category!r}, got {family!r}")
    names = [family] if family else [f.name for f in in_category(category)]
    found = [
        path for name in names for path in sorted((REFERENCES / category).glob(f"{name}-*.flac"))
    ]
    if not found:
        raise FileNotFoundError(
            f"no references of {family or category} in {REFERENCES}; "
            "run python -m audioforge.generation.render_references"
        )
    return tuple(found)


def named_references(
    entry: Mapping[str, Any], folder: Path, category: Category, family: str | None
) -> tuple[str, ...]:
    """Return the style set: the files named, or the family's own set.

    A single file of our own references stands for its family's set, itself first.
    """
    named = rules.optional(entry, "reference_file", rules.one_or_more(64, 1_000), None)
    if named is None:
        if entry.get("reference_file", ()) == []:
            return ()
        return tuple(map(str, reference_files(category, family)))
    found = [_find(name, folder) for name in named]
    if (
        len(found) == 1
        and isinstance(entry["reference_file"], str)
        and REFERENCES in found[0].parents
    ):
        family = found[0].stem.rpartition("-")[0]
        siblings = [p for p in found[0].parent.glob(f"{family}-*.flac") if p != found[0]]
        found += sorted(siblings)
    return tuple(map(str, found))


def _find(name: str, folder: Path) -> Path:
    """Return the file named: absolute, or beside the targets file, or in our data folder."""
    for base in (folder, DATA):
        path = os.path.abspath(base / name)
        if os.path.isfile(path):  # unlike Path.is_file, false for names too long to exist
            _check_sound(Path(path), name)
            return Path(path)
    raise FieldError("reference_file", f"be a file, absolute or relative to {folder}", name)


def _check_sound(path: Path, name: str) -> None:
    """Refuse users' references that are not sound, now rather than at the first score."""
    if REFERENCES in path.parents:
        return
    try:
        read_audio(path, MAX_REFERENCE_SECONDS)
    except ValueError as error:
        must = f"be a sound file of at most {MAX_REFERENCE_SECONDS:g} s"
        raise FieldError("reference_file", must, name) from error


def stored_references(
    files: tuple[str, ...], category: Category, family: str | None
) -> str | list[str]:
    """Return references for JSON: our own relative to the data folder, others absolute."""
    short = [str(Path(f).relative_to(DATA)) if DATA in Path(f).parents else f for f in files]
    own = tuple(map(str, reference_files(category, family))) if family else ()
    return short[0] if files and files == own else short
