"""KeepAudio: which clips of a run stay on disk, so that a long run does not fill it.

"all" keeps every clip, "none" stores none, "newest:N" and "best:N" keep the N latest or the N with
the highest rewards. The record of every rollout stays, with the clip's sha256, and `replay` makes a
clip again that is gone.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audioforge.rollouts.record import Rollout
    from audioforge.rollouts.store import RunStore

RULE = re.compile(r"all|none|(?:newest|best):[1-9][0-9]{0,8}")


class KeepAudio:
    """Removes clips that a rule does not keep."""

    def __init__(self, folder: Path, rule: str = "all") -> None:
        """Read a rule.

        Raises:
            ValueError: it is none.
        """
        if not RULE.fullmatch(rule):
            raise ValueError(f"keep_audio must be all, none, newest:N or best:N, got {rule!r}")
        self.folder, self.none = folder, rule == "none"
        kind, _, most = rule.partition(":")
        self._best, self._most = kind == "best", int(most or 0)
        self._kept: list[tuple[float, int, str]] = []
        """A heap, what goes next at the front: (worth, when, path)."""
        self._count = 0

    def start(self, store: RunStore) -> None:
        """Go on with a run: remove what the rule does not keep, and files that no line names."""
        if not self._most:
            return
        named: set[str] = set()
        for group in store.groups():
            named |= {r.clip.path for r in group if r.clip is not None and r.clip.path}
            self.add(group)
        for path in (self.folder / "audio").glob("*.flac"):
            if f"audio/{path.name}" not in named:
                path.unlink(missing_ok=True)

    def add(self, rollouts: Sequence[Rollout]) -> None:
        """Take in a group that has been recorded, and remove what has to go for it."""
        if not self._most:
            return
        for rollout in rollouts:
            if rollout.clip is None or not rollout.clip.path or rollout.duplicate_of is not None:
                continue
            self._count += 1
            worth = (rollout.reward or 0.0) if self._best else float(self._count)
            heapq.heappush(self._kept, (worth, self._count, rollout.clip.path))
        while len(self._kept) > self._most:
            path = heapq.heappop(self._kept)[2]
            if all(path != other for _, _, other in self._kept):
                (self.folder / path).unlink(missing_ok=True)
