"""TRL: a reward function and prompts for GRPOTrainer (and any trainer that takes the same).

    desk = Desk(EnvSettings(model="tiny-stable-audio"), policy="my-model", remember=True)
    trainer = GRPOTrainer(
        model="...", reward_funcs=SoundReward(desk), train_dataset=prompt_dataset(desk, 512)
    )

The answers of a step are made and judged together. A rollout that we lost is None, which TRL leaves
out of the reward; an answer without an action is 0. The parts of the reward, the format rate and
the drop rate are logged as metrics.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from audioforge.data.references import DATA
from audioforge.data.targets import compile_target
from audioforge.rollouts.desk import Desk, Turn
from audioforge.rollouts.metrics import group_metrics
from audioforge.rollouts.record import Rollout

if TYPE_CHECKING:
    from datasets import Dataset

Message = dict[str, Any]


class SoundReward:
    """The total of the reward report, as TRL calls a reward function."""

    __name__ = "audioforge"
    """What TRL calls it in its logs."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._turns = count()

    def __call__(
        self,
        prompts: Sequence[str | list[Message]],
        completions: Sequence[str | list[Message]],
        target: Sequence[str],
        **columns: Any,
    ) -> list[float | None]:
        """Judge the completions of one step; those to the same target are one group.

        Args:
            prompts: not looked at.
            completions: texts, or messages as chat models give them.
            target: one per completion, as `prompt_dataset` has it.
            columns: others of the dataset, and TRL's `log_metric` and `log_extra`.

        Returns:
            One number in [0, 1] per completion, None for each that we lost.
        """
        places: dict[str, list[int]] = defaultdict(list)
        for place, told in enumerate(target):
            places[told].append(place)
        groups = self.desk.submit(
            [
                Turn(
                    compile_target(json.loads(told), DATA),
                    [answer_text(completions[place]) for place in those],
                    next(self._turns),
                )
                for told, those in places.items()
            ]
        ).result()
        rollouts: dict[int, Rollout] = {}
        for group, those in zip(groups, places.values(), strict=True):
            rollouts.update(zip(those, group.rollouts, strict=True))
        ordered = [rollouts[place] for place in range(len(completions))]
        log_metric: Callable[[str, float], None] | None = columns.get("log_metric")
        if log_metric is not None:
            for name, value in group_metrics(groups).items():
                log_metric(name, value)
        log_extra: Callable[[str, list[Any]], None] | None = columns.get("log_extra")
        if log_extra is not None:
            log_extra("outcome", [rollout.outcome for rollout in ordered])
            log_extra("reason", [rollout.reason for rollout in ordered])
        return [rollout.reward for rollout in ordered]


def prompt_dataset(desk: Desk, rows: int | None = None) -> Dataset:
    """Return prompts in TRL's conversational form, a target per row, in the desk's order.

    Args:
        desk: whose targets and generator they are about.
        rows: how many; the pool starts over. None for each target once.

    Returns:
        Columns "prompt" (messages), "target" (JSON, for the reward), "target_id", "category".
    """
    from datasets import Dataset

    wanted = len(desk.pool) if rows is None else rows
    targets = [desk.target_at(index) for index in range(wanted)]
    return Dataset.from_list(
        [
            {
                "prompt": desk.messages(target),
                "target": json.dumps(target.to_json()),
                "target_id": target.id,
                "category": target.category,
            }
            for target in targets
        ]
    )


def answer_text(completion: str | list[Message]) -> str:
    """Return the text of a completion: its last message where it is a conversation."""
    if isinstance(completion, str):
        return completion
    content = completion[-1].get("content") if completion else None
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content or "")
