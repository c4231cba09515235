"""The pool of targets a run draws from: by split, by file, by category, in the dealt order.

Index i of a run always names the same target, whatever was made before, so that a run can go on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from audioforge.data import targets as sources
from audioforge.data.families import CATEGORIES
from audioforge.rollouts.run import RunConfig, plan_targets

if TYPE_CHECKING:
    from audioforge.data.targets import Target

PROCEDURAL = 1_024
"""Targets drawn for the procedural source before it starts over."""


def category_names(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of categories; nothing means all.

    Raises:
        ValueError: a name that is no category.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in CATEGORIES:
            raise ValueError(f"categories must be among {list(CATEGORIES)}, got {name!r}")
    return names or tuple(CATEGORIES)


def target_pool(file: str, split: str, categories: str, seed: int) -> list[Target]:
    """Return the targets of a run in the order in which they are asked, each once.

    Args:
        file: of the user's own targets; empty for ours.
        split: "train", "eval" or "procedural". A file without a target of the split gives all.
        categories: comma-separated; empty for all.
        seed: decides the order.

    Raises:
        ValueError: no such file, a broken one (TargetFileError), or nothing left to ask.
    """
    wanted = category_names(categories)
    if file and not Path(file).is_file():
        raise ValueError(f"targets_file must name a file of targets, found none at {file!r}")
    size = len(sources.load_targets(file)) if file else _size(split)
    config = RunConfig(out=Path(), groups=max(size, 1), seed=seed, targets=file or split)
    dealt = plan_targets(config)
    if file:
        dealt = [target for target in dealt if target.split == split] or dealt
    kept = [target for target in dealt if target.category in wanted]
    if not kept:
        raise ValueError(
            f"no target of {', '.join(wanted)} in {file or split!r}; choose other categories"
        )
    return kept


def _size(split: str) -> int:
    return PROCEDURAL if split == "procedural" else len(sources.curated(split))  # type: ignore[arg-type]
