"""Session: the items of a run for a training framework, each collected once, whatever it cancels.

A framework cancels collectors when its queue is full or an evaluation starts, and brings the same
item back later. What an item has begun goes on meanwhile (a clip that is being made cannot be taken
back anyway), so a cancelled item costs nothing twice and no group is recorded twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from audioforge.data.targets import Target
from audioforge.generation.engine_settings import EngineSettings
from audioforge.generation.registry import load_engine
from audioforge.rollouts.collect import Completion, Studio, ask_for_one_clip, collect_group
from audioforge.rollouts.curriculum import Curriculum
from audioforge.rollouts.episode import Conversations, EpisodeConfig, Follow
from audioforge.rollouts.facts import start_facts, unchanging_facts
from audioforge.rollouts.keeping import KeepAudio
from audioforge.rollouts.ledger import Item, Ledger
from audioforge.rollouts.metrics import curriculum_metrics, engine_metrics
from audioforge.rollouts.outgoing import Encoded
from audioforge.rollouts.pool import target_pool
from audioforge.rollouts.record import Group
from audioforge.rollouts.session_config import SessionConfig
from audioforge.rollouts.store import RunStore
from audioforge.rollouts.studio import Answer, recall
from audioforge.rollouts.unsettled import unsettled_items

AskTokens = Callable[[list[dict[str, str]], int, int], Awaitable[list[Answer]]]
"""One LLM call: (messages, n, index of the group) gives n answers."""


class EqualAnswers(Exception):
    """All answers ask for the same clip: nothing to learn, so nothing was made."""


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
        facts = start_facts(config.device, engine.capabilities.licence)
        self.done = self.store.start(self._unchanging(), facts) if self.store else set()
        if self.store and self.done:
            recall(self.studio, self.store)
        self.keeping = rule
        if self.store is not None:
            self.keeping.start(self.store)
        self.curriculum = self._curriculum()
        self.ledger = Ledger(config.out) if self.store and config.deliver else None
        self._seen, self._seen_at = engine.metrics(), time.monotonic()
        self.next_index = 0
        self.again = self._left_behind()
        self._begun = {item["index"] for item in self.again}
        """Groups that are not given out once more, and are not `done`."""
        if self.ledger is not None:
            self._begun |= self.ledger.settled - self.done

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
        while self.next_index in self.done or self.next_index in self._begun:
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
        if "made" in item:
            return item["made"]
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
            group, encoded = await self._converse(item, ask, follow, self.config.episode)
        self.done.add(item["index"])
        if self.store is not None:
            self.keeping.add(group.rollouts)
        if self.curriculum is not None:
            self.curriculum.saw(group.rollouts)
        return group, encoded

    async def _collect(
        self, item: Item, ask: AskTokens, distinct: bool
    ) -> tuple[Group, list[Encoded]]:
        async def answers(messages: list[dict[str, str]], n: int) -> list[Completion]:
            if "answers" not in item:
                item["answers"] = await ask(messages, n, item["index"])
                self._keep(item, item["answers"])
            completions = [answer.completion for answer in item["answers"]]
            if distinct and n > 1 and ask_for_one_clip(item["target"], completions, self.studio):
                if self.curriculum is not None:
                    self.curriculum.forget(item["index"])
                raise EqualAnswers
            return completions

        group = await collect_group(item["target"], item["index"], answers, self.studio)
        return group, [answer.encoded for answer in item["answers"]]

    async def _converse(
        self, item: Item, ask: AskTokens, follow: Follow | None, episode: EpisodeConfig
    ) -> tuple[Group, list[Encoded]]:
        if "conversations" not in item:
            item["conversations"] = Conversations(
                item["target"], item["index"], self.studio, episode
            )
        held: Conversations = item["conversations"]
        return await held.run(
            lambda told, n: ask(told, n, item["index"]),
            follow,
            keep=lambda answers: self._keep(item, answers),
        )

    def _keep(self, item: Item, answers: list[Answer]) -> None:
        if self.ledger is not None:
            self.ledger.answered(item["index"], answers, item["target"].id)

    def checkpoint(self) -> dict[str, Any]:
        """Return what a checkpoint keeps beside the run folder, plain types."""
        curriculum = {} if self.curriculum is None else {"curriculum": self.curriculum.state()}
        return {"next_index": self.next_index, **curriculum}

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Go on where a checkpoint was, as far as the run folder does not know better.

        The folder tells what is made and what is begun, also before the checkpoint's place, so the
        place counts only where the folder is empty. What a curriculum had given out comes back.
        """
        known = self.done | self._begun
        if self.curriculum is not None and (state := checkpoint.get("curriculum")):
            for index in self.curriculum.restore(state, known):
                self.again.append({"index": index, "target": self.target_at(index)})
                self._begun.add(index)
        if not known:
            self.next_index = max(self.next_index, checkpoint.get("next_index") or 0)

    def overlap(self, workers: int, ahead: int) -> None:
        """Make passes small enough that others are asked for and judged meanwhile.

        All groups in flight in one pass would also wait for the language model and for the judge
        together, and the generator with them.

        Args:
            workers: groups that are in flight at most.
            ahead: groups that may wait for the trainer.
        """
        groups = min(workers, ahead)
        turns = max(self.config.workers, 1) + 2
        self.studio.engine.limit_batch(max(1, groups * self.config.group_size // turns))

    def metrics(self) -> dict[str, float]:
        """Return where the curriculum stands, and what the generator did since the last call."""
        now, seen = time.monotonic(), self.studio.engine.metrics()
        told = engine_metrics(seen, self._seen) | {"engine/wall_seconds": now - self._seen_at}
        self._seen, self._seen_at = seen, now
        return curriculum_metrics(self.curriculum) | told

    def rewards(self) -> list[tuple[float | None, ...]]:
        """Return the rewards of the finished groups on disk."""
        groups = self.store.groups() if self.store else ()
        return [tuple(rollout.reward for rollout in group) for group in groups]

    def close(self) -> None:
        """Let go of the run folder and end the workers."""
        self.studio.engine.stop()
        if self.store is not None:
            self.store.close()

    def _left_behind(self) -> deque[Item]:
        """Return what an earlier start has begun; a curriculum is told what was given out."""
        if self.ledger is None or self.store is None:
            return deque()
        named = {target.id: target for target in self.pool}

        def target(index: int, name: str | None) -> Target:
            return named[name] if name in named else self.target_at(index)

        found = unsettled_items(self.ledger, self.store, self.done, target, self.config.episode)
        for item in found:
            if self.curriculum is not None and "made" not in item:
                self.curriculum.resume(item["index"], item["target"].id)
        return deque(found)

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
        fixed = unchanging_facts(self.pool, self.studio.backend.weights_sha256)
        return self.config.unchanging() | fixed
