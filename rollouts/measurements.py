"""Measurements of a parameter search on disk, so that none is ever paid for twice.

The file holds one JSON line of facts, then one line per measurement, synced before the next is
asked for. A last line that a crash has torn is cut away and measured again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from audioforge.utils.parameter_optimizer import Job, Objective, Outcome


class Journal:
    """The file.

    Args:
        path: of the file; made with its folder where it is missing.
        facts: plain types that every measurement depends on, such as model and seed.

    Raises:
        ValueError: the file belongs to other facts.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.path = path
        self._known: dict[str, Outcome] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = list(self._lines())
        if not lines:
            self._append([{"facts": dict(facts)}])
        elif lines[0].get("facts") != json.loads(json.dumps(dict(facts))):
            raise ValueError(
                f"{path} belongs to another search ({json.dumps(lines[0].get('facts'))[:200]}); "
                "choose another folder or remove it"
            )
        for line in lines[1:]:
            outcome = line["outcome"]
            rewards = tuple(outcome.pop("rewards"))
            self._known[line["job"]] = Outcome(rewards=rewards, **outcome)

    def remembering(self, objective: Objective) -> Objective:
        """Return an objective that looks here first, and writes down what it had to measure."""

        def remembered(jobs: Sequence[Job]) -> list[Outcome]:
            names = [json.dumps(asdict(job), sort_keys=True) for job in jobs]
            missing = {n: job for n, job in zip(names, jobs, strict=True) if n not in self._known}
            measured = objective(list(missing.values())) if missing else []
            found = dict(zip(missing, measured, strict=True))
            self._append({"job": name, "outcome": asdict(one)} for name, one in found.items())
            self._known |= found
            return [self._known[name] for name in names]

        return remembered

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Yield whole lines, and cut away one that was torn by a crash."""
        if not self.path.exists():
            return
        end = 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                os.truncate(self.path, end)
                return
            end += len(line)
            yield json.loads(line)

    def _append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        with self.path.open("ab") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())
