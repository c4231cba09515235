"""Metrics of groups: what a training curve needs and no trainer computes.

Means run over rollouts with a verdict; dropped ones are counted, never averaged as 0.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from audioforge.rollouts.curriculum import Curriculum
from audioforge.rollouts.episode import episode_numbers
from audioforge.rollouts.record import Group, Rollout
from audioforge.utils.wandb_logger import Row, Window


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


def rows(group: Group, folder: Path, most: int) -> list[Row]:
    """Return table rows for the first `most` rollouts of a group; a negative number is all."""
    chosen = group.rollouts if most < 0 else group.rollouts[:most]
    return [_row(group, rollout, folder) for rollout in chosen]


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


def _row(group: Group, rollout: Rollout, folder: Path) -> Row:
    request, clip = rollout.request, rollout.clip
    return Row(
        target=group.target.target_description,
        prompt=request.prompt if request else rollout.text,
        parameters=json.dumps(
            {k: v for k, v in request.to_json().items() if k != "prompt"} if request else {}
        ),
        reward=rollout.reward,
        audio=folder / clip.path if clip and clip.path else None,
    )
