"""evaluate: what the policy of a run is worth now, on targets that it is not trained on.

One unrecorded rollout for each of the first held-out targets; with several turns, one conversation.
The seeds depend on the run seed and the target only, and nothing is charged for cost, so that the
evaluations of a run can be compared.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from audioforge.rollouts.collect import Completion, collect_group
from audioforge.rollouts.cost import FREE
from audioforge.rollouts.episode import Conversations, Follow
from audioforge.rollouts.pool import target_pool
from audioforge.rollouts.record import Group

if TYPE_CHECKING:
    from audioforge.data.targets import Target
    from audioforge.rollouts.session import AskTokens, Session


async def evaluate(
    session: Session,
    count: int,
    ask: AskTokens,
    at_once: int = 8,
    *,
    follow: Follow | None = None,
) -> list[Group]:
    """Make one unrecorded rollout for each of the first `count` held-out targets.

    Args:
        session: whose generator, reward and targets are used.
        count: how many targets, dealt over the categories.
        ask: one LLM call.
        at_once: how many are asked for at the same time.
        follow: the next answer of one conversation; needed where there are several turns.
    """
    config, gate = session.config, asyncio.Semaphore(at_once)
    pool = target_pool(config.targets_file, "eval", config.categories, config.run_seed)
    studio = replace(
        session.studio, store=None, group_size=1, memory=deque(), cost=FREE, apart="evaluation"
    )

    async def one(index: int, target: Target) -> Group:
        async def answers(messages: list[dict[str, str]], n: int) -> list[Completion]:
            return [answer.completion for answer in await ask(messages, n, index)]

        async with gate:
            if config.episode is None:
                return await collect_group(target, index, answers, studio)
            held = Conversations(target, index, studio, config.episode)
            return (await held.run(lambda told, n: ask(told, n, index), follow))[0]

    tasks = [asyncio.create_task(one(index, target)) for index, target in enumerate(pool[:count])]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
