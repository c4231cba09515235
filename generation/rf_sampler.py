"""Rectified-flow samplers of stable-audio-tools as programs: euler, dpmpp, pingpong, rk4.

With v the predicted velocity at time t, D = x - t v the denoised estimate and n the next time:

- euler:    x + (n - t) v
- pingpong: (1 - n) D + n noise                        (arXiv 2505.08175, ARC)
- dpmpp:    second-order multistep DPM-Solver++ in log-SNR (arXiv 2211.01095)
- rk4:      the classical Runge-Kutta step, four evaluations, on a grid of its own: uniform in time,
  then shifted by length where the checkpoint says so

Agreement with solo upstream calls is tested to 1e-5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch

from audioforge.generation.linear_sampler import H1, WHITE, N, Program, Step, V, X, Y, step

Warp = Callable[[torch.Tensor], torch.Tensor]
"""Shift of a time grid."""


def program(
    sampler: str, steps: int, sigma_max: float = 1.0, *, varies: bool = False, warp: Warp | None
) -> Program:
    """Return a sampler's program.

    Args:
        sampler: one of SAMPLERS.
        steps: of the time grid; rk4 looks at the model four times in each.
        sigma_max: time to start from, in (0, 1].
        varies: whether it starts from given latents, mixed with noise in proportion.
        warp: shift of rk4's time grid, or None.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {list(SAMPLERS)}, got {sampler!r}")
    if sampler == "rk4":
        grid = torch.linspace(sigma_max, 0, steps + 1)
        grid = warp(grid) if warp else grid
    else:
        grid = times(steps, sigma_max)
    made = tuple(_SAMPLERS[sampler](grid.double().tolist()))
    return Program(made, sigma_max, 1 - sigma_max) if varies else Program(made, 1.0)


def times(steps: int, sigma_max: float) -> torch.Tensor:
    """Return the upstream time grid: uniform in log-SNR up to 2, ends pinned; [steps + 1]."""
    start = math.log((1 - sigma_max) / sigma_max + 1e-6) if sigma_max < 1 else -6.0
    grid = torch.sigmoid(-torch.linspace(start, 2, steps + 1))
    grid[0], grid[-1] = sigma_max, 0.0
    return grid


def _euler(grid: list[float]) -> Iterator[Step]:
    for now, after in pairwise(grid):
        yield step(now, Y + (after - now) * V)


def _pingpong(grid: list[float]) -> Iterator[Step]:
    for now, after in pairwise(grid):
        yield step(now, (1 - after) * (Y - now * V) + after * N, noise=WHITE)


def _dpmpp(grid: list[float]) -> Iterator[Step]:
    with np.errstate(divide="ignore"):
        t = np.array(grid)
        log_snr = np.log((1 - t) / t)
    for i, (now, after) in enumerate(pairwise(grid)):
        h = log_snr[i + 1] - log_snr[i]
        second = h / (2 * (log_snr[i] - log_snr[i - 1])) if i > 0 and after > 0 else 0.0
        denoised = Y - now * V
        pull = -(1 - after) * np.expm1(-h)
        y = after / now * Y + pull * ((1 + second) * denoised - second * H1)
        yield step(now, y, memory=[denoised])


def _rk4(grid: list[float]) -> Iterator[Step]:
    for now, after in pairwise(grid):
        dt = after - now
        middle = now + dt / 2
        yield step(now, Y + dt / 2 * V, x=Y, memory=[V])
        yield step(middle, X + dt / 2 * V, x=X, memory=[H1 + 2 * V])
        yield step(middle, X + dt * V, x=X, memory=[H1 + 2 * V])
        yield step(after, X + dt / 6 * (H1 + V))


_SAMPLERS: dict[str, Callable[[list[float]], Iterator[Step]]] = {
    "euler": _euler,
    "dpmpp": _dpmpp,
    "pingpong": _pingpong,
    "rk4": _rk4,
}
SAMPLERS = tuple(_SAMPLERS)
LOOKS = {"rk4": 4}
"""Looks at the model per step, where it is more than one."""
