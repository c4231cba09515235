"""The decode loop: a batch of items, each with its own text, guidance, taste and length.

Codebook k of a frame comes k positions late (the delay pattern of arXiv 2306.05284; pairs of
codebooks together in stereo), so frame f of codebook k stands at position f + 1 + delay; position 0
and everything outside an item's frames is the padding token. What is known, prompt and padding, is
laid out beforehand; the rest is drawn.

Rows are ordered so that the item with most frames comes first, its unguided row beside it: whoever
is finished leaves at the end of the batch, and the cache is never copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from audioforge.generation.musicgen_decoder import Cache, Decoder, Reach
from audioforge.generation.musicgen_graphs import FixedStep, rounded_rows, rounded_slots
from audioforge.generation.musicgen_sampling import Draws, Taste

FEWEST_ROWS = 4
"""A batch is padded to these: with fewer, matrix products on a CPU round differently."""
TEXT_STEP = 32
"""Text is padded to a multiple of this, so that other prompts rarely change the shapes."""

_Step = Callable[[torch.Tensor, int], torch.Tensor]


@dataclass(frozen=True)
class Part:
    """What an item is to play in one pass."""

    prompt: torch.Tensor
    """Tokens [codebooks, frames] that come before; of all parts of a pass equally many."""
    frames: int
    """To be drawn."""
    text: torch.Tensor
    """What is heard, [tokens, dim]."""
    against: torch.Tensor | None
    """What the unguided row hears; None where guidance does nothing."""
    cfg_scale: float
    taste: Taste


class Played(NamedTuple):
    """One part: prompt and drawn frames, [codebooks, frames], and whether logits were finite."""

    tokens: torch.Tensor
    finite: bool


class Player:
    """Plays batches with one decoder and keeps its cache where CUDA graphs are bound to it.

    Attributes:
        row_evaluations: rows the decoder was evaluated for so far, without those that only pad.
    """

    def __init__(self, decoder: Decoder, *, graphs: bool) -> None:
        self.decoder = decoder
        self.row_evaluations = 0
        self._graphs = graphs
        self._device = decoder.heads.device
        self._kept: FixedStep | None = None

    def release(self) -> None:
        """Let go of the kept cache and its graphs."""
        self._kept = None

    @torch.no_grad()
    def play(self, parts: Sequence[Part]) -> list[Played]:
        """Play parts whose prompts are equally long; one Played each, in order."""
        order = sorted(range(len(parts)), key=lambda i: -parts[i].frames)
        batch = [parts[i] for i in order]
        sheet = self._sheet(batch)
        finite = torch.ones(len(batch), dtype=torch.bool, device=self._device)
        self._fill(batch, sheet, finite)
        if not finite.all():
            self.release()  # what is not a number would stay in the kept cache
        played: dict[int, Played] = {}
        for i, part, rows, ok in zip(order, batch, sheet, finite.tolist(), strict=True):
            frames = part.prompt.shape[1] + part.frames
            late = [row[1 + d : 1 + d + frames] for row, d in zip(rows, self._delays, strict=True)]
            played[i] = Played(torch.stack(late), ok)
        return [played[i] for i in range(len(parts))]

    @property
    def _delays(self) -> list[int]:
        return self.decoder.delays

    def _fill(self, batch: list[Part], sheet: torch.Tensor, finite: torch.Tensor) -> None:
        """Draw what is unknown on the sheet, position by position."""
        decoder, begin = self.decoder, batch[0].prompt.shape[1]
        cache, step = self._cache(batch, sheet.shape[2] - 1)
        draws = Draws([p.taste for p in batch], decoder.codebooks, decoder.vocabulary, self._device)
        ends = [begin + part.frames + max(self._delays) for part in batch]
        rows, there = None, 0
        for at in range(begin, ends[0]):
            if there != (there := sum(at < end for end in ends)) or rows is None:
                rows = _Rows(batch[:there], self._device)
            if at == begin:  # the prompt at once; a graph is for one position
                logits = self._eager(cache, rows.tokens(sheet[:, :, : at + 1]), 0)
            else:
                logits = step(rows.tokens(sheet[:, :, at : at + 1]), at)
            self.row_evaluations += rows.count
            drawn, ok = draws.draw(rows.guided(logits), at - begin)
            known = sheet[:there, :, at + 1]
            sheet[:there, :, at + 1] = torch.where(known < 0, drawn, known)
            finite[:there] &= ok

    def _sheet(self, batch: list[Part]) -> torch.Tensor:
        """Lay out prompts and padding; -1 where a token is to be drawn.

        Returns:
            Tokens [items, codebooks, positions].
        """
        frames = [part.prompt.shape[1] + part.frames for part in batch]
        shape = (len(batch), self.decoder.codebooks, frames[0] + 1 + max(self._delays))
        sheet = torch.full(shape, self.decoder.pad, device=self._device)
        for i, part in enumerate(batch):
            for k, delay in enumerate(self._delays):
                first = 1 + delay
                sheet[i, k, first : first + frames[i]] = -1
                sheet[i, k, first : first + part.prompt.shape[1]] = part.prompt[k]
        return sheet

    def _cache(self, batch: list[Part], slots: int) -> tuple[Cache, _Step]:
        """Return a cache that holds the texts, and a step on it."""
        texts = [text for part in batch for text in _heard(part)]
        tokens = -(-max(map(len, texts)) // TEXT_STEP) * TEXT_STEP
        rows = max(len(texts), FEWEST_ROWS)
        if self._graphs and not self._hooked():
            rows, slots = rounded_rows(rows), rounded_slots(slots)
            if self._kept is None or not self._kept.cache.fits(rows, slots, tokens):
                self._kept = None  # freed before the new one is allocated
                cache = self.decoder.new_cache(rows, slots, tokens)
                self._kept = FixedStep(self.decoder, cache, graphs=True)
            cache, step = self._kept.cache, self._kept
        else:
            cache = self.decoder.new_cache(rows, slots, tokens)
            step = partial(self._eager, cache)
        text = texts[0].new_zeros(rows, tokens, texts[0].shape[1])
        mask = torch.zeros(rows, tokens, dtype=torch.bool, device=self._device)
        for row, own in enumerate(texts):
            text[row, : len(own)] = own
            mask[row, : len(own)] = True
        mask[len(texts) :] = True  # rows that only pad the batch: no row may be without a token
        self.decoder.hear_text(cache, text, mask)
        return cache, step

    def _hooked(self) -> bool:
        """Say whether somebody listens in: a graph would go on without them, or with the last."""
        return any(m._forward_hooks or m._forward_pre_hooks for m in self.decoder.modules())

    def _eager(self, cache: Cache, tokens: torch.Tensor, at: int) -> torch.Tensor:
        """Run positions from `at` on without a graph."""
        end = at + tokens.shape[2]
        places = torch.arange(at, end, device=self._device)
        return self.decoder(tokens, places, cache, Reach(slice(at, end), end))


class _Rows:
    """Who is in the batch, and in which of its rows."""

    def __init__(self, batch: Sequence[Part], device: torch.device) -> None:
        def number(rows: Sequence[int]) -> torch.Tensor:
            return torch.tensor(rows, device=device, dtype=torch.long)

        items = [i for i, part in enumerate(batch) for _ in _heard(part)]
        self.count = len(items)
        heard = [items.index(i) for i in range(len(batch))]
        guided = [i for i, part in enumerate(batch) if part.against is not None]
        self._items = number(items + [0] * (FEWEST_ROWS - len(items)))
        self._heard, self._guided = number(heard), number(guided)
        self._against = number([heard[i] + 1 for i in guided])
        scale = torch.tensor([batch[i].cfg_scale for i in guided], device=device)
        self._scale = scale[:, None, None]

    def tokens(self, sheet: torch.Tensor) -> torch.Tensor:
        """Spread tokens [items, codebooks, positions] over the rows."""
        return sheet[self._items]

    def guided(self, logits: torch.Tensor) -> torch.Tensor:
        """Mix the logits of rows to those of items, a new tensor."""
        mixed = logits[self._heard]
        if len(self._guided):
            free = logits[self._against]
            mixed[self._guided] = free + (mixed[self._guided] - free) * self._scale
        return mixed


def _heard(part: Part) -> list[torch.Tensor]:
    """Return the texts of an item's rows."""
    return [part.text] if part.against is None else [part.text, part.against]
