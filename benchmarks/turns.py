"""What turns 2 and 3 add: revising after the critic's words against as many independent tries.

    python benchmarks/turns.py [--quick] [--out FILE]

On held-out targets the embedded policy gives first answers; every arm goes on from the same ones,
so that all differences are paired. `best` is the best reward after 1, 2 and 3 answers.

    tries        two more answers of the policy to the same question, each clip with its own seed
    tries_fixed  the same answers, every clip with the seed of the first, as revisions have it
    policy       the policy revises, having heard the critic
    rules        a rule revises: it reads nothing but the critic's words and the last answer
    deaf         the same rule hears the critic of another target

`over_tries`, `over_tries_fixed` and `rules_over_deaf` are differences of `best` with 95 % intervals
(bootstrap over targets). Rules over deaf is what the words themselves are worth.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from _common import Benchmark
from rich.progress import track

from audioforge.data.targets import Target, curated
from audioforge.generation.engine import Engine
from audioforge.generation.engine_settings import EngineSettings
from audioforge.generation.registry import load_backend
from audioforge.policy.drawing import Question, Sampling
from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.policy.local_llm import LocalLLM
from audioforge.reward_functions import CombinedReward
from audioforge.rollouts.collect import Completion, Studio, collect_group
from audioforge.rollouts.episode import Conversations, EpisodeConfig, Talk
from audioforge.rollouts.messages import messages_for
from audioforge.rollouts.outgoing import Encoded
from audioforge.rollouts.parser import parse_action
from audioforge.rollouts.pool import deal
from audioforge.rollouts.recommend import interval
from audioforge.rollouts.studio import Answer

TURNS, MEMBERS, SEED = 3, 2, 31_337
NO_TOKENS = Encoded([], [])
_SAY = re.compile(r'say "([^"]+)" in the prompt|(?:name|that it is) ([^;]+?)(?: in the prompt|$)')
_AVOID = re.compile(r'put "?([^";]+?)"? into negative_prompt')
_STEPS = re.compile(r"take (\d+) steps")


class Policy:
    """The embedded policy, asked in this process; the same question and number, the same answer."""

    def __init__(self) -> None:
        self.llm = LocalLLM(EMBEDDED_FOLDER, "cpu")

    def say(self, messages: list[dict[str, str]], n: int, seed: int) -> list[str]:
        """Return n answers."""
        prompt = self.llm.encode_chat(messages)
        question = Question(prompt, Sampling(n=n, seed=seed, max_tokens=160))
        return [answer.text for answer in self.llm.generate([question])[0]]


def revised(answer: str, critic: str, asked: str) -> str:
    """Return the answer that a rule makes of the last one and the critic's words."""
    action = parse_action(answer).action
    if action is None:
        return json.dumps({"prompt": asked})
    told = action.model_dump(exclude_none=True)
    for quoted, named in _SAY.findall(critic):
        words = quoted or named
        if words.endswith(" bpm"):
            told["prompt"] = re.sub(r",?\s*\d+ ?bpm", "", told["prompt"], flags=re.IGNORECASE)
        if words.lower() not in told["prompt"].lower():
            told["prompt"] = f"{told['prompt']}, {words}"
    for words in _AVOID.findall(critic):
        told["negative_prompt"] = ", ".join(filter(None, (told.get("negative_prompt"), words)))
    for steps in _STEPS.findall(critic):
        told["steps"] = int(steps)
    if "another cfg_scale" in critic:
        told["cfg_scale"] = 3.0 if told.get("cfg_scale") != 3.0 else 2.0
    return json.dumps(told)


class Arms:
    """Plays the arms on one target."""

    def __init__(self, model: str) -> None:
        self.policy = Policy()
        settings = EngineSettings(cache_mb=64)  # the first clips are the same in every arm
        self.engine = Engine.in_process(load_backend(model, "cpu"), settings)
        self.reward = CombinedReward()
        self.config = EpisodeConfig(turns=TURNS, improvement_bonus=0.0, stop_reward=1.0)
        self.foreign = "Your clip scored 0.50 of 1. Nothing in it is clearly off."
        """The critic's words of another target."""

    def _studio(self, size: int) -> Studio:
        return Studio(self.engine, self.reward, None, SEED, size)  # no memory: arms stay paired

    async def play(self, target: Target, index: int) -> dict[str, list[list[float]]]:
        """Return, by arm, the rewards of each member's answers in order."""
        messages = messages_for(target, self.engine.capabilities)
        texts = self.policy.say(messages, TURNS * MEMBERS, SEED + index)
        heard: list[str] = []

        async def again(talk: Talk) -> str:
            return texts[(talk.turn - 1) * MEMBERS + talk.member]

        async def policy(talk: Talk) -> str:
            heard.append(talk.messages[-1]["content"])
            seed = SEED + 1_000 * (1 + talk.turn) + 100_000 * (1 + talk.member) + index
            return self.policy.say(talk.messages, 1, seed)[0]

        async def rules(talk: Talk) -> str:
            critic = talk.messages[-1]["content"]
            return revised(talk.messages[-2]["content"], critic, target.target_description)

        async def deaf(talk: Talk) -> str:
            return revised(talk.messages[-2]["content"], self.foreign, target.target_description)

        arms = {"tries_fixed": again, "policy": policy, "rules": rules, "deaf": deaf}
        found = {name: await self._held(target, index, texts, arm) for name, arm in arms.items()}
        found["tries"] = await self._tries(target, index, texts)
        self.foreign = heard[0] if heard else self.foreign
        return found

    async def _held(
        self, target: Target, index: int, texts: Sequence[str], arm: Callable[[Talk], Any]
    ) -> list[list[float]]:
        async def first(messages: list[dict[str, str]], n: int) -> list[Answer]:
            return [Answer(Completion(text), NO_TOKENS) for text in texts[:n]]

        async def follow(talk: Talk) -> Answer:
            return Answer(Completion(await arm(talk)), NO_TOKENS)

        held = Conversations(target, index, self._studio(MEMBERS), self.config)
        group, _ = await held.run(first, follow)
        return [_rewards(episode.rollouts) for episode in group.episodes]

    async def _tries(self, target: Target, index: int, texts: Sequence[str]) -> list[list[float]]:
        async def ask(messages: list[dict[str, str]], n: int) -> list[Completion]:
            return [Completion(text) for text in texts[:n]]

        group = await collect_group(target, index, ask, self._studio(TURNS * MEMBERS))
        rewards = _rewards(group.rollouts)
        return [rewards[member::MEMBERS] for member in range(MEMBERS)]


def _rewards(rollouts: Sequence[Any]) -> list[float]:
    known = [rollout.reward for rollout in rollouts]
    if None in known:
        raise RuntimeError(next(r.reason for r in rollouts if r.reward is None))
    return known


def best_so_far(members: list[list[float]]) -> np.ndarray:
    """Return the best after 1, 2, ... answers, mean over members; an ended episode keeps its best.

    Shape: [TURNS].
    """
    filled = [rewards + [0.0] * (TURNS - len(rewards)) for rewards in members]
    return np.maximum.accumulate(np.array(filled), axis=1).mean(axis=0)


def _against(best: dict[str, np.ndarray], arm: str, other: str) -> dict[str, list[float]]:
    """Return mean and 95 % interval over targets of the differences, by turn."""
    gaps = {str(turn + 1): best[arm][:, turn] - best[other][:, turn] for turn in range(1, TURNS)}
    return {
        turn: [float(gap.mean()), *interval(gap.tolist(), SEED, draws=10_000)]
        for turn, gap in gaps.items()
    }


def main() -> None:
    """Measure and report."""
    benchmark = Benchmark(__doc__)
    benchmark.parser.add_argument("--model", default="tiny-stable-audio")
    benchmark.parser.add_argument("--targets", type=int, default=24)
    given = benchmark.options()
    torch.set_num_threads(1)
    arms = Arms(given.model)
    targets = deal(curated("eval"), SEED)[: 2 if given.quick else given.targets]
    played = [
        asyncio.run(arms.play(target, index))
        for index, target in enumerate(track(targets, "targets"))
    ]
    arms.engine.stop()
    best = {name: np.array([best_so_far(found[name]) for found in played]) for name in played[0]}
    ended = [len(rewards) < TURNS for found in played for rewards in found["policy"]]
    benchmark.finish(
        {
            "targets": len(targets),
            "members": MEMBERS,
            "model": given.model,
            "best": {name: array.mean(axis=0).tolist() for name, array in best.items()},
            "over_tries": {a: _against(best, a, "tries") for a in ("policy", "rules")},
            "over_tries_fixed": {a: _against(best, a, "tries_fixed") for a in ("policy", "rules")},
            "rules_over_deaf": _against(best, "rules", "deaf"),
            "policy_repeats_itself": float(np.mean(ended)),
        }
    )


if __name__ == "__main__":
    main()
