"""Session: the items of a run for a training framework, each collected once, whatever it cancels.

A framework cancels collectors when its queue is full or an evaluation starts, and brings the same
item back later. What an item has begun goes on meanwhile (a clip that is being made cannot be taken
back anyway), so a cancelled item costs nothing twice and no group is recorded twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audioforge.data.targets import Target
from audioforge.generation.engine_settings import EngineSettings
from audioforge.generation.registry import load_engine
from audioforge.rollouts.action import Decides
from audioforge.rollouts.collect import Completion, Judge, Studio, ask_for_one_clip, collect_group
from audioforge.rollouts.cost import FREE, CostWeights
from audioforge.rollouts.keeping import KeepAudio
from audioforge.rollouts.ledger import Answer, Item, Ledger
from audioforge.rollouts.metrics import engine_metrics
from audioforge.rollouts.outgoing import Encoded
from audioforge.rollouts.pool import target_pool
from audioforge.rollouts.record import Group, versions
from audioforge.rollouts.store import RunStore
from audioforge.rollouts.studio import recall
from audioforge.rollouts.unsettled import unsettled_items

AskTokens = Callable[[list[dict[str, str]], int, int], Awaitable[list[Answer]]]
"""One LLM call: (messages, n, index of the group) gives n answers."""


class EqualAnswers(Exception):
    """All answers ask for the same clip: nothing to learn, so nothing was made."""


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """What a session is asked to do."""

    out: Path
    """The run folder."""
    reward: Judge
    targets_file: str = ""
    split: str = "train"
    """"train", "eval" or "procedural"."""
    categories: str = ""
    """Comma-separated; empty for all."""
    run_seed: int = 0
    group_size: int = 4
    model: str = "tiny-stable-audio"
    device: str = "auto"
    workers: int = 0
    """Worker processes of the generator; 0 keeps it in this one."""
    max_batch: int = 32
    """Clips made at once, of all groups that are in the making."""
    policy: str = "tiny-policy"
    """Name of the language model, for the record."""
    groups: int | None = None
    """How many groups to make in all; None goes on without end."""
    cost: CostWeights = FREE
    """What is charged for a clip; evaluations charge nothing."""
    common_seed: bool = False
    """Whether clips of a group start from the same noise."""
    decides: Decides = "both"
    """What of an action counts."""
    record: bool = True
    """Whether groups go to the run folder."""
    deliver: bool = False
    """Whether groups leave for a trainer, so that what became of each is kept too."""
    keep_audio: str = "all"
    """Which clips stay on disk: "all", "none", "newest:N" or "best:N"."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """What else must not change while a run goes on, plain types."""


class Session:
    """Targets, studio and store of one run. `close` lets go of the run folder."""

    def __init__(self, config: SessionConfig) -> None:
        """Load everything and open the run folder.

        Raises:
            ValueError: an unknown model, a broken targets file, or another run in the folder.
            StoreError: the folder cannot be written.
        """
        self.config = config
        self.pool = target_pool(
            config.targets_file, config.split, config.categories, config.run_seed
        )
        settings = EngineSettings(max_batch=config.max_batch, cache_mb=0)
        engine = load_engine(config.model, config.device, config.workers, settings)
        rule = KeepAudio(config.out, config.keep_audio)
        self.store = RunStore(config.out, keep_clips=not rule.none) if config.record else None
        self.studio = Studio(
            engine,
            config.reward,
            self.store,
            config.run_seed,
            config.group_size,
            config.policy,
            cost=config.cost,
            common_seed=config.common_seed,
            decides=config.decides,
        )
        facts = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": config.device,
            "model_licence": engine.capabilities.licence,
            "versions": versions(),
        }
        self.done = self.store.start(self._unchanging(), facts) if self.store else set()
        if self.store and self.done:
            recall(self.studio, self.store)
        self.keeping = rule
        if self.store is not None:
            self.keeping.start(self.store)
        self.ledger = Ledger(config.out) if self.store and config.deliver else None
        self._seen, self._seen_at = engine.metrics(), time.monotonic()
        self.next_index = 0
        self.again: deque[Item] = deque(
            unsettled_items(self.ledger, self.store, self.done, self.target_at)
            if self.ledger and self.store
            else ()
        )
        self._begun = {item["index"] for item in self.again}

    @property
    def missing(self) -> int | None:
        """How many groups are still to be made; None without end."""
        planned = self.config.groups
        return None if planned is None else sum(index not in self.done for index in range(planned))

    def target_at(self, index: int) -> Target:
        """Return the target of a group; the pool starts over when it is used up."""
        return self.pool[index % len(self.pool)]

    def next_item(self) -> Item | None:
        """Return the next item, one that came back first; None when all were given out."""
        if self.again:
            return self.again.popleft()
        while self.next_index in self.done or self.next_index in self._begun:
            self.next_index += 1
        index = self.next_index
        if self.config.groups is not None and index >= self.config.groups:
            return None
        self.next_index += 1
        return {"index": index, "target": self.target_at(index)}

    async def collect(
        self, item: Item, ask: AskTokens, *, distinct: bool = False
    ) -> tuple[Group, list[Encoded]]:
        """Make an item's group, or wait for it where it is already being made.

        Cancelling this call leaves the work running; calling it again with the item picks it up.
        After an error the item is as new, apart from answers that had come.

        Args:
            item: from `next_item`.
            ask: one LLM call.
            distinct: whether equal answers are refused before a clip is made.

        Raises:
            EqualAnswers: with `distinct`, when all answers ask for the same clip.
            StoreError: the group could not be recorded.
        """
        if "made" in item:
            return item["made"]
        if "collecting" not in item:
            item["collecting"] = asyncio.create_task(self._collect(item, ask, distinct))
            item["collecting"].add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            return await asyncio.shield(item["collecting"])
        finally:
            task = item["collecting"]
            if task.done() and (task.cancelled() or task.exception() is not None):
                item.pop("collecting", None)

    async def _collect(
        self, item: Item, ask: AskTokens, distinct: bool
    ) -> tuple[Group, list[Encoded]]:
        async def answers(messages: list[dict[str, str]], n: int) -> list[Completion]:
            if "answers" not in item:
                item["answers"] = await ask(messages, n, item["index"])
                if self.ledger is not None:
                    self.ledger.answered(item["index"], item["answers"])
            completions = [answer.completion for answer in item["answers"]]
            if distinct and n > 1 and ask_for_one_clip(item["target"], completions, self.studio):
                raise EqualAnswers
            return completions

        group = await collect_group(item["target"], item["index"], answers, self.studio)
        self.done.add(item["index"])
        if self.store is not None:
            self.keeping.add(group.rollouts)
        return group, [answer.encoded for answer in item["answers"]]

    async def evaluate(self, count: int, ask: AskTokens, at_once: int = 8) -> list[Group]:
        """Make one unrecorded rollout for each of the first `count` held-out targets.

        The seeds depend on the run seed and the target only, and nothing is charged for cost, so
        that evaluations can be compared.

        Args:
            count: how many targets, dealt over the categories.
            ask: one LLM call.
            at_once: how many are asked for at the same time.
        """
        config, gate = self.config, asyncio.Semaphore(at_once)
        pool = target_pool(config.targets_file, "eval", config.categories, config.run_seed)
        studio = replace(
            self.studio, store=None, group_size=1, memory=deque(), cost=FREE, apart="evaluation"
        )

        async def one(index: int, target: Target) -> Group:
            async def answers(messages: list[dict[str, str]], n: int) -> list[Completion]:
                return [answer.completion for answer in await ask(messages, n, index)]

            async with gate:
                return await collect_group(target, index, answers, studio)

        tasks = [
            asyncio.create_task(one(index, target)) for index, target in enumerate(pool[:count])
        ]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    def overlap(self, groups: int) -> None:
        """Make passes small enough that others are asked for and judged meanwhile.

        All groups in flight in one pass would also wait for the language model and for the judge
        together, and the generator with them.

        Args:
            groups: that are in flight at most.
        """
        turns = max(self.config.workers, 1) + 2
        self.studio.engine.limit_batch(max(1, groups * self.config.group_size // turns))

    def engine_metrics(self) -> dict[str, float]:
        """Return what the generator did since the last call, with the seconds that took."""
        now, seen = time.monotonic(), self.studio.engine.metrics()
        told = engine_metrics(seen, self._seen) | {"engine/wall_seconds": now - self._seen_at}
        self._seen, self._seen_at = seen, now
        return told

    def rewards(self) -> list[tuple[float | None, ...]]:
        """Return the rewards of the finished groups on disk."""
        groups = self.store.groups() if self.store else ()
        return [tuple(rollout.reward for rollout in group) for group in groups]

    def close(self) -> None:
        """Let go of the run folder and end the workers."""
        self.studio.engine.stop()
        if self.store is not None:
            self.store.close()

    def _unchanging(self) -> dict[str, Any]:
        """Return what must be the same when the run goes on; its length may grow."""
        told = json.dumps([target.to_json() for target in self.pool], sort_keys=True, default=str)
        names = ("group_size", "run_seed", "targets_file", "split", "categories", "model", "policy")
        return {
            **{name: getattr(self.config, name) for name in names},
            **self.config.fixed,
            **({"cost": asdict(self.config.cost)} if self.config.cost.on else {}),
            **({"common_seed": True} if self.config.common_seed else {}),
            **({"decides": self.config.decides} if self.config.decides != "both" else {}),
            "targets_sha256": hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest(),
            "weights_sha256": self.studio.backend.weights_sha256,
        }
