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

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from audioforge.generation.engine import Outcome, Overloaded
from audioforge.generation.request import Clip, GenerationRequest
from audioforge.reward_functions.score import RewardReport
from audioforge.rollouts.action import compile_action, restricted
from audioforge.rollouts.cost import Charged, charged
from audioforge.rollouts.guarded import Broken, judge_clips
from audioforge.rollouts.messages import messages_for
from audioforge.rollouts.parser import Parsed, parse_action
from audioforge.rollouts.record import (
    Group,
    Rollout,
    StoredClip,
    clip_seed,
    drop_counts,
    rollout_id,
    short_key,
)
from audioforge.rollouts.store import described
from audioforge.rollouts.studio import Ask, Completion, Judge, Studio

if TYPE_CHECKING:
    from audioforge.data.targets import Target

__all__ = ["Ask", "Completion", "Judge", "Studio", "ask_for_one_clip", "collect_group"]


@dataclass
class _Draft:
    """A rollout in the making."""

    completion: Completion
    parsed: Parsed
    request: GenerationRequest | None = None
    notes: tuple[str, ...] = ()
    first: int | None = None
    """Index of the first draft with the same request; its own when it is the first."""
    attempt: int = 1
    batch: tuple[str, ...] = ()
    clip: Clip | None = None
    stored: StoredClip | None = None
    report: RewardReport | None = None
    broken: str = ""


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
    clock = _Clock()
    messages = messages_for(target, studio.backend.capabilities)
    completions = list(await ask(messages, studio.group_size))[: studio.group_size]
    clock.lap("ask")
    drafts = [
        _draft(target, index, place, completions, studio) for place in range(studio.group_size)
    ]
    _find_identical(drafts)
    await _generate(drafts, studio)
    clock.lap("generate")
    vectors = await _judge(drafts, target, studio)
    clock.lap("judge")
    rollouts = tuple(
        _rollout(draft, place, _Setting(target, index, messages, clock.laps, studio))
        for place, draft in enumerate(drafts)
    )
    if studio.store is not None:
        studio.store.append(rollouts)
    studio.memory.extend(vectors)
    return Group(
        target=target,
        index=index,
        messages=messages,
        rollouts=rollouts,
        timings=dict(clock.laps),
        drops=drop_counts(rollouts),
        audios=tuple(draft.clip.audio if draft.clip else None for draft in drafts),
    )


def _draft(
    target: Target, group: int, place: int, completions: list[Completion], studio: Studio
) -> _Draft:
    if place >= len(completions):
        missing = f"the language model gave {len(completions)} of {studio.group_size} answers"
        return _Draft(Completion("", "missing"), Parsed(None, ()), broken=missing)
    draft = _Draft(completions[place], parse_action(completions[place].text))
    if draft.parsed.action is not None:
        kept, aside = restricted(draft.parsed.action, studio.decides, target.baseline_prompt)
        draft.request, notes = compile_action(
            kept,
            studio.backend.capabilities,
            seconds=target.brief.seconds,
            seed=clip_seed(studio.run_seed, target.id, group, 0 if studio.common_seed else place),
        )
        draft.notes = aside + notes
    return draft


def ask_for_one_clip(target: Target, completions: list[Completion], studio: Studio) -> bool:
    """Say whether all answers ask for one and the same clip, so that all are worth the same."""
    drafts = [_draft(target, 0, place, completions, studio) for place in range(len(completions))]
    requests = [draft.request for draft in drafts]
    keys = {replace(request, seed=0).key for request in requests if request is not None}
    return len(keys) == 1 and None not in requests


def _find_identical(drafts: list[_Draft]) -> None:
    """Give equal requests the seed of the first of them."""
    first: dict[str, int] = {}
    for place, draft in enumerate(drafts):
        if draft.request is None:
            continue
        draft.first = first.setdefault(replace(draft.request, seed=0).key, place)
        original = drafts[draft.first].request
        if original is not None:
            draft.request = replace(draft.request, seed=original.seed)


async def _generate(drafts: list[_Draft], studio: Studio) -> None:
    """Make each distinct request once, store its sound, and share it."""
    places = [place for place, draft in enumerate(drafts) if draft.first == place]
    requests = [draft.request for place in places if (draft := drafts[place]).request is not None]
    if requests:
        whole = tuple(map(short_key, requests))
        for place, outcome in zip(places, await _made(requests, studio), strict=True):
            draft = drafts[place]
            draft.attempt = outcome.attempt
            if isinstance(outcome.made, Clip):
                draft.clip = outcome.made
                mates = tuple(map(short_key, outcome.batch))
                draft.batch = () if mates == whole else mates
                keep = described if studio.store is None else studio.store.keep
                draft.stored = await asyncio.to_thread(keep, outcome.made.audio)
            else:
                draft.broken = f"no clip ({outcome.made.kind}): {outcome.made.message}"
    for place, draft in enumerate(drafts):
        if draft.first is not None and draft.first != place:
            source = drafts[draft.first]
            draft.clip, draft.stored, draft.broken = source.clip, source.stored, source.broken
            draft.attempt, draft.batch = source.attempt, source.batch


async def _made(requests: list[GenerationRequest], studio: Studio) -> list[Outcome]:
    """Have the engine make requests, waiting where its queue is full."""
    while True:
        try:
            return await studio.engine.outcomes(requests, apart=studio.apart)
        except Overloaded as full:
            await asyncio.sleep(full.retry_after)


async def _judge(drafts: list[_Draft], target: Target, studio: Studio) -> list[np.ndarray]:
    """Judge all clips of the group at once; return the vectors to remember."""
    judged = [draft for draft in drafts if draft.clip is not None]
    if not judged:
        return []
    places = {id(draft): order for order, draft in enumerate(judged)}
    duplicates = [places[id(drafts[draft.first or 0])] for draft in judged]
    verdict = await asyncio.to_thread(
        judge_clips,
        studio.reward,
        [draft.clip.audio for draft in judged if draft.clip is not None],
        target,
        tuple(studio.memory),
        duplicates,
    )
    if isinstance(verdict, Broken):
        for draft in judged:
            draft.broken = verdict.reason
        return []
    for draft, report in zip(judged, verdict.reports, strict=True):
        if isinstance(report, Broken):
            draft.broken = report.reason
        else:
            draft.report = report
    return verdict.vectors


@dataclass(frozen=True)
class _Setting:
    """What the rollouts of one group share."""

    target: Target
    index: int
    messages: list[dict[str, str]]
    laps: dict[str, float]
    studio: Studio


def _rollout(draft: _Draft, place: int, setting: _Setting) -> Rollout:
    studio, target = setting.studio, setting.target
    bill = _bill(draft, studio)
    reward, reason = (bill.reward, "") if bill else _verdict(draft)
    seed = (
        draft.request.seed
        if draft.request
        else clip_seed(studio.run_seed, target.id, setting.index, place)
    )
    made_in = {"clip": draft.clip.seconds_taken} if draft.clip else {}
    return Rollout(
        id=rollout_id(setting.index, place),
        group=setting.index,
        index=place,
        group_size=studio.group_size,
        target=target.to_json(),
        messages=tuple(setting.messages),
        text=draft.completion.text,
        finish_reason=draft.completion.finish_reason,
        action=draft.parsed.action,
        issues=draft.parsed.issues,
        notes=draft.notes,
        request=draft.request,
        duplicate_of=draft.first if draft.first != place else None,
        attempt=draft.attempt,
        batch=draft.batch,
        clip=draft.stored,
        report=draft.report,
        reward=reward,
        reason=reason,
        cost=bill.cost if bill else None,
        seeds={"run": studio.run_seed, "clip": seed},
        timings={**setting.laps, **made_in},
        origin=studio.origin(),
    )


def _bill(draft: _Draft, studio: Studio) -> Charged | None:
    """Charge a judged clip what it cost."""
    if draft.broken or draft.report is None or draft.clip is None or draft.request is None:
        return None
    wall, can = draft.clip.seconds_taken, studio.backend.capabilities
    return charged(float(draft.report.total), draft.request, wall, can, studio.cost)


def _verdict(draft: _Draft) -> tuple[float | None, str]:
    """Return the verdict on an answer without a judged clip."""
    if draft.broken:
        return None, draft.broken
    cut = (
        " (the answer was cut at the token limit)"
        if draft.completion.finish_reason == "length"
        else ""
    )
    return 0.0, draft.parsed.reason + cut


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
