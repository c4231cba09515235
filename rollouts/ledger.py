"""Ledger: what became of each group on its way to a trainer, so that no crash loses or doubles one.

    outbox/<group>.json   its answers with their tokens, from when they came until it is settled
    outcomes.jsonl        one line per step: sending, then sent, withheld or unconfirmed

A group counts as settled with its last line. "sending" is written before a group is sent: one that
is still there after a crash may have arrived, so it is settled as unconfirmed and not sent again.
Lines are flushed to the system, not synced: they survive the end of the process, not of the power.

Where an answer is a conversation of several turns, it is kept when it is over, just before its
group is recorded: one that a crash interrupts is held again from its first turn.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from audioforge.rollouts.outgoing import Encoded
from audioforge.rollouts.studio import Answer, Completion

OUTBOX, OUTCOMES = "outbox", "outcomes.jsonl"
Outcome = Literal["sending", "unsent", "sent", "withheld", "unconfirmed"]
SETTLED = frozenset({"sent", "withheld", "unconfirmed"})


Item = dict[str, Any]
"""One group to be made: "index" and "target"; then "answers" or, with several turns,
"conversations", and "collecting", its task; or "made", the group and its tokens, where an earlier
start has made it but not sent it."""


class Ledger:
    """The way of a run's groups to the trainer. One process writes at a time (the store's lock)."""

    def __init__(self, folder: Path) -> None:
        """Open it, and settle what a crash has left in doubt.

        Raises:
            OSError: the folder cannot be written.
        """
        self._outbox, self._lines = folder / OUTBOX, folder / OUTCOMES
        self._outbox.mkdir(parents=True, exist_ok=True)
        for torn in self._outbox.glob("*.part"):
            torn.unlink()
        last = self._last_lines()
        self.counts = Counter(outcome for outcome in last.values() if outcome in SETTLED)
        """Settled groups, by what became of them."""
        self.settled = {group for group, outcome in last.items() if outcome in SETTLED}
        for group in self.open():
            if last.get(group) == "sending":
                self.settle(group, "unconfirmed", "the run ended while it was being sent")
            elif last.get(group) in SETTLED:
                self._path(group).unlink()

    def open(self) -> list[int]:
        """Return the groups that have answers and are not settled, in order."""
        return sorted(int(path.stem) for path in self._outbox.glob("*.json"))

    def answered(self, group: int, answers: list[Answer], target: str = "") -> None:
        """Keep the answers of a group, and the id of its target, until it is settled.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        every = [answer.completion.__dict__ | answer.encoded._asdict() for answer in answers]
        told = {"target": target, "answers": every}
        part = self._path(group).with_suffix(".part")
        part.write_text(json.dumps(told), encoding="utf-8")
        os.replace(part, self._path(group))

    def answers(self, group: int) -> list[Answer] | None:
        """Return the answers of a group that is not settled, None where there are none."""
        try:
            told: list[dict[str, Any]] = self._read(group)["answers"]
            return [
                Answer(
                    Completion(one["text"], one["finish_reason"]),
                    Encoded(one["tokens"], one["masks"], one["logprobs"]),
                )
                for one in told
            ]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there or cut by a power loss: the model is asked again

    def target(self, group: int) -> str | None:
        """Return the id of the target that a group which is not settled was asked for."""
        try:
            return self._read(group)["target"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def settle(self, group: int, outcome: Outcome, reason: str = "") -> None:
        """Write down what became of a group; once settled, its answers are let go.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        told = {"group": group, "outcome": outcome} | ({"reason": reason} if reason else {})
        with self._lines.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(told) + "\n")
        if outcome in SETTLED:
            self.counts[outcome] += 1
            self.settled.add(group)
            self._path(group).unlink(missing_ok=True)

    def _read(self, group: int) -> dict[str, Any]:
        return json.loads(self._path(group).read_text(encoding="utf-8"))

    def _path(self, group: int) -> Path:
        return self._outbox / f"{group:06d}.json"

    def _last_lines(self) -> dict[int, str]:
        """Return the last outcome of each group; a torn last line is cut."""
        last: dict[int, str] = {}
        if not self._lines.exists():
            return last
        content = self._lines.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self._lines, len(whole))
        for line in whole.splitlines():
            told = json.loads(line)
            last[int(told["group"])] = told["outcome"]
        return last
