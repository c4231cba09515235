"""Targets: where they come from. The room's front door.

from audioforge.data import targets
targets.curated("eval")          # data/target_styles.json
targets.load_targets("my.yaml")  # a user's own
targets.sample(0, 17)            # drawn, without end
"""

from __future__ import annotations

from functools import cache

from audioforge.data.procedural import sample
from audioforge.data.references import DATA
from audioforge.data.target_fields import SPLITS, Split, Target, compile_target
from audioforge.data.target_files import TargetFileError, check_targets, load_targets

STYLES_FILE = DATA / "target_styles.json"

__all__ = [
    "Target",
    "TargetFileError",
    "check_targets",
    "compile_target",
    "curated",
    "load_targets",
    "sample",
]


def curated(split: Split | None = None) -> list[Target]:
    """Return the curated targets, all or of one split, in file order.

    Their parameters are the whole truth: nothing is read from the descriptions.

    Raises:
        ValueError: an unknown split.
        TargetFileError: the file was edited and broke.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS} or None, got {split!r}")
    return [target for target in _read_curated() if split in (None, target.split)]


@cache
def _read_curated() -> tuple[Target, ...]:
    targets, problems = check_targets(STYLES_FILE, read_description=False)
    if problems:
        raise problems[0]
    return tuple(targets)
