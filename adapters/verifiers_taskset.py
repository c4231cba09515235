"""verifiers (v1): a taskset, one task per target, rewarded by the report's total.

    vf-eval audioforge_sounds ...    with examples/ on PYTHONPATH; docs/adapters.md has the command

A clip that we lost is an error of its rollout, never a reward of 0. The parts of the reward are
metrics, `trace.info["audioforge"]` says what became of the answer. Rollouts that end at the same
time share the generator's passes. Equal answers to one task sound the same: a task has one seed.
"""

# pyright: reportMissingImports=false
# It lives in an environment of its own.

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pydantic import Field

from audioforge.data.references import DATA
from audioforge.data.target_fields import compile_target
from audioforge.rollouts.desk import Desk, Turn, part_values, told
from audioforge.rollouts.settings import EnvSettings

try:
    import verifiers.v1 as vf
except ImportError as missing:
    raise ImportError(
        "verifiers is not installed: pip install verifiers==0.4.0, in an environment of its own "
        "(`make test-verifiers` makes one)"
    ) from missing

__all__ = ["SoundTaskset"]


class LostClip(RuntimeError):
    """The generator or the reward failed: there is no verdict on this answer."""


class SoundData(vf.TaskData):
    """One target."""

    target: str
    """As JSON, what `Target.to_json` gives."""


class SoundTaskConfig(vf.TaskConfig):
    """With what answers are made and judged, under `--env.taskset.task.*`."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """Fields of `rollouts/settings.py`, such as {"model": "tiny-stable-audio"}."""


class SoundTask(vf.Task[SoundData, vf.State, SoundTaskConfig]):
    """Make the sound that a target asks for."""

    @property
    def key(self) -> str:
        """The target's id, which stays when the order of the tasks changes."""
        return str(self.data.id)

    @vf.reward(weight=1.0)
    async def audioforge(self, trace: vf.Trace) -> float:
        """Return the total of the reward report, in [0, 1].

        Raises:
            LostClip: the clip could not be made or judged.
        """
        desk = _desk(EnvSettings(**self.config.settings).model_dump_json())
        target = compile_target(json.loads(self.data.target), DATA)
        turn = Turn(target, [trace.last_reply])
        (group,) = await asyncio.wrap_future(desk.submit([turn]))
        (rollout,) = group.rollouts
        trace.info["audioforge"] = told(rollout)
        if rollout.reward is None:
            raise LostClip(rollout.reason)
        parsed = {"format_rate": float(rollout.action is not None)}
        trace.record_metrics(parsed | part_values(rollout))
        return rollout.reward


class SoundTasksetConfig(vf.TasksetConfig):
    """Which targets, under `--env.taskset.*`."""

    split: str = "train"
    """"train", "eval" or "procedural"."""
    categories: str = ""
    """Comma-separated; empty for all."""
    targets_file: str = ""
    """Your own targets; empty for ours."""
    model: str = "tiny-stable-audio"
    """The generator."""
    task: SoundTaskConfig = SoundTaskConfig()
    """What else is set; the fields above go before it."""


class SoundTaskset(vf.Taskset[SoundTask, SoundTasksetConfig]):
    """The targets of a split, in the order in which the environment asks them."""

    def load(self) -> Iterator[SoundTask]:
        names = ("split", "categories", "targets_file", "model")
        chosen = {name: getattr(self.config, name) for name in names}
        settings = {**self.config.task.settings, **chosen}
        config = self.config.task.model_copy(update={"settings": settings})
        desk = _desk(EnvSettings(**settings).model_dump_json())
        for target in desk.pool:
            messages = {m["role"]: m["content"] for m in desk.messages(target)}
            data = SoundData(
                id=target.id,
                name=target.id,
                description=target.target_description,
                prompt=messages["user"],
                system_prompt=messages["system"],
                target=json.dumps(target.to_json()),
            )
            yield SoundTask(data, config)


@lru_cache(maxsize=2)
def _desk(settings: str) -> Desk:
    """Load the generator once in a process, whoever asks."""
    return Desk(EnvSettings.model_validate_json(settings), "verifiers")
