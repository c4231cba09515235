"""The recipe of the embedded policy, and the token batches and the loss of one training step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from audioforge.policy.drills import DRILL, draw_drill
from audioforge.policy.sft_texts import (
    draw_capabilities,
    draw_lesson,
    system_text,
)
from audioforge.rollouts.outgoing import MASKED

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, apart from the texts."""

    steps: int = 1_000
    drill_steps: int = 400
    """The first of the steps: only drills in repeating what was said."""
    batch: int = 32
    """Lessons per step, below one system message."""
    peak: float = 2e-3
    """Highest learning rate."""
    warmup: int = 60
    sharpen: float = 1.25
    """Factor on the logits of the finished model: fewer slips of the pen for a little breadth."""
    seed: int = 1
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    feed_forward: int = 640

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, then a cosine to a twentieth."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


@dataclass(frozen=True)
class LessonBatch:
    """Token ids of one step: a shared prefix, lessons padded on the right, and what is learnt."""

    prefix: torch.Tensor
    """Shape [1, prefix]."""
    lessons: torch.Tensor
    """Shape [batch, time]."""
    labels: torch.Tensor
    """Shape [batch, time]; MASKED where nothing is learnt."""


def draw_batch(step: int, recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LessonBatch:
    """Draw the lessons of a step; the same step and seed give the same lessons."""
    rng = np.random.default_rng([recipe.seed, 1, step])
    capabilities, template = draw_capabilities(rng)
    drill = step < recipe.drill_steps
    said = DRILL if drill else system_text(capabilities, template)
    system = [{"role": "system", "content": said}]
    prefix = tokenizer.encode(_chat(tokenizer, system), add_special_tokens=False)
    rows = []
    for _ in range(recipe.batch):
        lesson = draw_drill(rng) if drill else draw_lesson(rng, capabilities, template)
        asked = _chat(tokenizer, [{"role": "user", "content": lesson.user}], prompt=True)
        head = tokenizer.encode(asked, add_special_tokens=False)
        answer = [
            *tokenizer.encode(lesson.answer, add_special_tokens=False),
            tokenizer.eos_token_id,
        ]
        rows.append((head + answer, [MASKED] * len(head) + answer))
    longest = max(len(ids) for ids, _ in rows)
    pad = tokenizer.pad_token_id
    return LessonBatch(
        torch.tensor([prefix]),
        torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in rows]),
        torch.tensor([labels + [MASKED] * (longest - len(labels)) for _, labels in rows]),
    )


def batch_loss(model: LlamaForCausalLM, batch: LessonBatch) -> torch.Tensor:
    """Return the mean cross entropy of the answers' tokens, in nats."""
    known = model(batch.prefix, use_cache=True, logits_to_keep=1).past_key_values
    known.batch_repeat_interleave(len(batch.lessons))
    # The padding is on the right, where causal attention never looks from a real token.
    logits = model(batch.lessons, past_key_values=known, use_cache=True).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].float().flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=MASKED
    )


def _chat(
    tokenizer: PreTrainedTokenizerFast, messages: list[dict[str, str]], prompt: bool = False
) -> str:
    return str(
        tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
    )
