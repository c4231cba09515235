"""Drawing tokens: every item of a batch has its own temperature, top-k, top-p and seed.

A token is drawn by the Gumbel-max trick, argmax(logits + temperature * g) with g = -log(-log(u)):
the same distribution as softmax(logits / temperature), and temperature 0 is the likeliest token.
Each item draws u from its own generator, so it does not matter who else is in the batch. It is also
the way least upset by rounding: another last bit in a logit changes the token only where two
candidates are as close as that, while inverting a cumulative sum has a boundary at every token.

Top-k comes before top-p, as in transformers; their thresholds are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

STEPS_AHEAD = 16
"""Steps that noise is drawn for at once: one call per item for so many steps."""
_SMALLEST, _LARGEST = 2.0**-25, 1 - 2.0**-24
"""Of u: a float32 between them has a finite g."""
_COLDEST = 1e-4
"""Temperature below which top-p takes the likeliest token alone."""


@dataclass(frozen=True)
class Taste:
    """How one item draws."""

    temperature: float
    top_k: int
    top_p: float
    generator: torch.Generator
    """On the device of the logits; drawing advances it."""


class Draws:
    """Draws for a batch whose last items may leave.

    Args:
        tastes: one per item.
        codebooks: drawn at each step.
        vocabulary: tokens of a codebook.
        device: of the logits.
    """

    def __init__(
        self, tastes: Sequence[Taste], codebooks: int, vocabulary: int, device: torch.device
    ) -> None:
        self._tastes = tastes
        shape = (STEPS_AHEAD, len(tastes), codebooks, vocabulary)
        self._noise = torch.zeros(shape, device=device)
        limits = [min(taste.top_k or vocabulary, vocabulary) for taste in tastes]
        self._most = [i for i, limit in enumerate(limits) if limit < vocabulary]
        self._most_rows = torch.tensor(self._most, dtype=torch.long, device=device)
        self._ranks = torch.tensor(
            [limits[i] - 1 for i in self._most], dtype=torch.long, device=device
        )
        self._likely = [i for i, taste in enumerate(tastes) if taste.top_p < 1]
        self._likely_rows = torch.tensor(self._likely, dtype=torch.long, device=device)
        told = [(max(tastes[i].temperature, _COLDEST), tastes[i].top_p) for i in self._likely]
        self._cooling, self._shares = torch.tensor(told, device=device).view(-1, 2, 1, 1).unbind(1)

    def draw(self, logits: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw one token per codebook.

        Args:
            logits: float32 [items still there, codebooks, vocabulary]; changed in place.
            step: counts up by one from 0.

        Returns:
            The tokens [items, codebooks], and whether the logits they won by were finite [items].
        """
        items = len(logits)
        if step % STEPS_AHEAD == 0:
            self._draw_ahead(items)
        self._keep_most(logits, sum(i < items for i in self._most))
        self._keep_likely(logits, sum(i < items for i in self._likely))
        best, tokens = (logits + self._noise[step % STEPS_AHEAD, :items]).max(-1)
        return tokens, best.isfinite().all(-1)

    def _draw_ahead(self, items: int) -> None:
        for i, taste in enumerate(self._tastes[:items]):
            if taste.temperature == 0:
                continue
            noise = torch.empty_like(self._noise[:, i], memory_format=torch.contiguous_format)
            noise.uniform_(generator=taste.generator).clamp_(_SMALLEST, _LARGEST)
            self._noise[:, i] = noise.log_().neg_().log_().mul_(-taste.temperature)

    def _keep_most(self, logits: torch.Tensor, count: int) -> None:
        """Leave each item its top_k likeliest tokens, and those that tie with the last of them."""
        if not count:
            return
        rows = self._most_rows[:count]
        own = logits[rows]
        best = own.topk(max(self._tastes[i].top_k for i in self._most[:count]), dim=-1).values
        last = best.gather(2, self._ranks[:count, None, None].expand(-1, best.shape[1], 1))
        logits[rows] = own.masked_fill(own < last, -torch.inf)

    def _keep_likely(self, logits: torch.Tensor, count: int) -> None:
        """Leave each item its likeliest tokens: those before which less than top_p has passed."""
        if not count:
            return
        rows = self._likely_rows[:count]
        own = logits[rows]
        heat = (own - own.amax(-1, keepdim=True)) / self._cooling[:count]
        ranked, order = heat.softmax(-1).sort(dim=-1, descending=True)
        passed = ranked.cumsum(-1) - ranked
        drop = torch.zeros_like(own, dtype=torch.bool).scatter_(
            2, order, passed >= self._shares[:count]
        )
        logits[rows] = own.masked_fill(drop, -torch.inf)
