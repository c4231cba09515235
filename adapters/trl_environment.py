"""TRL: an environment whose tool makes sounds, for models that call tools.

    trainer = GRPOTrainer(
        model="Qwen/Qwen3-0.6B",
        environment_factory=sound_environments(desk),
        train_dataset=tool_dataset(desk, 512),
    )

`environment_factory` is experimental in TRL 1.16 and wants a chat template that knows tools. The
model may call `make_sound` again after it has read what was heard; the reward is that of its last
call: 0 for none that could be read, None for a clip that we lost. TRL 1.16 runs the tools of one
rollout after those of another, so no clips share a pass here: `trl_rewards.py` is the faster way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from audioforge.data.references import DATA
from audioforge.data.targets import compile_target
from audioforge.rollouts.critic import critic_message
from audioforge.rollouts.desk import Desk

if TYPE_CHECKING:
    from datasets import Dataset

REQUEST = "Make this sound with make_sound, read what was heard, and improve it: {description}"
AGAIN = "Call make_sound again to put this right, or stop."


class SoundEnvironment:
    """One rollout; TRL offers the model every public method but `reset` and `get_reward`."""

    def __init__(self, desk: Desk, numbers: Iterator[int]) -> None:
        self._desk, self._numbers = desk, numbers

    def reset(self, target: str, **_: Any) -> None:
        """Begin with a row of `tool_dataset`."""
        self._target = compile_target(json.loads(target), DATA)
        self._reward: float | None = 0.0

    def make_sound(
        self,
        prompt: str,
        seconds_total: float | None = None,
        steps: int | None = None,
        cfg_scale: float | None = None,
        sampler: str | None = None,
    ) -> str:
        """Make a sound and hear what was right and wrong about it.

        Args:
            prompt: What it should sound like.
            seconds_total: Length in seconds.
            steps: Sampler steps; more is slower.
            cfg_scale: How strongly to follow the prompt.
            sampler: Sampler name.

        Returns:
            The score, and what is off, worst first.
        """
        given = {
            "prompt": prompt,
            "seconds_total": seconds_total,
            "steps": steps,
            "cfg_scale": cfg_scale,
            "sampler": sampler,
        }
        answer = json.dumps({name: value for name, value in given.items() if value is not None})
        (rollout,) = self._desk.judge(self._target, [answer], next(self._numbers)).rollouts
        self._reward = rollout.reward
        if rollout.reward is None:
            return f"The sound was lost: {rollout.reason}"
        return critic_message(rollout, self._desk.capabilities.recommended.steps, AGAIN)

    def get_reward(self) -> float | None:
        """Return the reward of the last sound."""
        return self._reward


def sound_environments(desk: Desk) -> Callable[[], SoundEnvironment]:
    """Return the `environment_factory`; its environments share the desk."""
    numbers = count()
    return lambda: SoundEnvironment(desk, numbers)


def tool_dataset(desk: Desk, rows: int | None = None) -> Dataset:
    """Return a request per target, in the desk's order.

    Args:
        desk: whose targets they are.
        rows: how many; the pool starts over. None for each target once.

    Returns:
        Columns "prompt" (messages) and "target" (JSON, for `reset`).
    """
    from datasets import Dataset

    wanted = len(desk.pool) if rows is None else rows
    targets = [desk.target_at(index) for index in range(wanted)]
    return Dataset.from_list(
        [
            {
                "prompt": [
                    {
                        "role": "user",
                        "content": REQUEST.format(description=target.target_description),
                    }
                ],
                "target": json.dumps(target.to_json()),
            }
            for target in targets
        ]
    )
