"""Measure: what settings of a generator are worth on targets' own baseline prompts, and cost.

The objective of a parameter search. Case i is target i, in turn, with a seed of its own, so that
all settings meet the same cases; clips of a whole batch of jobs are made together.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from audioforge.data.targets import Target
from audioforge.generation.engine import Engine
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.reward_functions.score import RewardReport
from audioforge.rollouts.cost import BUDGET, evaluations, steps_share
from audioforge.rollouts.errors import RunError
from audioforge.rollouts.guarded import Broken, judge_clips
from audioforge.rollouts.record import clip_seed
from audioforge.rollouts.studio import Judge
from audioforge.utils.parameter_optimizer import Job, Outcome, Setting

_CLIPS_AT_ONCE = 256


class Measure:
    """Makes and judges the clips of jobs.

    Cost is model evaluations; of a token model, which evaluates once a frame, BUDGET times its
    share of steps (`rollouts.cost`).
    """

    def __init__(
        self, engine: Engine, reward: Judge, targets: Sequence[Target], seed: int = 0
    ) -> None:
        self.targets = targets
        self._engine, self._reward, self._seed = engine, reward, seed

    def __call__(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Measure a batch; see `utils.parameter_optimizer.Objective`."""
        cases = [(job, case) for job in jobs for case in range(job.first, job.last)]
        requests = [self._request(job.setting, case) for job, case in cases]
        verdicts = self._judged(asyncio.run(self._made(requests)), [case for _, case in cases])
        outcomes, at = [], 0
        for job in jobs:
            part = slice(at, at + job.last - job.first)
            outcomes.append(self._outcome(requests[part], verdicts[part]))
            at = part.stop
        return outcomes

    def target(self, case: int) -> Target:
        """Return the target of a case."""
        return self.targets[case % len(self.targets)]

    def _request(self, setting: Setting, case: int) -> GenerationRequest:
        can, target = self._engine.capabilities, self.target(case)
        fields: dict[str, Any] = asdict(can.recommended) | dict(setting)
        return GenerationRequest(
            prompt=target.baseline_prompt,
            seconds=min(target.brief.seconds, can.max_seconds),
            seed=clip_seed(self._seed, target.id, case, 0),
            **fields,
        )

    async def _made(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        made: list[Clip | Failure] = []
        for at in range(0, len(requests), _CLIPS_AT_ONCE):
            made += await self._engine.generate(requests[at : at + _CLIPS_AT_ONCE])
        if made and all(isinstance(one, Failure) for one in made):
            failure = made[-1]
            assert isinstance(failure, Failure)
            raise RunError(f"no clip could be made, the last one because: {failure.message}")
        return made

    def _judged(
        self, made: Sequence[Clip | Failure], cases: Sequence[int]
    ) -> list[tuple[float, str]]:
        """Return the reward of each clip, and the reason where a gate or a failure makes it 0."""
        verdicts = [(0.0, one.message if isinstance(one, Failure) else "") for one in made]
        places: dict[str, list[int]] = defaultdict(list)
        for place, (one, case) in enumerate(zip(made, cases, strict=True)):
            if isinstance(one, Clip):
                places[self.target(case).id].append(place)
        for group in places.values():
            audios = [one.audio for i in group if isinstance(one := made[i], Clip)]
            target = self.target(cases[group[0]])
            verdict = judge_clips(self._reward, audios, target, (), list(range(len(audios))))
            reports = [verdict] * len(group) if isinstance(verdict, Broken) else verdict.reports
            for place, report in zip(group, reports, strict=True):
                verdicts[place] = _told(report)
        return verdicts

    def _outcome(
        self, requests: Sequence[GenerationRequest], verdicts: Sequence[tuple[float, str]]
    ) -> Outcome:
        can = self._engine.capabilities
        costs = [
            BUDGET * steps_share(request, can) if can.tokens else evaluations(request, can)
            for request in requests
        ]
        reasons = [reason for _, reason in verdicts if reason]
        return Outcome(
            tuple(reward for reward, _ in verdicts),
            float(np.mean(costs)),
            len(reasons),
            reasons[0] if reasons else "",
        )


def _told(report: RewardReport | Broken) -> tuple[float, str]:
    if isinstance(report, Broken):
        raise RunError(report.reason)
    shut = "" if report.total > 0 else f"gates shut: {', '.join(report.gates) or 'unknown'}"
    return float(report.total), shut
