"""run_rollouts: a run from its config to its report, without any training framework.

Groups are collected one after another; each is on disk before the next begins. A run that was
stopped, by Ctrl-C or by pulling the plug, goes on where it was when it is started again with the
same config: only missing groups are made. At the end the report is written.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audioforge.data import targets as target_sources
from audioforge.generation.registry import load_backend
from audioforge.reward_functions.combined_reward import CombinedReward, RewardConfig
from audioforge.rollouts.collect import Ask, Studio, collect_group
from audioforge.rollouts.errors import RunError
from audioforge.rollouts.facts import start_facts, unchanging_facts
from audioforge.rollouts.pool import deal
from audioforge.rollouts.progress import RunProgress
from audioforge.rollouts.record import Group
from audioforge.rollouts.report import write_report
from audioforge.rollouts.store import RunStore
from audioforge.rollouts.studio import recall

if TYPE_CHECKING:
    from rich.console import Console

    from audioforge.data.targets import Target

MAX_LOST_GROUPS = 3
"""Groups in a row in which every rollout was dropped: then the run stops."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run is asked to do."""

    out: Path
    """The run folder."""
    groups: int = 8
    group_size: int = 4
    seed: int = 0
    targets: str = "train"
    """"train" or "eval" (curated), "procedural", or a file of targets."""
    model: str = "tiny-stable-audio"
    device: str = "auto"
    policy: str = "tiny-policy"
    """Name of the language model behind `ask`, for the record."""
    reward: RewardConfig = field(default_factory=RewardConfig)

    def __post_init__(self) -> None:
        for name in ("groups", "group_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}")

    def to_json(self) -> dict[str, Any]:
        """Return what must not change while a run goes on: all but the place and the device."""
        names = ("groups", "group_size", "seed", "targets", "model", "policy")
        reward = asdict(self.reward)
        return {name: getattr(self, name) for name in names} | {
            "reward": json.loads(json.dumps(reward, default=str))
        }


@dataclass(frozen=True)
class RunSummary:
    """What became of a run."""

    folder: Path
    planned: int
    """Groups the config asks for."""
    done: int
    """Groups on disk."""
    made_now: int
    """Groups this call has made."""
    rollouts: int
    dropped: int
    unparsable: int
    mean_reward: float | None
    """Over all rollouts with a verdict."""
    seconds: float
    """Wall time of this call."""
    report: Path | None
    """The page, or None when the run was interrupted."""
    interrupted: bool = False

    def line(self) -> str:
        """Say it in one line."""
        if self.interrupted:
            return (
                f"stopped after {self.done} of {self.planned} groups, all of them safe in "
                f"{self.folder}: run the same command again to go on"
            )
        mean = "no reward" if self.mean_reward is None else f"mean reward {self.mean_reward:.3f}"
        return (
            f"{self.done} of {self.planned} groups, {self.rollouts} rollouts, {mean}, "
            f"{self.unparsable} unparsable, {self.dropped} dropped, {self.seconds:.0f} s: "
            f"{self.report}"
        )


def run_rollouts(config: RunConfig, ask: Ask, *, console: Console | None = None) -> RunSummary:
    """Do a run, or what is missing of it, and write its report.

    Args:
        config: what to do.
        ask: one LLM call for n answers.
        console: where the progress bar is drawn; None draws none.

    Returns:
        The summary; after Ctrl-C one that says how to go on.

    Raises:
        ValueError: an unknown model, missing weights, a broken targets file, or a changed config.
        StoreError: the disk is full, or the run folder is in use.
        RunError: every rollout of several groups in a row was dropped.
    """
    started = time.perf_counter()
    plan = plan_targets(config)
    backend = load_backend(config.model, config.device)
    reward = CombinedReward(config.reward)
    with RunStore(config.out) as store:
        done = store.start(
            config.to_json() | unchanging_facts(plan, backend.weights_sha256),
            start_facts(config.device, backend.capabilities.licence),
        )
        studio = Studio(backend, reward, store, config.seed, config.group_size, config.policy)
        if len(done) < config.groups:
            recall(studio, store)
        missing = [index for index in range(config.groups) if index not in done]
        interrupted = False
        with RunProgress(console, config.groups, _rewards(store)) as progress:
            try:
                asyncio.run(_collect(plan, missing, ask, studio, progress))
            except KeyboardInterrupt:
                interrupted = True
        report = None if interrupted else write_report(config.out)
        return _summary(config, store, len(done), report, time.perf_counter() - started)


def plan_targets(config: RunConfig) -> list[Target]:
    """Return the target of every group, in order.

    Curated and user targets are shuffled by the seed and dealt out category by category, so that a
    short run meets every category; they start over when there are more groups.

    Raises:
        ValueError: no such split or file, or a file that is broken or empty.
    """
    if config.targets == "procedural":
        return [target_sources.sample(config.seed, index) for index in range(config.groups)]
    if config.targets in ("train", "eval"):
        pool = target_sources.curated(config.targets)
    elif Path(config.targets).is_file():
        pool = target_sources.load_targets(config.targets)
    else:
        raise ValueError(
            f'targets must be "train", "eval", "procedural" or a file, got {config.targets!r}'
        )
    if not pool:
        raise ValueError(f"targets must hold at least one target, {config.targets!r} holds none")
    dealt = deal(pool, config.seed)
    return [dealt[index % len(dealt)] for index in range(config.groups)]


async def _collect(
    plan: Sequence[Target], missing: Sequence[int], ask: Ask, studio: Studio, progress: RunProgress
) -> None:
    lost = 0
    for index in missing:
        group = await collect_group(plan[index], index, ask, studio)
        progress.add(group.rewards)
        lost = lost + 1 if all(reward is None for reward in group.rewards) else 0
        if lost >= MAX_LOST_GROUPS:
            raise RunError(
                f"every rollout of {lost} groups in a row was dropped, the last one because: "
                f"{_last_reason(group)}"
            )


def _last_reason(group: Group) -> str:
    return next(
        (rollout.reason for rollout in reversed(group.rollouts) if rollout.reason), "unknown"
    )


def _rewards(store: RunStore) -> list[tuple[float | None, ...]]:
    return [tuple(rollout.reward for rollout in group) for group in store.groups()]


def _summary(
    config: RunConfig, store: RunStore, before: int, report: Path | None, seconds: float
) -> RunSummary:
    done, rewards, dropped, unparsable = 0, [], 0, 0
    for group in store.groups():
        done += 1
        rewards += [rollout.reward for rollout in group if rollout.reward is not None]
        dropped += sum(rollout.outcome == "dropped" for rollout in group)
        unparsable += sum(rollout.outcome == "unparsable" for rollout in group)
    return RunSummary(
        folder=config.out,
        planned=config.groups,
        done=done,
        made_now=done - before,
        rollouts=len(rewards) + dropped,
        dropped=dropped,
        unparsable=unparsable,
        mean_reward=sum(rewards) / len(rewards) if rewards else None,
        seconds=seconds,
        report=report,
        interrupted=report is None,
    )
