"""One decoding step as a CUDA graph: hundreds of kernel launches become one.

A graph replays fixed shapes and addresses, so steps run on a row count and a number of visible
cache slots rounded up to a few sizes; rows too many compute what nobody reads, slots not yet filled
are masked. One graph per pair of sizes, captured when it is first needed and kept with its cache.
"""

from __future__ import annotations

import torch

from audioforge.generation.musicgen_decoder import Cache, Decoder, Reach

ROWS = (4, 8, 12, 16, 24, 32, 48, 64)
"""Row counts; larger batches go up in steps of the last."""
SLOTS = 256
"""Visible slots go up in steps of this."""
_WARM_UP = 2
"""Runs before capture, for kernels that choose or allocate at first use."""


def rounded_rows(rows: int) -> int:
    """Return the row count a batch is padded to."""
    largest = ROWS[-1]
    return next((size for size in ROWS if size >= rows), -(-rows // largest) * largest)


def rounded_slots(slots: int) -> int:
    """Return the number of slots a cache is given, or a step sees."""
    return -(-slots // SLOTS) * SLOTS


class FixedStep:
    """A step on tensors that keep their addresses; runs eagerly, or as graphs on CUDA.

    Args:
        decoder: whose step it is.
        cache: read and written; its rows and slots must be rounded.
        graphs: False runs the same fixed shapes eagerly.
    """

    def __init__(self, decoder: Decoder, cache: Cache, *, graphs: bool) -> None:
        self.cache = cache
        self._decoder, self._graphs = decoder, graphs
        device = cache.text_mask.device
        self._tokens = torch.zeros(
            cache.rows, decoder.codebooks, 1, dtype=torch.long, device=device
        )
        self._at = torch.zeros(1, dtype=torch.long, device=device)
        self._numbers = torch.arange(cache.slots, device=device)
        self._captured: dict[tuple[int, int], tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}

    def __call__(self, tokens: torch.Tensor, at: int) -> torch.Tensor:
        """Return logits [rows, codebooks, vocabulary] after position `at`; read them at once.

        Args:
            tokens: [rows, codebooks, 1].
            at: number of the position.
        """
        rows = len(tokens)
        self._tokens[:rows] = tokens
        self._at.fill_(at)
        sizes = rounded_rows(rows), min(rounded_slots(at + 1), self.cache.slots)
        if not self._graphs:
            return self._run(*sizes)[:rows]
        if sizes not in self._captured:
            self._captured[sizes] = self._capture(*sizes)
        graph, logits = self._captured[sizes]
        graph.replay()
        return logits[:rows]

    def _run(self, rows: int, seen: int) -> torch.Tensor:
        filled = (self._numbers[:seen] <= self._at).view(1, 1, 1, seen)
        reach = Reach(self._at, seen, filled)
        return self._decoder(self._tokens[:rows], self._at, self.cache, reach)

    def _capture(self, rows: int, seen: int) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        """Record a step; a run writes the slot it is at and nothing else, so it may be repeated."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                self._run(rows, seen)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        pool = next(iter(self._captured.values()))[0].pool() if self._captured else None
        with torch.cuda.graph(graph, pool=pool):
            logits = self._run(rows, seen)
        return graph, logits
