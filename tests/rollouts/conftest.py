"""What the tests of rollouts share: targets, a policy that answers from a list, a plain judge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audioforge.data import targets as target_sources
from audioforge.generation.synth_backend import SynthBackend
from audioforge.reward_functions.score import CheckOutcome, RewardReport, Score, unscored
from audioforge.rollouts.collect import Completion, Studio, collect_group
from audioforge.rollouts.record import Group
from audioforge.rollouts.store import RunStore


class PeakJudge:
    """Scores the peak level; stands in for the composite reward where that is not tested."""

    def __init__(self):
        self.calls = []

    def judge(self, audios, brief, *, references=(), recent=(), duplicates=()):
        self.calls.append(
            {"clips": len(audios), "recent": len(recent), "duplicates": list(duplicates)}
        )
        return [self.report(audio) for audio in audios]

    def report(self, audio):
        peak = float(np.abs(audio.samples).max())
        return RewardReport(
            total=min(peak, 1.0),
            parts={
                "peak": Score(min(peak, 1.0), f"peak {peak:.2f}", {"peak": peak}),
                "pulse": unscored("no pulse"),
            },
            checks=(CheckOutcome("seconds", "4 s", 0.2, 1.0, "length: asked 4 s, heard 3 s"),),
            weights={"peak": 1.0},
            vector=self.vector(audio),
        )

    def vector(self, audio):
        return np.array([float(np.abs(audio.samples).mean())])


def answer(**fields) -> str:
    return json.dumps({"prompt": "techno drum loop", "seconds_total": 0.5} | fields)


@pytest.fixture
def target():
    return replace(target_sources.sample(0, 3), reference_files=())


@pytest.fixture
def judge() -> PeakJudge:
    return PeakJudge()


@pytest.fixture
def ask_with() -> Callable:
    """Return a policy that gives the texts it is made with."""

    def make(*texts: str, finish_reason: str = "stop"):
        async def ask(messages, n):
            return [Completion(text, finish_reason) for text in texts]

        return ask

    return make


@pytest.fixture
def collect(target, judge, ask_with) -> Callable[..., Group]:
    """Collect one group from the texts given, with whatever of the studio is replaced."""

    def run(*texts: str, index: int = 0, **studio) -> Group:
        parts = {"backend": SynthBackend(), "reward": judge, "group_size": len(texts)} | studio
        return asyncio.run(collect_group(target, index, ask_with(*texts), Studio(**parts)))

    return run


@pytest.fixture
def started(tmp_path: Path):
    """A store that has been started in a fresh folder."""
    with RunStore(tmp_path / "run") as store:
        store.start({"groups": 4, "seed": 0}, {"versions": {}})
        yield store


@pytest.fixture
def say() -> Callable[..., str]:
    return answer
