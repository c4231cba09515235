"""Judgement, made so that a break is a recorded fact.

This is the one place of the room that catches every exception: a broken scorer becomes a `Broken`
with one line of reason, the traceback goes to the log, and the run goes on. Broken generators are
the engine's (`generation.engine_batch`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from audioforge.reward_functions.score import RewardReport
from audioforge.utils.audio_processing import Audio, read_audio

if TYPE_CHECKING:
    from audioforge.data.targets import Target
    from audioforge.rollouts.studio import Judge

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Broken(NamedTuple):
    """Something of ours that failed."""

    reason: str
    """One line."""


class Verdict(NamedTuple):
    """What the reward said of a group."""

    reports: list[RewardReport | Broken]
    vectors: list[np.ndarray]
    """Creativity vectors of the distinct clips that sound."""


def judge_clips(
    reward: Judge,
    audios: list[Audio],
    target: Target,
    recent: Sequence[np.ndarray],
    duplicates: list[int],
) -> Verdict | Broken:
    """Judge a group of clips and let the reports through the gate.

    Args:
        reward: the judge.
        audios: the clips of one group.
        target: its brief and its reference files.
        recent: creativity vectors of earlier clips.
        duplicates: for each clip, the index of the first one that is identical.

    Returns:
        Per clip a report or why it is unusable, or Broken when all of it failed. Never raises.
    """

    def judge() -> Verdict:
        references = [_reference(path) for path in target.reference_files]
        found = reward.judge(
            audios, target.brief, references=references, recent=recent, duplicates=duplicates
        )
        if len(found) != len(audios):
            raise ValueError(f"the reward gave {len(found)} reports for {len(audios)} clips")
        reports = [gate(report) for report in found]
        vectors = [
            report.vector
            for place, (report, first) in enumerate(zip(reports, duplicates, strict=True))
            if place == first and isinstance(report, RewardReport) and report.total > 0
        ]
        return Verdict(reports, [vector for vector in vectors if vector is not None])

    return _guarded("scoring", judge)


def gate(report: RewardReport) -> RewardReport | Broken:
    """Let a report through if its total is a finite number in [0, 1]."""
    if not isinstance(report, RewardReport):
        return Broken(
            f"scoring failed: the reward gave {type(report).__name__}, not a RewardReport"
        )
    if not isinstance(report.total, int | float | np.floating) or not math.isfinite(report.total):
        return Broken(f"scoring failed: the reward must be a finite number, got {report.total}")
    if not 0.0 <= report.total <= 1.0:
        return Broken(f"scoring failed: the reward must be in [0, 1], got {report.total}")
    return report


@lru_cache(maxsize=64)
def _reference(path: str) -> Audio:
    return read_audio(path)


def _guarded(what: str, call: Callable[[], _T]) -> _T | Broken:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - the one boundary: a break becomes a dropped rollout
        _log.warning("%s failed", what, exc_info=True)
        line = str(error).strip().splitlines()
        return Broken(
            f"{what} failed: {type(error).__name__}{': ' + line[0][:300] if line else ''}"
        )
