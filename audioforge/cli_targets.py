"""What `audioforge targets` shows: renderables for the terminal, no printing and no exit codes."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from audioforge.data.families import CATEGORIES
from audioforge.data.target_fields import SPLITS, Target
from audioforge.data.targets import check_targets, curated, load_targets


def list_targets(
    path: str | Path | None = None, *, category: str | None = None, split: str | None = None
) -> Table:
    """Tabulate targets.

    Args:
        path: a user's file, or None for the curated targets.
        category: keep one of CATEGORIES only.
        split: keep "train" or "eval" only.

    Raises:
        ValueError: an unknown category or split.
        TargetFileError: the file cannot be used.
    """
    for name, value, allowed in (("category", category, CATEGORIES), ("split", split, SPLITS)):
        if value is not None and value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    kept = [
        t for t in _targets(path) if category in (None, t.category) and split in (None, t.split)
    ]
    table = Table(
        "id", "category", "split", "difficulty", "description", title=f"{len(kept)} targets"
    )
    for t in kept:
        # Text, not str: a description may hold what rich would take for markup.
        table.add_row(
            *(Text(v) for v in (t.id, t.category, t.split, t.difficulty, t.target_description))
        )
    return table


def show_target(target_id: str, path: str | Path | None = None) -> RenderableType:
    """Show one target: the words, what is judged, the style set and the recommended setting.

    Raises:
        ValueError: no such id.
        TargetFileError: the file cannot be used.
    """
    target = next((t for t in _targets(path) if t.id == target_id), None)
    if target is None:
        where = f"in {path}" if path else "among the curated targets"
        raise ValueError(f"no target {target_id!r} {where}; `audioforge targets list` names them")
    judged = Table("asked", "value", title="judged by", title_justify="left")
    for name, value in target.brief.asked().items():
        judged.add_row(name, Text(json.dumps(value)))
    steps, cfg = target.recommended_steps, target.typical_cfg_scale
    setting = f"{target.suitable_sampler}, {steps} steps, cfg {cfg:g}"
    return Group(
        Text(f"{target.id} ({target.category}, {target.difficulty}, {target.split})", style="bold"),
        Text(target.target_description),
        judged,
        Text(f"tone words: {', '.join(target.tone_characteristics) or 'none'}"),
        Text(f"plain prompt: {target.baseline_prompt}"),
        Text(f"recommended: {setting}"),
        Text(f"style set: {len(target.reference_files)} clips" + _first(target.reference_files)),
    )


def validate_file(path: str | Path) -> tuple[RenderableType, bool]:
    """Check a user's file.

    Returns:
        Every problem on a line of its own, or what was understood; and whether the file is good.
    """
    targets, problems = check_targets(path)
    if problems:
        return Group(*(Text(str(problem)) for problem in problems)), False
    table = Table("id", "description", "judged by", title=f"{path}: no problems in {len(targets)}")
    for t in targets:
        asked = ", ".join(f"{name} {value}" for name, value in t.brief.asked().items())
        table.add_row(Text(t.id), Text(t.target_description), Text(asked))
    return table, True


def _targets(path: str | Path | None) -> list[Target]:
    return load_targets(path) if path else curated()


def _first(files: tuple[str, ...]) -> str:
    return f", first {files[0]}" if files else ""
