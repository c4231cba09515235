"""Targets of one second, which are made and judged quickly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def write_short_targets(path: Path, words: Mapping[str, str], each: int = 1) -> str:
    """Write targets of both splits, `each` for every category in `words`; return the file."""
    told = [
        {
            "id": f"{category}-{split}-{number}",
            "category": category,
            "target_description": f"{said}, number {number}",
            "parameters": {"seconds_total": 1.0},
            "split": split,
        }
        for category, said in words.items()
        for split in ("train", "eval")
        for number in range(each)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in told))
    return str(path)
