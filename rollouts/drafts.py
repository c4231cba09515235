"""Drafts: the answers of a group while they become clips and judgements.

Three stages, each over the whole group: equal requests are found, new ones are made in one pass of
the engine, new clips are judged in one call off the event loop. A group may come in several turns:
its earlier drafts stay in the list, `start` is the first new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from audioforge.generation.engine import Outcome, Overloaded
from audioforge.generation.request import Clip, GenerationRequest
from audioforge.reward_functions.score import RewardReport
from audioforge.rollouts.guarded import Broken, judge_clips
from audioforge.rollouts.parser import Parsed
from audioforge.rollouts.record import StoredClip, short_key
from audioforge.rollouts.store import described
from audioforge.rollouts.studio import Completion, Studio

if TYPE_CHECKING:
    from audioforge.data.targets import Target


class Said(NamedTuple):
    """One answer, and what it answers."""

    messages: Sequence[dict[str, str]]
    completion: Completion | None
    """None when the language model gave too few."""
    began: int | None = None
    """Index of the first turn of its conversation; None in the first turn."""


@dataclass
class Draft:
    """A rollout in the making."""

    said: Said
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


def find_identical(drafts: list[Draft]) -> None:
    """Give equal requests the seed of the first of them."""
    first: dict[str, int] = {}
    for place, draft in enumerate(drafts):
        if draft.request is None:
            continue
        draft.first = first.setdefault(replace(draft.request, seed=0).key, place)
        original = drafts[draft.first].request
        if original is not None:
            draft.request = replace(draft.request, seed=original.seed)


async def generate(drafts: list[Draft], start: int, studio: Studio) -> None:
    """Make each distinct request from `start` on once, store its sound, and share it."""
    places = [place for place in range(start, len(drafts)) if drafts[place].first == place]
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
    for place, draft in enumerate(drafts[start:], start):
        if draft.first is not None and draft.first != place:
            source = drafts[draft.first]
            draft.clip, draft.stored, draft.broken = source.clip, source.stored, source.broken
            draft.attempt, draft.batch = source.attempt, source.batch
            draft.report = source.report


async def _made(requests: list[GenerationRequest], studio: Studio) -> list[Outcome]:
    """Have the engine make requests, waiting where its queue is full."""
    while True:
        try:
            return await studio.engine.outcomes(requests, apart=studio.apart)
        except Overloaded as full:
            await asyncio.sleep(full.retry_after)


async def judge(
    drafts: list[Draft], start: int, target: Target, studio: Studio
) -> list[np.ndarray]:
    """Judge all new clips of the group at once; return the vectors to remember."""
    judged = [
        draft for draft in drafts[start:] if draft.clip and not (draft.report or draft.broken)
    ]
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
