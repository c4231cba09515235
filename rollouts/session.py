"""Session: the items of a run for a training framework, each collected once, whatever it cancels.

A framework cancels collectors when its queue is full or an evaluation starts, and brings the same
item back later. What an item has begun goes on meanwhile (a clip that is being made cannot be taken
back anyway), so a cancelled item costs nothing twice and no group is recorded twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
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
from audioforge.rollouts.collect import Completion, Judge, Studio, collect_group
from audioforge.rollouts.cost import FREE, CostWeights
from audioforge.rollouts.curriculum import Curriculum, CurriculumConfig
from audioforge.rollouts.episode import Conversations, EpisodeConfig, Follow
from audioforge.rollouts.outgoing import Encoded
from audioforge.rollouts.parser import parse_action
from audioforge.rollouts.pool import target_pool
from audioforge.rollouts.record import Group, versions
from audioforge.rollouts.store import RunStore
from audioforge.rollouts.studio import Answer, recall

Item = dict[str, Any]
"""One group to be made: "index" and "target"; then "answers" or, with several turns,
"conversations", and "collecting", its task."""


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
    episode: EpisodeConfig | None = None
    """Several turns per answer; None is one, without a critic."""
    curriculum: CurriculumConfig | None = None
    """Chooses the targets by what was achieved; None asks them in the order of the pool."""
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
        self.store = RunStore(config.out) if config.record else None
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
        self.curriculum = self._curriculum()
        self.next_index = 0
        self.again: deque[Item] = deque()

    @property
    def missing(self) -> int | None:
        """How many groups are still to be made; None without end."""
        planned = self.config.groups
        return None if planned is None else sum(index not in self.done for index in range(planned))

    def target_at(self, index: int) -> Target:
        """Return the target of a group; the pool starts over when it is used up.

        A curriculum decides when the group is given out; then its record says which it was.
        """
        if self.curriculum is not None:
            return self.curriculum.choose(index)
        return self.pool[index % len(self.pool)]

    def next_item(self) -> Item | None:
        """Return the next item, one that came back first; None when all were given out."""
        if self.again:
            return self.again.popleft()
        while self.next_index in self.done:
            self.next_index += 1
        index = self.next_index
        if self.config.groups is not None and index >= self.config.groups:
            return None
        self.next_index += 1
        return {"index": index, "target": self.target_at(index)}

    async def collect(
        self,
        item: Item,
        ask: AskTokens,
        *,
        follow: Follow | None = None,
        distinct: bool = False,
    ) -> tuple[Group, list[Encoded]]:
        """Make an item's group, or wait for it where it is already being made.

        Cancelling this call leaves the work running; calling it again with the item picks it up.
        After an error the item is as new, apart from answers that had come.

        Args:
            item: from `next_item`.
            ask: one LLM call.
            follow: the next answer of one conversation; needed where there are several turns.
            distinct: whether equal answers are refused before a clip is made; not with several
                turns, for the next answers may differ.

        Raises:
            EqualAnswers: with `distinct`, when all answers ask for the same clip.
            StoreError: the group could not be recorded.
        """
        if "collecting" not in item:
            item["collecting"] = asyncio.create_task(self._make(item, ask, follow, distinct))
            item["collecting"].add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            return await asyncio.shield(item["collecting"])
        finally:
            task = item["collecting"]
            if task.done() and (task.cancelled() or task.exception() is not None):
                item.pop("collecting", None)

    async def _make(
        self, item: Item, ask: AskTokens, follow: Follow | None, distinct: bool
    ) -> tuple[Group, list[Encoded]]:
        if self.config.episode is None:
            group, encoded = await self._collect(item, ask, distinct)
        else:
            if "conversations" not in item:
                item["conversations"] = Conversations(
                    item["target"], item["index"], self.studio, self.config.episode
                )
            held: Conversations = item["conversations"]
            group, encoded = await held.run(lambda told, n: ask(told, n, item["index"]), follow)
        self.done.add(item["index"])
        if self.curriculum is not None:
            self.curriculum.saw(group.rollouts)
        return group, encoded

    async def _collect(
        self, item: Item, ask: AskTokens, distinct: bool
    ) -> tuple[Group, list[Encoded]]:
        async def answers(messages: list[dict[str, str]], n: int) -> list[Completion]:
            if "answers" not in item:
                item["answers"] = await ask(messages, n, item["index"])
            completions = [answer.completion for answer in item["answers"]]
            if distinct and n > 1 and _equal(completions):
                if self.curriculum is not None:
                    self.curriculum.forget(item["index"])
                raise EqualAnswers
            return completions

        group = await collect_group(item["target"], item["index"], answers, self.studio)
        return group, [answer.encoded for answer in item["answers"]]

    async def evaluate(
        self, count: int, ask: AskTokens, at_once: int = 8, *, follow: Follow | None = None
    ) -> list[Group]:
        """Make one unrecorded rollout for each of the first `count` held-out targets.

        With several turns it is one conversation. The seeds depend on the run seed and the target
        only, and nothing is charged for cost, so that evaluations can be compared.

        Args:
            count: how many targets, dealt over the categories.
            ask: one LLM call.
            at_once: how many are asked for at the same time.
            follow: the next answer of one conversation; needed where there are several turns.
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
                if config.episode is None:
                    return await collect_group(target, index, answers, studio)
                held = Conversations(target, index, studio, config.episode)
                return (await held.run(lambda told, n: ask(told, n, index), follow))[0]

        tasks = [
            asyncio.create_task(one(index, target)) for index, target in enumerate(pool[:count])
        ]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    def checkpoint(self) -> dict[str, Any]:
        """Return what a checkpoint keeps beside the run folder, plain types."""
        curriculum = {} if self.curriculum is None else {"curriculum": self.curriculum.state()}
        return {"next_index": self.next_index, **curriculum}

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was; what the run folder knows better stays."""
        self.next_index = max(self.next_index, checkpoint.get("next_index") or 0)
        if self.curriculum is not None and (state := checkpoint.get("curriculum")):
            for index in self.curriculum.restore(state, self.done):
                self.again.append({"index": index, "target": self.target_at(index)})

    def rewards(self) -> list[tuple[float | None, ...]]:
        """Return the rewards of the finished groups on disk."""
        groups = self.store.groups() if self.store else ()
        return [tuple(rollout.reward for rollout in group) for group in groups]

    def close(self) -> None:
        """Let go of the run folder and end the workers."""
        self.studio.engine.stop()
        if self.store is not None:
            self.store.close()

    def _curriculum(self) -> Curriculum | None:
        """Build the curriculum and tell it the groups that are on disk, in their order."""
        if self.config.curriculum is None:
            return None
        curriculum = Curriculum(self.pool, self.config.run_seed, self.config.curriculum)
        for group in self.store.groups() if self.store else ():
            curriculum.saw(group)
        return curriculum

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
            **({"episode": asdict(self.config.episode)} if self.config.episode else {}),
            **({"curriculum": asdict(self.config.curriculum)} if self.config.curriculum else {}),
            "targets_sha256": hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest(),
            "weights_sha256": self.studio.backend.weights_sha256,
        }


def _equal(completions: list[Completion]) -> bool:
    """Say whether all answers parse to one and the same action."""
    actions = [parse_action(completion.text).action for completion in completions]
    return actions[0] is not None and all(action == actions[0] for action in actions)
