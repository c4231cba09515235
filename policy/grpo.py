"""GRPO: groups of scored answers become a loss for any causal language model.

Group-relative policy optimisation (Shao et al. 2024, arXiv 2402.03300): an answer's advantage is
its score against the mean of its group. The ratio of the model's probabilities now to those when
the answer was drawn is clipped (Schulman et al. 2017, arXiv 1707.06347), with a higher upper bound
and one mean over all tokens of a batch (Yu et al. 2025, arXiv 2503.14476). A group shares its
prompt, so the prompt is read once for all of its answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from audioforge.rollouts.outgoing import MASKED


class BatchError(ValueError):
    """A group from the trainer's API cannot be learnt from."""


@dataclass(frozen=True)
class Objective:
    """What is minimised."""

    clip_low: float = 0.2
    """The ratio is cut at 1 - clip_low where that is in its favour."""
    clip_high: float = 0.28
    """And at 1 + clip_high."""
    kl: float = 0.0
    """Weight of the divergence from the model at the start, in nats per token; 0 leaves it out."""
    hold: float = 0.0
    """Weight of the divergence from the model at the start on the tokens of answers that are not
    learnt (`policy.credit`), so that what the reward says nothing about stays as it was; 0 leaves
    it out."""
    scale: bool = False
    """Whether advantages are divided by the spread of their group: then a group whose answers are
    nearly alike counts as much as any other (Liu et al. 2025, arXiv 2503.20783, advise against)."""

    def __post_init__(self) -> None:
        pulls = (self.kl, self.hold)
        if not (0 < self.clip_low < 1 and 0 < self.clip_high < 10) or not all(
            0 <= pull < 100 for pull in pulls
        ):
            raise ValueError(
                "clip_low must be in (0, 1), clip_high in (0, 10), kl and hold in [0, 100), got "
                f"{self.clip_low}, {self.clip_high}, {self.kl} and {self.hold}"
            )


@dataclass(frozen=True)
class GroupBatch:
    """The answers to one question: a shared prompt, and what follows it, padded on the right."""

    prompt: torch.Tensor
    """Token ids, shape [1, prompt]; at least one."""
    answers: torch.Tensor
    """Token ids, shape [answers, time]."""
    learnt: torch.Tensor
    """Which of the answers' tokens are learnt, bool, shape [answers, time]."""
    held: torch.Tensor
    """Which were drawn and are not learnt, bool, shape [answers, time]."""
    drawn: torch.Tensor
    """Log-probabilities when they were drawn, shape [answers, time]; 0 where nothing is learnt."""
    advantages: torch.Tensor
    """Shape [answers, 1]."""

    @property
    def tokens(self) -> int:
        """How many tokens are learnt."""
        return int(self.learnt.sum())

    def to(self, device: torch.device) -> GroupBatch:
        """Return it on a device."""
        return GroupBatch(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def group_batch(group: Mapping[str, Any], scale: bool = False) -> GroupBatch:
    """Read one group as Atropos' API gives it.

    Args:
        group: with `tokens`, `masks`, `scores`, `inference_logprobs` and perhaps `overrides`.
        scale: whether advantages are divided by the spread of the scores.

    Raises:
        BatchError: parts are missing or do not fit together, or a number is not finite.
    """
    tokens, masks, scores = group["tokens"], group["masks"], group["scores"]
    logprobs = group.get("inference_logprobs")
    if not logprobs:
        raise BatchError(
            "a group needs inference_logprobs: ask a server that tells its tokens "
            "(--openai.server_type vllm)"
        )
    sizes = {len(tokens), len(masks), len(scores), len(logprobs)}
    rows = list(zip(tokens, masks, logprobs, strict=False))
    if len(sizes) > 1 or any(len({*map(len, row)}) > 1 for row in rows):
        raise BatchError("tokens, masks, scores and inference_logprobs of a group must fit")
    shared = _shared(tokens, masks)
    longest = max(map(len, tokens)) - shared
    answers = torch.zeros(len(rows), longest, dtype=torch.long)
    learnt = torch.zeros(len(rows), longest, dtype=torch.bool)
    drawn = torch.zeros(len(rows), longest)
    own = torch.zeros(len(rows), longest, dtype=torch.bool)
    for place, (ids, mask, told) in enumerate(rows):
        length = len(ids) - shared
        answers[place, :length] = torch.tensor(ids[shared:])
        learnt[place, :length] = torch.tensor(mask[shared:]) != MASKED
        drawn[place, :length] = torch.tensor(told[shared:], dtype=torch.float32)
        own[place, :length] = drawn[place, :length] <= 0  # 1.0 on what others have said
    drawn = drawn * learnt
    if not bool(torch.isfinite(drawn).all()):
        raise BatchError("inference_logprobs must be finite")
    overrides = group.get("overrides") or [{}] * len(rows)
    wanted = advantages(scores, overrides, scale)
    prompt = torch.tensor([tokens[0][:shared]])
    return GroupBatch(prompt, answers, learnt, own & ~learnt, drawn, wanted)


def advantages(
    scores: Sequence[float], overrides: Sequence[Mapping[str, Any]], scale: bool
) -> torch.Tensor:
    """Return the scores against their mean, shape [answers, 1]; 0 where an override says so.

    Raises:
        BatchError: a score is not finite.
    """
    if not all(map(math.isfinite, scores)):
        raise BatchError(f"scores must be finite, got {list(scores)}")
    ours = torch.tensor(list(scores), dtype=torch.float32)
    ours = ours - ours.mean()
    if scale:
        ours = ours / (ours.std(correction=0) + 1e-4)
    lost = [bool(override.get("set_advantage_to_zero")) for override in overrides]
    return ours.masked_fill(torch.tensor(lost), 0.0)[:, None]


def _shared(tokens: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]) -> int:
    """Return how many first tokens all answers have in common and none of them learns."""
    count = 0
    for ids, mask in zip(zip(*tokens, strict=False), zip(*masks, strict=False), strict=True):
        if len(set(ids)) > 1 or set(mask) != {MASKED}:
            break
        count += 1
    if count == 0:
        raise BatchError("the answers of a group must share a prompt that is not learnt")
    return count


def of_answers(every: torch.Tensor, batch: GroupBatch) -> torch.Tensor:
    """Pick the log-probabilities of the tokens that were drawn, shape [answers, time]."""
    return every.gather(-1, batch.answers[..., None])[..., 0]


def answer_distributions(model: Any, batch: GroupBatch) -> torch.Tensor:
    """Return the log-probabilities of all tokens at every place, shape [answers, time, tokens].

    The padding is on the right, where causal attention never looks from a real token.
    """
    read = model(batch.prompt, use_cache=True, logits_to_keep=1)
    known = read.past_key_values
    known.batch_repeat_interleave(len(batch.answers))
    logits = model(batch.answers, past_key_values=known, use_cache=True).logits[:, :-1]
    first = read.logits[:, -1:].expand(len(batch.answers), -1, -1)
    return torch.log_softmax(torch.cat([first, logits], 1).float(), -1)


def drift(now: torch.Tensor, start: torch.Tensor, batch: GroupBatch) -> torch.Tensor:
    """Return the divergence KL(start || now) in nats, summed over the tokens that are held.

    Args:
        now: from `answer_distributions`, of the model that learns.
        start: the same of the model at the start.
        batch: the group.
    """
    apart = (start.exp() * (start - now)).sum(-1)
    return (apart * batch.held).sum()


@dataclass(frozen=True)
class Loss:
    """The summed loss of one group, and what it was made of; sums over its learnt tokens."""

    total: torch.Tensor
    clipped: float
    """Tokens whose ratio was cut."""
    ratio: float
    kl: float
    """Divergence from the model that drew the answers, k3 (Schulman 2020), in nats."""


def group_loss(
    now: torch.Tensor, batch: GroupBatch, objective: Objective, start: torch.Tensor | None = None
) -> Loss:
    """Return the loss of one group, summed over its tokens.

    Args:
        now: log-probabilities under the model that learns, from `of_answers`.
        batch: the group.
        objective: clipping and divergence.
        start: log-probabilities under the model at the start; needed where `objective.kl` is not 0.

    Raises:
        ValueError: `start` is missing.
    """
    kept = batch.learnt.float()
    change = (now - batch.drawn) * kept
    ratio = change.exp()
    cut = ratio.clamp(1 - objective.clip_low, 1 + objective.clip_high)
    gain = torch.minimum(ratio * batch.advantages, cut * batch.advantages)
    total = -(gain * kept).sum()
    if objective.kl:
        if start is None:
            raise ValueError("a divergence from the start needs the start's log-probabilities")
        total = total + objective.kl * (_k3(start - now) * kept).sum()
    with torch.no_grad():
        lost = (ratio * batch.advantages > gain) & batch.learnt
        return Loss(
            total,
            float(lost.sum()),
            float((ratio * kept).sum()),
            float((_k3(-change) * kept).sum()),
        )


def _k3(difference: torch.Tensor) -> torch.Tensor:
    """Estimate a divergence without bias and never below 0, per token."""
    return difference.exp() - 1 - difference
