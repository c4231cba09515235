"""Arms: different ways to answer the same targets, as the texts a language model would write.

Every arm answers in the same form, is parsed alike and gets the same clip seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from audioforge.data.families import FAMILIES
from audioforge.data.presets import presets
from audioforge.data.targets import Target, curated, sample
from audioforge.data.wording import caption
from audioforge.generation.backend import Capabilities
from audioforge.policy.drawing import Question, Sampling
from audioforge.policy.local_llm import LocalLLM
from audioforge.rollouts.messages import messages_for
from audioforge.rollouts.pool import deal

Arm = Callable[[Sequence[Target], int], list[list[str]]]
"""(targets, n) gives n answers to each."""
STREAM = 40_111
"""Of the procedural held-out targets; no training draws from it."""
ANSWER_TOKENS = 160


def held_out(count: int) -> list[Target]:
    """Return held-out targets: half curated, dealt over the categories, half procedural."""
    half = count // 2
    procedural = [sample(STREAM, index, "eval") for index in range(count - half)]
    return deal(curated("eval"), 0)[:half] + procedural


def policy(folder: Path, capabilities: Capabilities) -> Arm:
    """Let a language model answer at temperature 1, with seeds of its own for every target."""

    def answer(targets: Sequence[Target], n: int) -> list[list[str]]:
        llm, texts = LocalLLM(folder, "cpu"), []
        for index, target in enumerate(targets):
            prompt = llm.encode_chat(messages_for(target, capabilities))
            drawn = Sampling(n=n, seed=STREAM + index, max_tokens=ANSWER_TOKENS)
            texts.append([found.text for found in llm.generate([Question(prompt, drawn)])[0]])
        return texts

    return answer


def at_random(capabilities: Capabilities) -> Arm:
    """Ask for any family of sound with any settings the model takes."""

    def answer(targets: Sequence[Target], n: int) -> list[list[str]]:
        rng = np.random.default_rng(STREAM)
        families = list(FAMILIES.values())
        low, high = capabilities.steps

        def action(target: Target) -> str:
            words = families[int(rng.integers(len(families)))].words
            return _text(
                words[int(rng.integers(len(words)))],
                target,
                steps=int(rng.integers(low, high, endpoint=True)),
                cfg_scale=round(float(rng.uniform(*capabilities.cfg_scale)), 1),
                sampler=str(rng.choice(capabilities.samplers)),
            )

        return [[action(target) for _ in range(n)] for target in targets]

    return answer


def baseline(capabilities: Capabilities) -> Arm:
    """Send the target's own baseline prompt with the model's recommended settings."""
    usual = vars(capabilities.recommended)
    return lambda targets, n: [[_text(t.baseline_prompt, t, **usual)] * n for t in targets]


def preset() -> Arm:
    """Send the baseline prompt with the category's curated "balanced" preset."""
    return searched(
        {
            category: {
                "steps": named["balanced"].steps,
                "cfg_scale": named["balanced"].cfg_scale,
                "sampler": named["balanced"].sampler,
            }
            for category, named in presets().items()
        }
    )


def searched(found: Mapping[str, Mapping[str, object]]) -> Arm:
    """Send the baseline prompt with settings found for each category."""
    return lambda targets, n: [
        [_text(t.baseline_prompt, t, **found[t.category])] * n for t in targets
    ]


def told(capabilities: Capabilities) -> Arm:
    """Say all that is asked in the generator's own words: an oracle that reads the brief."""
    usual = vars(capabilities.recommended)

    def answer(targets: Sequence[Target], n: int) -> list[list[str]]:
        rng = np.random.default_rng(STREAM)
        return [
            [
                _text(caption(t.brief, rng) if t.brief.family else t.baseline_prompt, t, **usual)
                for _ in range(n)
            ]
            for t in targets
        ]

    return answer


def _text(prompt: str, target: Target, **settings: object) -> str:
    return json.dumps({"prompt": prompt, "seconds_total": target.brief.seconds, **settings})
