"""FileScore: one file, judged against one brief, as one row of a table.

A file that cannot be read has no score, never 0: its row says why. 0 is always a verdict, such as
"silent". Columns that are no field of FileScore are the parts of the reward.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from audioforge.reward_functions.config import PARTS

SCORED, UNREADABLE, FAILED = "scored", "unreadable", "failed"
OUTCOMES = (SCORED, UNREADABLE, FAILED)


@dataclass(frozen=True)
class FileScore:
    """One row."""

    path: str
    sha256: str
    """Of the file's bytes; empty when they could not be read."""
    outcome: str
    """scored; unreadable (the file's fault); failed (ours: judged again by the next run)."""
    total: float | None = None
    """In [0, 1]; None unless scored."""
    parts: Mapping[str, float | None] = field(default_factory=dict)
    """Each part in [0, 1]; None where it could not judge."""
    gates: str = ""
    """Names of the gates that fired, joined by "; "."""
    failed_checks: str = ""
    """The claims of the brief that do not hold, in words, joined by "; "."""
    not_checked: int = 0
    """How many claims could not be checked."""
    reason: str = ""
    """One line: what lowers the total most, or why there is none."""
    brief: str = ""
    """What was asked, in words."""
    understood: str = ""
    """The fields of the Brief that were judged, as JSON; empty without a brief."""
    target: str = ""
    """Id of the target, if one was given."""
    seconds: float | None = None
    sample_rate: int | None = None
    """In Hz."""
    channels: int | None = None
    asked: str = ""
    """Hash of brief and references: rows agree only where it is the same."""
    scorer: str = ""
    """Version of the scorer, see `versions.py`."""
    versions: str = ""
    """Versions of the libraries."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What decides a score: bytes, brief and scorer; the path does not."""
        return self.sha256, self.asked, self.scorer

    @property
    def place(self) -> tuple[str, str]:
        """Where the row stands in a table: rows are sorted by path, then brief."""
        return self.path, self.asked

    def to_json(self) -> dict[str, Any]:
        """Return plain types in the order of the columns, the parts between total and gates."""
        row: dict[str, Any] = {}
        for one in fields(self):
            if one.name == "parts":
                row |= {name: self.parts.get(name) for name in (*PARTS, *self._others())}
            else:
                row[one.name] = getattr(self, one.name)
        return row

    def _others(self) -> list[str]:
        return sorted(set(self.parts) - set(PARTS))

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> FileScore:
        """Read what `to_json` gave, also where a table made text of every value.

        Raises:
            ValueError: a column is missing or holds something else.
        """
        known = {one.name: one for one in fields(cls) if one.name != "parts"}
        if missing := sorted(set(known) - set(row)):
            raise ValueError(f"a row of scores must have the columns {missing}")
        if row["outcome"] not in OUTCOMES:
            raise ValueError(f"outcome must be one of {OUTCOMES}, got {row['outcome']!r}")
        values: dict[str, Any] = {}
        for name, one in known.items():
            values[name] = _READ[str(one.type)](row[name])
        parts = {name: _number(value) for name, value in row.items() if name not in known}
        return cls(**values, parts=parts)


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = float(value)
    return None if math.isnan(number) else number


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


_READ = {
    "str": _text,
    "int": lambda value: _whole(value) or 0,
    "float | None": _number,
    "int | None": _whole,
}
"""How a column of each annotated type is read."""
