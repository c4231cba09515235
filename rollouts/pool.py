"""The pool of targets a run draws from: by split, by file, by category, in the dealt order.

Index i of a run always names the same target, whatever was made before, so that a run can go on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audioforge.data import targets as sources
from audioforge.data.families import CATEGORIES

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
    pool = _source(file, split, seed)
    if file:
        pool = [target for target in pool if target.split == split] or pool
    kept = [target for target in pool if target.category in wanted]
    if not kept:
        raise ValueError(
            f"no target of {', '.join(wanted)} in {file or split!r}; choose other categories"
        )
    return deal(kept, seed)


def deal(pool: Sequence[Target], seed: int) -> list[Target]:
    """Shuffle by the seed and deal out category by category, so that a short run meets them all."""
    hands: dict[str, list[Target]] = defaultdict(list)
    for place in np.random.default_rng(seed).permutation(len(pool)):
        hands[pool[place].category].append(pool[place])
    turns = zip_longest(*(hand for _, hand in sorted(hands.items())))
    return [target for turn in turns for target in turn if target is not None]


def _source(file: str, split: str, seed: int) -> list[Target]:
    if file:
        if not Path(file).is_file():
            raise ValueError(f"targets_file must name a file of targets, found none at {file!r}")
        return sources.load_targets(file)
    if split == "procedural":
        return [sources.sample(seed, index) for index in range(PROCEDURAL)]
    if split not in ("train", "eval"):
        raise ValueError(f"split must be train, eval or procedural, got {split!r}")
    return sources.curated(split)
