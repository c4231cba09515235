"""Desk: answers in, judged rollouts out, from any thread. What the adapters are made of.

A framework brings answers that its own policy has written; the desk has the clips made and judged.
It owns one event loop in one thread, so answers that are brought at the same time, by threads or
by other event loops, share the engine's passes; those of one call always do. A Turn is one turn of
one episode: a framework that revises brings another.

Seeds come from (run seed, target, number), so the same answers with the same number sound the same.
Where a run folder is named, everything is recorded there too, under numbers of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

from audioforge.data.target_fields import Target
from audioforge.generation.backend import Capabilities
from audioforge.rollouts.collect import Completion, collect_group
from audioforge.rollouts.messages import messages_for
from audioforge.rollouts.record import Group, Rollout, rollout_id
from audioforge.rollouts.session import Session
from audioforge.rollouts.settings import EnvSettings
from audioforge.rollouts.store import RunStore


class Turn(NamedTuple):
    """Answers to one target: together they are one group."""

    target: Target
    answers: Sequence[str]
    """As the policy wrote them."""
    number: int = 0
    """Decides the seeds, with run seed and target; 0 or more."""


class Desk:
    """A generator, a reward and the targets of one setting. `close` lets go of them."""

    def __init__(
        self, settings: EnvSettings, policy: str = "unnamed", *, remember: bool = False
    ) -> None:
        """Load everything.

        Args:
            settings: `out` names the run folder; empty records nothing.
            policy: name of whoever writes the answers, for the record.
            remember: whether clips are also compared with those made before (creativity). A
                reward then depends on what was asked earlier.

        Raises:
            ValueError: an unknown model or category, or a broken targets file.
            StoreError: the run folder cannot be written.
        """
        config = replace(
            settings.session_config("serve", policy),
            record=bool(settings.out),
            groups=None,
            deliver=False,  # no trainer's API: whoever brings answers takes the rewards itself
        )
        session = self._session = Session(config)
        self._remember = remember
        self._clips = _Clips(config.out) if session.store is not None else None
        self._numbers = (number for number in count() if number not in session.done)
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="desk", daemon=True)
        thread.start()
        self._end = weakref.finalize(self, _shut, self._loop, thread, session)

    @property
    def pool(self) -> Sequence[Target]:
        """The targets, in the order in which they are asked."""
        return self._session.pool

    @property
    def capabilities(self) -> Capabilities:
        """What the generator can do."""
        return self._session.studio.backend.capabilities

    def target_at(self, index: int) -> Target:
        """Return a target of the pool, which starts over when it is used up."""
        return self._session.target_at(index)

    def messages(self, target: Target) -> list[dict[str, str]]:
        """Return what a language model is told: a system and a user message."""
        return messages_for(target, self.capabilities)

    def submit(self, turns: Sequence[Turn]) -> Future[list[Group]]:
        """Have answers made and judged, all in the same passes.

        Returns:
            The groups to come, one per turn, one rollout per answer, in order. A rollout that we
            lost has reward None; an answer without an action has 0.

        Raises:
            ValueError: a turn without answers or with a negative number.
            RuntimeError: the desk is closed.
        """
        for _, answers, number in turns:
            if not answers or number < 0:
                raise ValueError(
                    f"a turn has answers and a number from 0, got {len(answers)} and {number}"
                )
        if not self._end.alive:
            raise RuntimeError("the desk is closed")
        return asyncio.run_coroutine_threadsafe(self._all(list(turns)), self._loop)

    def judge(self, target: Target, answers: Sequence[str], number: int = 0) -> Group:
        """Have the answers of one turn made and judged, and wait for it; see `submit`."""
        (group,) = self.submit([Turn(target, answers, number)]).result()
        return group

    async def _all(self, turns: list[Turn]) -> list[Group]:
        return list(await asyncio.gather(*map(self._collect, turns)))

    async def _collect(self, turn: Turn) -> Group:
        async def ask(_: list[dict[str, str]], __: int) -> list[Completion]:
            return [Completion(text) for text in turn.answers]

        studio = self._session.studio
        memory = studio.memory if self._remember else deque(maxlen=0)
        group = await collect_group(
            turn.target,
            turn.number,
            ask,
            replace(studio, store=self._clips, group_size=len(turn.answers), memory=memory),
        )
        store = self._session.store
        if store is None:
            return group
        group = _numbered(group, next(self._numbers))
        store.append(group.rollouts)  # on the loop, as one group after another
        return group

    def close(self) -> None:
        """Let go of the generator and the run folder; what is being made is lost."""
        self._end()


class _Clips(RunStore):
    """Keeps the sounds of a run; its lines are written when the group has its number."""

    def append(self, rollouts: Sequence[Rollout]) -> None:
        """Write nothing."""


_desks: weakref.WeakValueDictionary[tuple[int, str, str], Desk] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def shared_desk(settings: EnvSettings, policy: str = "unnamed") -> Desk:
    """Return the desk of these settings, for all who ask for it; it ends when nobody holds it."""
    key = (os.getpid(), policy, settings.model_dump_json())
    with _lock:
        desk = _desks.get(key)
        if desk is None:
            desk = _desks[key] = Desk(settings, policy)
        return desk


def told(rollout: Rollout) -> dict[str, Any]:
    """Say what became of a rollout in plain types that JSON can hold, without clock times."""
    line = rollout.to_json()
    names = ("reward", "reason", "action", "issues", "notes", "clip", "report")
    return {"outcome": rollout.outcome, **{name: line[name] for name in names}}


def part_values(rollout: Rollout) -> dict[str, float]:
    """Return the scored parts of a rollout's reward, each in [0, 1]."""
    parts = {} if rollout.report is None else rollout.report.parts
    return {name: float(score.value) for name, score in parts.items() if score.scored}


def _numbered(group: Group, number: int) -> Group:
    rollouts = tuple(
        replace(rollout, group=number, id=rollout_id(number, rollout.index))
        for rollout in group.rollouts
    )
    return replace(group, index=number, rollouts=rollouts)


def _shut(loop: asyncio.AbstractEventLoop, thread: threading.Thread, session: Session) -> None:
    session.close()

    def cancel() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.call_soon(loop.stop)

    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(cancel)
    if thread is not threading.current_thread():
        thread.join(5.0)
    if not thread.is_alive():
        loop.close()
