"""Targets files: JSON, JSONL and YAML read into targets, every problem with its line.

Files are untrusted: size and count are bounded and duplicate ids are refused. The least a target
needs is `target_description` and `category`; the rest is read from the description or takes its
usual value.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from audioforge.data.field_rules import FieldError
from audioforge.data.target_fields import Target, compile_target
from audioforge.data.target_formats import (
    Entry,
    SyntaxProblem,
    json_entries,
    jsonl_entries,
    read_text,
    yaml_entries,
)

MAX_BYTES = {".json": 4_000_000, ".jsonl": 4_000_000, ".yaml": 500_000, ".yml": 500_000}
"""Largest file per suffix; YAML is slow to read."""
MAX_TARGETS = 10_000
MAX_PROBLEMS = 50
"""Problems listed before reading stops."""


class TargetFileError(ValueError):
    """A targets file that cannot be used.

    Attributes:
        path: the file.
        line: from 1, or 0 when the file as a whole is meant.
        field: such as "parameters.target_bpm", or "".
        must: what must hold, continuing "must".
        came: what came.
    """

    def __init__(self, path: Path, line: int, field: str, must: str, came: str) -> None:
        self.path, self.line, self.field, self.must, self.came = (path, line, field, must, came)
        where = f"{path}, line {line}" if line else str(path)
        subject = f"field {field}" if field else "this" if line else "the file"
        super().__init__(f"{where}: {subject} must {must}, got {came}")


def load_targets(path: str | Path) -> list[Target]:
    """Read a user's targets.

    Raises:
        TargetFileError: the first problem, and how many more there are.
    """
    targets, problems = check_targets(path)
    if problems:
        first, more = problems[0], len(problems) - 1
        came = first.came + (
            f" ({more} more problem{'s' * (more > 1)} in the file)" if more else ""
        )
        raise TargetFileError(first.path, first.line, first.field, first.must, came)
    return targets


def check_targets(
    path: str | Path, *, read_description: bool = True
) -> tuple[list[Target], list[TargetFileError]]:
    """Read a targets file as far as it goes.

    Args:
        path: .json (a list, or one target), .jsonl (one a line) or .yaml/.yml (a list, or one).
        read_description: see `compile_target`.

    Returns:
        The good targets in file order, and at most MAX_PROBLEMS problems.
    """
    path = Path(path)
    targets: list[Target] = []
    problems: list[TargetFileError] = []
    first: dict[str, Entry] = {}
    try:
        for entry in _entries(path):
            if len(problems) >= MAX_PROBLEMS:
                break
            try:
                target = compile_target(entry.value, path.parent, read_description=read_description)
                if target.id in first:
                    taken = f"{target.id!r}, taken by line {first[target.id].line_of('')}"
                    line = entry.line_of("id")
                    problems.append(
                        TargetFileError(path, line, "id", "be unique in the file", taken)
                    )
                    continue
            except FieldError as error:
                line = entry.line_of(error.field)
                problems.append(TargetFileError(path, line, error.field, error.must, error.came))
                continue
            first[target.id] = entry
            targets.append(target)
            if len(targets) > MAX_TARGETS:
                raise SyntaxProblem(
                    entry.line_of(""), f"hold at most {MAX_TARGETS} targets", "more"
                )
        if not targets and not problems:
            raise SyntaxProblem(0, "hold at least one target", "none")
    except SyntaxProblem as error:
        problems.append(TargetFileError(path, error.line, "", error.must, error.came))
    return targets, problems


def _entries(path: Path) -> Iterator[Entry]:
    suffix = path.suffix.lower()
    if suffix not in MAX_BYTES:
        raise SyntaxProblem(0, f"end in {', '.join(MAX_BYTES)}", repr(path.suffix))
    text = read_text(path, MAX_BYTES[suffix])
    if suffix == ".jsonl":
        return jsonl_entries(text)
    return json_entries(text) if suffix == ".json" else yaml_entries(text)
