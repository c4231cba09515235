"""Folder: the rewards as a metric over many files.

    for scored in score_files(list_files(["clips/"], brief="rain on leaves")):
        print(scored.row.path, scored.row.total, scored.row.reason)

Files are untrusted: each is read in a worker process, and whatever it does there is one row. The
same bytes and the same brief are judged once per version of the scorer. Scores depend neither on
names nor on order nor on the number of workers; rows come as they are ready, `place` sorts them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audioforge.data.brief import Brief
from audioforge.reward_functions.combined_reward import CombinedReward
from audioforge.reward_functions.file_score import FAILED, SCORED, UNREADABLE, FileScore
from audioforge.reward_functions.lanes import Broken, Lanes
from audioforge.reward_functions.listing import Listed
from audioforge.reward_functions.score import RewardReport
from audioforge.reward_functions.scoring import as_brief, with_unchecked
from audioforge.reward_functions.versions import library_versions, scorer_version
from audioforge.utils.audio_processing import Audio, read_audio

_CHUNK = 1 << 20
_UNREAD = "no kind of sound was recognised in the brief, so it was not checked; "


class Scored(NamedTuple):
    """One file, judged."""

    row: FileScore
    fresh: bool
    """Whether it was judged now; False for a row known from before or from the same bytes."""
    vector: np.ndarray | None = None
    """The clip's style vector, [D]; None for rows known from before and where there is none."""


@dataclass(frozen=True)
class _Judging:
    """What a worker needs."""

    listed: Listed
    row: FileScore
    """Everything that is known before the file is decoded."""


def score_files(
    listed: Iterable[Listed],
    known: Iterable[FileScore] = (),
    *,
    workers: int = 1,
) -> Iterator[Scored]:
    """Judge files, each against its own brief.

    Args:
        listed: what to judge, see `listing.list_files`.
        known: rows of earlier runs; what they hold is not judged again, except what failed.
        workers: processes that decode and judge; 0 does it here, unprotected against crashes.

    Yields:
        One Scored per entry, in the order in which they are ready.

    Raises:
        ChildProcessError: worker processes cannot be started.
    """
    settled = {row.key: Scored(row, False) for row in known if row.outcome != FAILED and row.sha256}
    waiting: dict[tuple[str, str, str], list[Listed]] = {}
    with Lanes(_judge, workers) as lanes:
        for one in listed:
            row = _begun(one)
            if row.outcome != SCORED:
                yield Scored(row, True)
            elif row.key in settled:
                yield _for_another(settled[row.key], one)
            elif row.key in waiting:
                waiting[row.key].append(one)
            else:
                while not lanes.free:
                    yield from _collected(lanes, settled, waiting)
                waiting[row.key] = []
                lanes.start(_Judging(one, row))
        while lanes.busy:
            yield from _collected(lanes, settled, waiting)


def _collected(
    lanes: Lanes[_Judging, Scored],
    settled: dict[tuple[str, str, str], Scored],
    waiting: dict[tuple[str, str, str], list[Listed]],
) -> Iterator[Scored]:
    for task, answer in lanes.finished():
        if isinstance(answer, Broken):
            answer = Scored(replace(task.row, outcome=FAILED, reason=answer.words), True)
        settled[task.row.key] = answer
        yield answer
        for other in waiting.pop(task.row.key):
            yield _for_another(answer, other)


def _for_another(scored: Scored, listed: Listed) -> Scored:
    """Give a row to another file with the same bytes and the same brief."""
    row = replace(scored.row, path=listed.shown, brief=listed.words, target=listed.target)
    return Scored(row, False, scored.vector)


def _begun(listed: Listed) -> FileScore:
    """Hash a file and its brief; the outcome is scored until something else is known."""
    row = FileScore(
        path=listed.shown,
        sha256="",
        outcome=SCORED,
        brief=listed.words,
        target=listed.target,
        asked=_asked(listed),
        scorer=scorer_version(),
        versions=library_versions(),
    )
    if listed.refusal:
        return replace(row, outcome=UNREADABLE, reason=listed.refusal)
    try:
        return replace(row, sha256=_sha256(listed.path))
    except OSError as error:
        return replace(row, outcome=UNREADABLE, reason=error.strerror or type(error).__name__)


def _asked(listed: Listed) -> str:
    """Hash what is asked: the words or the fields, and the sounds of the references."""
    brief = asdict(listed.brief) if isinstance(listed.brief, Brief) else listed.brief
    marks = [_reference_sha256(reference) for reference in listed.references]
    return hashlib.sha256(json.dumps([brief, marks]).encode()).hexdigest()[:16]


def _sha256(path: str | Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


_reference_sha256 = lru_cache(maxsize=4_096)(_sha256)
_reference_audio = lru_cache(maxsize=64)(read_audio)


def _judge(task: _Judging) -> Scored:
    """Decode and judge one file; runs in a worker."""
    listed = task.listed
    try:
        audio = read_audio(listed.path)
    except ValueError as error:
        words = str(error).removeprefix(f"{listed.path}: ")
        return Scored(replace(task.row, outcome=UNREADABLE, reason=words), True)
    brief = as_brief(listed.brief, audio.seconds)
    references = [_reference_audio(reference) for reference in listed.references]
    (report,) = CombinedReward().judge([audio], brief, references=references)
    report = with_unchecked(report, listed.brief) if brief is not None else report
    unread = _UNREAD if listed.brief is not None and brief is None else ""
    return Scored(_told(task.row, audio, brief, report, unread), True, report.vector)


def _told(
    row: FileScore, audio: Audio, brief: Brief | None, report: RewardReport, unread: str
) -> FileScore:
    return replace(
        row,
        total=report.total,
        parts={name: part.value if part.scored else None for name, part in report.parts.items()},
        gates="; ".join(report.gates),
        failed_checks="; ".join(c.words for c in report.checks if c.passed is False),
        not_checked=sum(c.passed is None for c in report.checks),
        reason=unread + _weakest(report),
        understood=json.dumps(brief.asked()) if brief else "",
        seconds=audio.seconds,
        sample_rate=audio.sample_rate,
        channels=audio.channels,
    )


def _weakest(report: RewardReport) -> str:
    """Say what lowers the total most."""
    judged = {name: part for name, part in report.parts.items() if part.scored}
    if not judged:
        return next((part.reason for part in report.parts.values()), "no part could judge")
    name = min(judged, key=lambda each: judged[each].value)
    return f"{name.replace('_', ' ')} {judged[name].value:.2f}: {judged[name].reason}"
