"""Episodes: propose, hear the critic, revise; every answer of a group as a conversation of its own.

All clips of a turn are made in one batch and judged in one call. An episode ends after `turns`
turns, at a reward of `stop_reward`, when an answer asks for the same again, when the trainer's
limit leaves no room for another answer, or when something of ours failed: that one is dropped.

    reward of an episode = best + improvement_bonus * (best - first)      in [0, 1 + bonus]

over the totals of its turns. The bonus also pays a policy for a bad first answer, so it is small,
and `episode/first` is logged: if it falls while the reward rises, set the bonus to 0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from audioforge.rollouts.collect import Clock, Making, Said, Studio
from audioforge.rollouts.critic import critic_message
from audioforge.rollouts.messages import messages_for
from audioforge.rollouts.outgoing import Encoded
from audioforge.rollouts.record import Episode, Group, Rollout
from audioforge.rollouts.studio import Answer

if TYPE_CHECKING:
    from audioforge.data.targets import Target

MAX_TURNS = 16


class Talk(NamedTuple):
    """A conversation that waits for its next answer."""

    group: int
    member: int
    turn: int
    """Of the answer that is asked for, from 2."""
    messages: list[dict[str, str]]
    encoded: Encoded
    """The conversation up to the last answer."""


First = Callable[[list[dict[str, str]], int], Awaitable[list[Answer]]]
"""The first turn: (messages, n) gives n answers."""
Follow = Callable[[Talk], Awaitable[Answer | None]]
"""A later turn of one conversation; None when there is no room for an answer."""


@dataclass(frozen=True)
class EpisodeConfig:
    """How long an episode is and what it is worth."""

    turns: int = 3
    improvement_bonus: float = 0.1
    """Paid per unit of reward that the best turn lies over the first, in [0, 1]."""
    stop_reward: float = 0.95
    """An answer that is worth this ends the episode, in (0, 1]."""

    def __post_init__(self) -> None:
        if not 1 <= self.turns <= MAX_TURNS:
            raise ValueError(f"turns must be 1 to {MAX_TURNS}, got {self.turns}")
        if not 0 <= self.improvement_bonus <= 1 or not 0 < self.stop_reward <= 1:
            raise ValueError(
                "improvement_bonus must be in [0, 1] and stop_reward in (0, 1], got "
                f"{self.improvement_bonus} and {self.stop_reward}"
            )


@dataclass
class _Member:
    """One conversation of the group."""

    messages: list[dict[str, str]]
    answer: Answer | None = None
    """The latest; it waits to be made where `rollouts` has not this turn yet."""
    rollouts: list[Rollout] = field(default_factory=list)
    turn: int = 1
    over: bool = False


class Conversations:
    """The conversations of one group. After an error `run` goes on where it was.

    Args:
        target: what is asked for.
        index: of the group in its run.
        studio: generator, reward, store and memory.
        config: of the episodes.
    """

    def __init__(self, target: Target, index: int, studio: Studio, config: EpisodeConfig) -> None:
        self.config, self.studio = config, studio
        self._making = Making(target, index, studio)
        messages = messages_for(target, studio.backend.capabilities)
        self._members = [_Member(list(messages)) for _ in range(studio.group_size)]
        self._turn = 1

    async def run(
        self,
        first: First,
        follow: Follow | None,
        *,
        keep: Callable[[list[Answer]], None] | None = None,
    ) -> tuple[Group, list[Encoded]]:
        """Hold the conversations to their end and record them.

        Args:
            first: asks for the first answers.
            follow: asks for the next answer of one conversation.
            keep: is told the whole conversations, just before they are recorded.

        Returns:
            The group, with its episodes, and each member's conversation as tokens.

        Raises:
            ValueError: nobody was named to follow.
            StoreError: it could not be recorded. Errors of `first` and `follow` come through, after
                what else was answered in that turn has been kept.
        """
        if follow is None:
            raise ValueError("several turns need `follow`, which asks for a later answer")
        while self._turn <= self.config.turns:
            clock = Clock()
            await (self._begin(first) if self._turn == 1 else self._go_on(follow))
            clock.lap("ask")
            active = [member for member in self._members if not member.over]
            if not active:
                break
            made = await self._making.turn([_said(member) for member in active], clock)
            for member, rollout in zip(active, made, strict=True):
                self._take(member, rollout)
            self._turn += 1
        answers = [member.answer for member in self._members if member.answer is not None]
        if keep is not None:
            keep(answers)
        group = with_episodes(self._making.finish(), self.config.improvement_bonus)
        return group, [answer.encoded for answer in answers]

    async def _begin(self, first: First) -> None:
        if all(member.answer is None for member in self._members):
            answers = await first(self._members[0].messages, len(self._members))
            for member, answer in zip(self._members, answers, strict=False):
                member.answer = answer

    async def _go_on(self, follow: Follow) -> None:
        """Ask all that wait at the same time; what came is kept when others fail."""
        waiting = [
            (place, member)
            for place, member in enumerate(self._members)
            if not member.over and member.turn < self._turn
        ]
        came = await asyncio.gather(
            *(follow(self._talk(place, member)) for place, member in waiting),
            return_exceptions=True,
        )
        errors = [one for one in came if isinstance(one, BaseException)]
        for (_, member), one in zip(waiting, came, strict=True):
            if one is None:
                member.over = True
            elif isinstance(one, Answer):
                member.messages = self._told(member)
                member.answer, member.turn = one, self._turn
        if errors:
            raise errors[0]

    def _told(self, member: _Member) -> list[dict[str, str]]:
        """Return the conversation with the last answer and what the critic says of it."""
        last = member.rollouts[-1]
        steps = self.studio.backend.capabilities.recommended.steps
        return [
            *member.messages,
            {"role": "assistant", "content": last.text},
            {"role": "user", "content": critic_message(last, steps)},
        ]

    def _talk(self, place: int, member: _Member) -> Talk:
        assert member.answer is not None, "a conversation that goes on has an answer"
        told = self._told(member)
        return Talk(self._making.index, place, self._turn, told, member.answer.encoded)

    def _take(self, member: _Member, rollout: Rollout) -> None:
        """Take in what became of an answer, and say whether its episode ends."""
        before = member.rollouts[-1] if member.rollouts else None
        member.rollouts.append(rollout)
        good = rollout.reward is None or rollout.reward >= self.config.stop_reward
        member.over = good or (before is not None and _same(before, rollout))


def with_episodes(group: Group, bonus: float) -> Group:
    """Return a group with the conversations that its rollouts are turns of, one per member."""
    held: dict[int, list[Rollout]] = {}
    for rollout in sorted(group.rollouts, key=lambda one: one.index):
        held.setdefault(rollout.member, []).append(rollout)
    episodes = (
        Episode(tuple(turns), episode_reward(tuple(turns), bonus)) for turns in held.values()
    )
    return replace(group, episodes=tuple(episodes))


def episode_reward(rollouts: tuple[Rollout, ...], bonus: float) -> float | None:
    """Return what an episode is worth, or None when something of ours failed in it."""
    rewards = [rollout.reward for rollout in rollouts]
    known = [reward for reward in rewards if reward is not None]
    if not known or len(known) < len(rewards):
        return None
    return max(known) + bonus * (max(known) - known[0])


def trained(group: Group) -> Group:
    """Return the group as a trainer sees it: one rollout per conversation.

    Each has the whole conversation, the clip of its best turn and the reward of the episode.
    Without episodes it is the group itself.
    """
    if not group.episodes:
        return group
    return replace(group, rollouts=tuple(map(_whole_conversation, group.episodes)))


def episode_numbers(group: Group) -> Iterator[tuple[str, float]]:
    """Yield what is logged of every scored episode: "episode/<name>" and the number."""
    for rollouts, reward in group.episodes:
        known = [rollout.reward for rollout in rollouts if rollout.reward is not None]
        if reward is None:
            continue
        yield "episode/reward", reward
        yield "episode/first", known[0]
        yield "episode/best", max(known)
        yield "episode/improvement", max(known) - known[0]
        yield "episode/turns", float(len(rollouts))


def _whole_conversation(episode: Episode) -> Rollout:
    last = episode.rollouts[-1]
    if episode.reward is None:
        return replace(last, reward=None)
    best = max(episode.rollouts, key=lambda rollout: rollout.reward or 0.0)
    told = {"messages": last.messages, "text": last.text, "finish_reason": last.finish_reason}
    return replace(best, reward=episode.reward, **told)


def _said(member: _Member) -> Said:
    began = member.rollouts[0].index if member.rollouts else None
    return Said(member.messages, member.answer.completion if member.answer else None, began)


def _same(before: Rollout, now: Rollout) -> bool:
    """Say whether an answer asks for the same clip, or is as unreadable as the one before it."""
    if before.action is None or now.action is None:
        return before.action is now.action and before.text == now.text
    original = before.index if before.duplicate_of is None else before.duplicate_of
    return now.duplicate_of == original
