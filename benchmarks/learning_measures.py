"""What is heard of answers: the reward, and a judge that no reward part uses.

The judge names the family of the sound (a classifier trained on the teacher's clips, on librosa's
features) and, where a tempo is asked, compares it with ten others on librosa's onsets. Its verdict
is the mean of the two, or the one that applies; an answer without a clip is worth 0 to both.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from judge import RATE, Judge, beats_decoys

from audioforge.data.targets import Target
from audioforge.data.wording import read_text
from audioforge.generation.engine import EngineSettings
from audioforge.generation.registry import load_engine
from audioforge.generation.tiny.clips import SECONDS
from audioforge.generation.weights_hash import sha256_of
from audioforge.reward_functions import CombinedReward, RewardConfig
from audioforge.reward_functions.versions import scorer_version
from audioforge.rollouts.action import Decides
from audioforge.rollouts.collect import Completion, Studio, collect_group
from audioforge.rollouts.record import Group
from audioforge.utils.audio_processing import Audio, resample, to_mono

EVAL_SEED = 90_210
"""Of the clips; every arm gets the same."""


@dataclass(frozen=True)
class Heard:
    """One answer, made and judged."""

    text: str
    reward: float
    judge: float | None
    """In [0, 1]; None where the target asks for nothing the judge knows."""
    steps: int | None
    cfg_scale: float | None
    sampler: str | None
    prompt: str | None
    names_family: bool | None
    names_tempo: bool | None

    def to_json(self) -> dict[str, Any]:
        """Return plain types."""
        return asdict(self)


class Hall:
    """Generator, reward and judge, loaded once for all arms."""

    def __init__(self, model: str, rewards: Path, judge_clips: int) -> None:
        engine = load_engine(model, "cpu", 0, EngineSettings(max_batch=64, cache_mb=64))
        self.engine = engine
        self.identity = {"rewards_sha256": sha256_of(rewards), "scorer": scorer_version()}
        """What a reward depends on beside target and clip."""
        reward = CombinedReward(RewardConfig.load(rewards))
        self.studio = Studio(engine, reward, None, EVAL_SEED, 1, "arm")
        self.judge = Judge(judge_clips)

    def hear(
        self,
        targets: Sequence[Target],
        answers: Sequence[Sequence[str]],
        decides: Decides = "both",
    ) -> list[list[Heard]]:
        """Make and judge all answers.

        Args:
            targets: what was asked.
            answers: the texts, for each target.
            decides: what of an answer counts.

        Raises:
            RuntimeError: a clip or a verdict was lost; the arm cannot be compared then.
        """
        return asyncio.run(self._hear(targets, answers, decides))

    async def _hear(
        self,
        targets: Sequence[Target],
        answers: Sequence[Sequence[str]],
        decides: Decides,
    ) -> list[list[Heard]]:
        jobs = [
            self._one(target, place, text, decides)
            for target, texts in zip(targets, answers, strict=True)
            for place, text in enumerate(texts)
        ]
        heard = iter(await asyncio.gather(*jobs))
        return [[next(heard) for _ in texts] for texts in answers]

    def clip(self, target: Target, text: str) -> Audio | None:
        """Make the clip of a target's first answer again; None where there is no action."""
        return asyncio.run(self._group(target, 0, text, "both")).audios[0]

    async def _group(self, target: Target, place: int, text: str, decides: Decides) -> Group:
        async def ask(_messages: list[dict[str, str]], _n: int) -> list[Completion]:
            return [Completion(text)]

        studio = replace(self.studio, memory=deque(), decides=decides)
        return await collect_group(target, place, ask, studio)

    async def _one(self, target: Target, place: int, text: str, decides: Decides) -> Heard:
        group = await self._group(target, place, text, decides)
        rollout = group.rollouts[0]
        if rollout.reward is None:
            raise RuntimeError(f"a clip of {target.id} was lost: {rollout.reason}")
        audio, request = group.audios[0], rollout.request
        read = read_text(request.prompt).fields if request else {}
        brief = target.brief
        return Heard(
            text,
            rollout.reward,
            await asyncio.to_thread(self._verdict, target, audio),
            request.steps if request else None,
            request.cfg_scale if request else None,
            request.sampler if request else None,
            request.prompt if request else None,
            read.get("family") == brief.family if brief.family else None,
            read.get("bpm") == brief.bpm if brief.bpm else None,
        )

    def _verdict(self, target: Target, audio: Audio | None) -> float | None:
        brief = target.brief
        if not brief.family and not brief.bpm:
            return None
        if audio is None:
            return 0.0
        wave = to_mono(resample(audio, RATE)).samples[0]
        wave = np.pad(wave, (0, max(0, round(SECONDS * RATE) - wave.size)))
        verdicts = []
        if brief.family:
            verdicts.append(float(self.judge.name([wave])[0] == brief.family))
        if brief.bpm:
            rng = np.random.default_rng(EVAL_SEED)
            verdicts.append(float(beats_decoys(wave, brief.bpm, rng)))
        return float(np.mean(verdicts))
