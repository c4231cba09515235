"""collect_group: one target becomes a group of judged, recorded rollouts.

One LLM call for n answers; all are parsed; identical requests are found before anything is paid
for; the engine makes the clips, with those of other groups that are asked for at the same time; one
judgement off the event loop; a last gate; one record. Two
answers are identical when they compile to the same request apart from the seed: they get the seed
of the first, are made once and share clip and reward.

Whose fault decides: an answer that cannot be parsed is worth 0; whatever breaks on our side is
recorded, counted and dropped (reward None). A group that is cancelled leaves no line behind.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from audioforge.rollouts.action import compile_action, restricted
from audioforge.rollouts.cost import Charged, charged
from audioforge.rollouts.drafts import Draft, Said, find_identical, generate, judge
from audioforge.rollouts.messages import messages_for
from audioforge.rollouts.parser import Parsed, parse_action
from audioforge.rollouts.record import Group, Rollout, clip_seed, drop_counts, rollout_id
from audioforge.rollouts.studio import Ask, Completion, Judge, Studio

if TYPE_CHECKING:
    from audioforge.data.targets import Target

__all__ = [
    "Ask",
    "Clock",
    "Completion",
    "Judge",
    "Making",
    "Said",
    "Studio",
    "ask_for_one_clip",
    "collect_group",
]


async def collect_group(target: Target, index: int, ask: Ask, studio: Studio) -> Group:
    """Collect and record one group.

    Args:
        target: what is asked for.
        index: of the group in its run, from 0; decides the seeds together with run seed and target.
        ask: one LLM call for n answers; its errors come through.
        studio: generator, reward, store and memory.

    Returns:
        The group, `studio.group_size` rollouts in the order of the answers.

    Raises:
        StoreError: the group could not be recorded.
    """
    clock = Clock()
    messages = messages_for(target, studio.backend.capabilities)
    completions = list(await ask(messages, studio.group_size))[: studio.group_size]
    clock.lap("ask")
    missing = [None] * (studio.group_size - len(completions))
    making = Making(target, index, studio)
    await making.turn([Said(messages, one) for one in (*completions, *missing)], clock)
    return making.finish()


def ask_for_one_clip(target: Target, completions: Sequence[Completion], studio: Studio) -> bool:
    """Say whether all answers ask for one and the same clip, so that all are worth the same."""
    making = Making(target, 0, studio)
    drafts = [making.draft(Said((), one), place, "") for place, one in enumerate(completions)]
    find_identical(drafts)
    return bool(drafts) and all(draft.first == 0 for draft in drafts)


@dataclass
class Making:
    """A group in the making, one turn of answers after another."""

    target: Target
    index: int
    studio: Studio
    drafts: list[Draft] = field(default_factory=list)
    rollouts: list[Rollout] = field(default_factory=list)
    """Those of the turns so far; their `group_size` is right once the group is finished."""
    vectors: list[np.ndarray] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds of each stage, over all turns."""

    async def turn(self, answers: Sequence[Said], clock: Clock) -> list[Rollout]:
        """Make and judge the answers of one turn, all clips in one batch; return its rollouts."""
        start, turn = len(self.drafts), max((r.turn for r in self.rollouts), default=0) + 1
        drafts = [*self.drafts]
        given = sum(said.completion is not None for said in answers)
        missing = f"the language model gave {given} of {len(answers)} answers"
        drafts += [self.draft(said, start + i, missing) for i, said in enumerate(answers)]
        find_identical(drafts)
        await generate(drafts, start, self.studio)
        clock.lap("generate")
        vectors = await judge(drafts, start, self.target, self.studio)
        clock.lap("judge")
        made = [
            _rollout(drafts[place], place, turn, clock.laps, self)
            for place in range(start, len(drafts))
        ]
        self.drafts, self.rollouts = drafts, [*self.rollouts, *made]
        self.vectors += vectors
        for stage, seconds in clock.laps.items():
            self.timings[stage] = self.timings.get(stage, 0.0) + seconds
        return made

    def finish(self) -> Group:
        """Record the group and return it.

        Raises:
            StoreError: it could not be recorded.
        """
        whole = len(self.rollouts)
        rollouts = tuple(replace(rollout, group_size=whole) for rollout in self.rollouts)
        if self.studio.store is not None:
            self.studio.store.append(rollouts)
        self.studio.memory.extend(self.vectors)
        return Group(
            target=self.target,
            index=self.index,
            messages=list(self.drafts[0].said.messages),
            rollouts=rollouts,
            timings=self.timings,
            drops=drop_counts(rollouts),
            audios=tuple(draft.clip.audio if draft.clip else None for draft in self.drafts),
        )

    def draft(self, said: Said, place: int, missing: str) -> Draft:
        """Read an answer and compile it; where there is none, `missing` says so."""
        if said.completion is None:
            return Draft(said, Completion("", "missing"), Parsed(None, ()), broken=missing)
        draft = Draft(said, said.completion, parse_action(said.completion.text))
        if draft.parsed.action is not None:
            own, target = draft.parsed.action, self.target
            kept, aside = restricted(own, self.studio.decides, target.baseline_prompt)
            draft.request, notes = compile_action(
                kept,
                self.studio.backend.capabilities,
                seconds=target.brief.seconds,
                seed=self.seed(place if said.began is None else said.began),
            )
            draft.notes = aside + notes
        return draft

    def seed(self, member: int) -> int:
        """Return the seed of a member's clips, the same in all its turns.

        Only another action makes another sound: asking again is no second try with luck.
        """
        own = 0 if self.studio.common_seed else member
        return clip_seed(self.studio.run_seed, self.target.id, self.index, own)


def _rollout(
    draft: Draft, place: int, turn: int, laps: Mapping[str, float], making: Making
) -> Rollout:
    studio, began = making.studio, draft.said.began
    bill = _bill(draft, studio)
    reward, reason = (bill.reward, "") if bill else _verdict(draft)
    seed = draft.request.seed if draft.request else making.seed(place if began is None else began)
    made_in = {"clip": draft.clip.seconds_taken} if draft.clip else {}
    return Rollout(
        id=rollout_id(making.index, place),
        group=making.index,
        index=place,
        group_size=studio.group_size,
        target=making.target.to_json(),
        messages=tuple(draft.said.messages),
        text=draft.completion.text,
        finish_reason=draft.completion.finish_reason,
        action=draft.parsed.action,
        issues=draft.parsed.issues,
        notes=draft.notes,
        request=draft.request,
        duplicate_of=draft.first if draft.first != place else None,
        turn=turn,
        began=began,
        attempt=draft.attempt,
        batch=draft.batch,
        clip=draft.stored,
        report=draft.report,
        reward=reward,
        reason=reason,
        cost=bill.cost if bill else None,
        seeds={"run": studio.run_seed, "clip": seed},
        timings={**laps, **made_in},
        origin=studio.origin(),
    )


def _bill(draft: Draft, studio: Studio) -> Charged | None:
    """Charge a judged clip what it cost."""
    if draft.broken or draft.report is None or draft.clip is None or draft.request is None:
        return None
    wall, can = draft.clip.seconds_taken, studio.backend.capabilities
    return charged(float(draft.report.total), draft.request, wall, can, studio.cost)


def _verdict(draft: Draft) -> tuple[float | None, str]:
    """Return the verdict on an answer without a judged clip."""
    if draft.broken:
        return None, draft.broken
    cut = (
        " (the answer was cut at the token limit)"
        if draft.completion.finish_reason == "length"
        else ""
    )
    return 0.0, draft.parsed.reason + cut


class Clock:
    """Seconds of the stages of one turn."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
