"""Metrics of groups: what a training curve needs and no trainer computes.

Means run over rollouts with a verdict; dropped ones are counted, never averaged as 0.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from audioforge.generation.engine_metrics import EngineMetrics
from audioforge.rollouts.curriculum import Curriculum
from audioforge.rollouts.episode import episode_numbers
from audioforge.rollouts.pictures import TRACKED_FOLDER, Point
from audioforge.rollouts.record import Group, Rollout
from audioforge.rollouts.store import finite
from audioforge.utils.audio_processing import flac_bytes
from audioforge.utils.wandb_logger import MAX_PAIRS, Pair, Row, Window


def group_metrics(groups: Iterable[Group]) -> dict[str, float]:
    """Return the means over all rollouts of these groups.

    Keys: "reward", "reward/<category>", "part/<name>" in [0, 1]; "format_rate", the share of
    answers that could be parsed; "drop_rate", the share that was dropped; "cost/evaluations" and
    "cost/seconds" of the clips, and "cost/charge", what was taken off their rewards; "rollouts", a
    count. With several turns these are over the answers of all turns, and "episode/reward",
    "episode/first", "episode/best", "episode/improvement" and "episode/turns" over the
    conversations. A mean over nothing is left out.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        for rollout in group.rollouts:
            _measure(rollout, group.target.category, values)
        for name, number in episode_numbers(group):
            values[name].append(number)
    told = {name: statistics.fmean(numbers) for name, numbers in sorted(values.items())}
    return told | {"rollouts": float(len(values["drop_rate"]))}


def observe(group: Group, window: Window) -> None:
    """Put the numbers and the drop reasons of one group into a logging window."""
    values: dict[str, list[float]] = defaultdict(list)
    for rollout in group.rollouts:
        _measure(rollout, group.target.category, values)
        if rollout.outcome == "dropped":
            window.drops[kind_of(rollout.reason)] += 1
    for name, number in episode_numbers(group):
        values[name].append(number)
    for name, numbers in values.items():
        for number in numbers:
            window.add(name, number)
    for stage, seconds in group.timings.items():
        window.add(f"seconds/{stage}", seconds)
    for name, count in group.drops.items():
        window.add(f"count/{name}", float(count))


def curriculum_metrics(curriculum: Curriculum | None) -> dict[str, float]:
    """Return where a curriculum stands: "curriculum/position" and success and share by level."""
    told = {} if curriculum is None else curriculum.numbers()
    return {f"curriculum/{name}": number for name, number in told.items()}


def engine_metrics(now: EngineMetrics, before: EngineMetrics | None) -> dict[str, float]:
    """Return what an engine did between two looks; docs/logging.md says what each key means."""
    done = {name: getattr(now, name) - (getattr(before, name) if before else 0) for name in _COUNTS}
    return {f"engine/{name}": float(count) for name, count in done.items()} | {
        "engine/batch_fill": now.batch_fill,
        "engine/queue_ms": now.queue_ms,
        "engine/peak_mb": now.peak_mb,
    }


_COUNTS = ("busy_seconds", "clips", "passes", "requests", "cache_hits", "shared", "ooms", "kills")


def rows(group: Group, folder: Path, most: int) -> list[Row]:
    """Return table rows for the first `most` rollouts of a group; a negative number is all."""
    chosen = group.rollouts if most < 0 else group.rollouts[:most]
    return [row_of(rollout, folder) for rollout in chosen]


def worst_and_best(group: Group, folder: Path) -> Pair | None:
    """Return the two ends of a group with their clips; None where all are worth the same."""
    heard = [r for r in group.rollouts if r.reward is not None and r.clip is not None]
    ranked = sorted(heard, key=lambda rollout: rollout.reward or 0.0)
    if len(ranked) < 2 or ranked[0].reward == ranked[-1].reward:
        return None
    return Pair(row_of(ranked[0], folder), row_of(ranked[-1], folder))


def effects_of(group: Group) -> list[Point]:
    """Return what the clips of a group were asked for and what they were worth."""
    return [
        Point(r.request.steps, r.request.cfg_scale, r.request.sampler, r.reward)
        for r in group.rollouts
        if r.request is not None and r.reward is not None and r.duplicate_of is None
    ]


class Evaluations:
    """The first evaluation of a run against the latest, target by target, as sound."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before: dict[str, Row] = {}

    def compared(self, groups: Sequence[Group]) -> list[Pair]:
        """Take in an evaluation; return pairs of it and the first, none for the first itself.

        Raises:
            OSError: the run folder cannot be written.
        """
        first, pairs = not self._before, []
        for group in groups[:MAX_PAIRS]:
            audio, rollout = next(iter(group.audios), None), group.rollouts[0]
            if audio is None:
                continue
            name = "before" if first else "after"
            path = self._folder / TRACKED_FOLDER / f"{group.index:04d}-{name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(flac_bytes(finite(audio)))
            row = replace(row_of(rollout, self._folder), audio=path)
            if first:
                self._before[group.target.id] = row
            elif group.target.id in self._before:
                pairs.append(Pair(self._before[group.target.id], row))
        return pairs


def kind_of(reason: str) -> str:
    """Shorten a reason to what can be counted: the words before the first colon."""
    return reason.partition(":")[0].strip()[:60] or "unknown"


def _measure(rollout: Rollout, category: str, values: dict[str, list[float]]) -> None:
    values["drop_rate"].append(float(rollout.outcome == "dropped"))
    if rollout.reward is None:
        return
    values["reward"].append(rollout.reward)
    values[f"reward/{category}"].append(rollout.reward)
    values["format_rate"].append(float(rollout.action is not None))
    for name, amount in (rollout.cost or {}).items():
        values[f"cost/{name}"].append(amount)
    if rollout.report is not None:
        for name, score in rollout.report.parts.items():
            if score.scored:
                values[f"part/{name}"].append(float(score.value))


def row_of(rollout: Rollout, folder: Path) -> Row:
    """Return a rollout as a row of a table."""
    request, clip = rollout.request, rollout.clip
    asked = {k: v for k, v in request.to_json().items() if k != "prompt"} if request else {}
    return Row(
        target=str(rollout.target["target_description"]),
        prompt=request.prompt if request else rollout.text,
        parameters=json.dumps(asked),
        reward=rollout.reward,
        audio=folder / clip.path if clip and clip.path else None,
        category=str(rollout.target.get("category", "")),
        rollout=rollout.id,
    )
