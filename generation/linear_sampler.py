"""Samplers as programs of linear updates, so that items with different samplers share a batch.

Between two looks at the model a sampler only mixes tensors it already has, with weights that follow
from its noise levels alone. So a sampler is a list of `Step`s: what the model is shown and told,
and a small matrix that turns

    Y  the point the model looks at      H1, H2, H3  what later steps need (memory)
    X  a point kept meanwhile            V, U        the model's guided and unguided output
                                         N           fresh noise

into the next Y, X, H1, H2, H3. A sampler is then written as in its paper, over the unit vectors of
those names; one batched matrix product moves every item, whatever its sampler, order and steps.
Weights are computed in float64 and applied in float32.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from audioforge.generation.item_noise import ItemNoise

Y, X, H1, H2, H3, V, U, N = np.eye(8)
KEPT = 5
"""Of the eight names, the first five live on from step to step."""

Predict = Callable[
    [torch.Tensor, torch.Tensor, Sequence[int]], tuple[torch.Tensor, torch.Tensor | None]
]
"""(x [B, C, L], t [B], item numbers of the rows) -> guided and unguided output [B, C, L]; None for
the second if nobody asked for it."""


@dataclass(frozen=True)
class Step:
    """One look at the model and what follows from it."""

    time: float
    """The model is told."""
    scale: float
    """Of Y, before the model sees it."""
    update: np.ndarray
    """float64 [KEPT, 8]."""
    noise: tuple[float, float] | None = None
    """N is white noise for (0, 0), else the Brownian increment between these noise levels."""


WHITE = (0.0, 0.0)


def step(
    time: float,
    y: np.ndarray,
    *,
    scale: float = 1.0,
    x: np.ndarray | None = None,
    memory: Sequence[np.ndarray] = (),
    noise: tuple[float, float] | None = None,
) -> Step:
    """Return a Step; each vector says how a name is mixed anew, those left out become zero."""
    update = np.zeros((KEPT, 8))
    update[0] = y
    if x is not None:
        update[1] = x
    for row, mixed in enumerate(memory, 2):
        update[row] = mixed
    return Step(float(time), float(scale), update, noise)


@dataclass(frozen=True)
class Program:
    """A sampler made ready for its number of steps and its noise levels."""

    steps: tuple[Step, ...]
    start: float
    """Weight of the noise an item starts from."""
    keep: float = 0.0
    """Weight of the latents it starts from, if any."""
    span: tuple[float, float] | None = None
    """Lowest and highest noise level, of a program with Brownian noise."""


@dataclass(frozen=True)
class Path:
    """How one item travels."""

    program: Program
    first: torch.Tensor
    """Where it starts, float32 [1, C, L]."""
    noise: ItemNoise
    rows: int = 1
    """Rows it takes in a forward pass: 2 if guided."""


@torch.no_grad()
def integrate(predict: Predict, paths: Sequence[Path], max_rows: int) -> torch.Tensor:
    """Run every item to the end of its own program.

    The longest start first and a finished item's place goes to the next one, so the batch stays
    full until few are left.

    Args:
        predict: the model; called with the items still travelling.
        paths: one per item, all with latents of one shape.
        max_rows: most rows of a forward pass; one item may always travel.

    Returns:
        float32 latents [items, C, L].
    """
    flight = _Flight(paths, max_rows)
    while flight.items:
        steps = flight.current()
        guided, unguided = predict(*flight.shown(steps))
        flight.move(steps, guided, unguided)
    return flight.arrived


class _Flight:
    """The items under way: their tensors side by side, the first of `bank`'s slots in use."""

    def __init__(self, paths: Sequence[Path], max_rows: int) -> None:
        self.paths = paths
        self.max_rows = max_rows
        self.names = _names_used(paths)
        self.live = sum(name < KEPT for name in self.names)
        first = paths[0].first
        longest_first = sorted(
            range(len(paths)), key=lambda i: len(paths[i].program.steps), reverse=True
        )
        self.waiting = deque(longest_first)
        self.items: list[int] = []
        self.done_steps: list[int] = []
        slots = min(max(max_rows, 1), len(paths))
        self.bank = first.new_zeros((slots, len(self.names), *first.shape[1:]))
        self.arrived = first.new_empty((len(paths), *first.shape[1:]))
        self._admit()

    def _admit(self) -> None:
        rows = sum(self.paths[i].rows for i in self.items)
        while self.waiting:
            item = self.waiting[0]
            rows += self.paths[item].rows
            if self.items and rows > self.max_rows:
                return
            self.waiting.popleft()
            slot = len(self.items)
            self.bank[slot].zero_()  # what a previous item left may not be a number
            self.bank[slot, 0] = self.paths[item].first[0]
            self.items.append(item)
            self.done_steps.append(0)

    def current(self) -> list[Step]:
        """Return the step each item is at."""
        return [
            self.paths[i].program.steps[k] for i, k in zip(self.items, self.done_steps, strict=True)
        ]

    def shown(self, steps: list[Step]) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        """Return what the model is asked."""
        device = self.bank.device
        time, scale = torch.tensor([[s.time, s.scale] for s in steps], device=device).unbind(1)
        return self.bank[: len(steps), 0] * scale[:, None, None], time, list(self.items)

    def move(self, steps: list[Step], guided: torch.Tensor, unguided: torch.Tensor | None) -> None:
        """Mix every item's tensors; let finished items go and others in."""
        active = self.bank[: len(steps)]
        active[:, self.names.index(5)] = guided
        if 6 in self.names:
            active[:, self.names.index(6)] = guided if unguided is None else unguided
        for slot, (item, now) in enumerate(zip(self.items, steps, strict=True)):
            if now.noise is not None and 7 in self.names:
                noise = self.paths[item].noise
                drawn = noise.white() if now.noise == WHITE else noise.brownian(*now.noise)
                active[slot, self.names.index(7)] = drawn[0]
        weights = np.stack([s.update[np.ix_(self.names[: self.live], self.names)] for s in steps])
        mixing = torch.from_numpy(weights.astype(np.float32)).to(active.device)
        active[:, : self.live] = torch.bmm(mixing, active.flatten(2)).unflatten(2, active.shape[2:])
        self._release()
        self._admit()

    def _release(self) -> None:
        self.done_steps = [k + 1 for k in self.done_steps]
        for slot in reversed(range(len(self.items))):
            item = self.items[slot]
            if self.done_steps[slot] < len(self.paths[item].program.steps):
                continue
            self.arrived[item] = self.bank[slot, 0]
            self.paths[item].noise.close()
            last = len(self.items) - 1
            if slot != last:
                self.bank[slot] = self.bank[last]
                self.items[slot], self.done_steps[slot] = self.items[last], self.done_steps[last]
            self.items.pop()
            self.done_steps.pop()


def _names_used(paths: Sequence[Path]) -> list[int]:
    """Return the names that some program reads, in order: the others need no memory."""
    programs = {id(p.program): p.program for p in paths}.values()
    read = np.any([s.update.any(axis=0) for p in programs for s in p.steps], axis=0)
    read[[0, 5]] = True
    return [int(name) for name in np.flatnonzero(read)]
