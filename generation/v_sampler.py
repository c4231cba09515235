"""Samplers of the v objective, k-diffusion's and stable-audio-tools' own, as programs.

A k-diffusion sampler works on x = latents + sigma noise. Its denoised estimate from the model's
output v, shown x / sqrt(sigma^2 + 1) and told 2/pi atan(sigma), is

    D = x / (sigma^2 + 1) - v sigma / sqrt(sigma^2 + 1),    and its slope d = (x - D) / sigma

over noise levels uniform in log sigma from sigma_max to sigma_min, then 0 (rho = 1, upstream's
default). v-ddim works on x = cos(pi t / 2) latents + sin(pi t / 2) noise over uniform t from 1.

- k-heun, k-dpm-2:        second order (Karras et al. 2022, algorithm 2, and its DPM-Solver-2 kin)
- k-lms:                  linear multistep of order 4
- k-dpm-fast:             DPM-Solver of order 3 with its own grid (arXiv 2206.00927)
- k-dpmpp-2s-ancestral:   DPM-Solver++(2S) with fresh noise (arXiv 2211.01095)
- dpmpp-2m, dpmpp-2m-sde, dpmpp-3m-sde: multistep, the last two along a Brownian path
- v-ddim, v-ddim-cfgpp:   the second takes its noise estimate from the unguided output (CFG++)

Left out: k-dpm-adaptive. Its step length follows one error norm over a whole batch, and its cost is
not bounded by `steps`. Agreement with solo upstream calls is tested to 1e-4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch

from audioforge.generation.linear_sampler import (
    H1,
    H2,
    H3,
    WHITE,
    N,
    Program,
    Step,
    U,
    V,
    X,
    Y,
    step,
)

Vector = np.ndarray


def program(
    sampler: str, steps: int, sigma_min: float, sigma_max: float, *, strength: float | None = None
) -> Program:
    """Return a sampler's program.

    Args:
        sampler: one of SAMPLERS.
        steps: noise levels above 0; of k-dpm-fast, looks at the model.
        sigma_min: last noise level above 0; v-ddim knows none.
        sigma_max: first noise level; v-ddim starts at time 1 whatever it is, as upstream does.
        strength: where a variation of given latents starts on the axis of time, in (0, 1]; its
            noise level is tan(pi/2 strength), at most sigma_max. None without latents.
    """
    if sampler in _DDIM:
        begin = 1.0 if strength is None else strength
        steps_made = tuple(_DDIM[sampler](torch.linspace(begin, 0, steps + 1)[:-1].tolist()))
        alpha, sigma = math.cos(begin * math.pi / 2), math.sin(begin * math.pi / 2)
        return Program(steps_made, 1.0) if strength is None else Program(steps_made, sigma, alpha)
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {list(SAMPLERS)}, got {sampler!r}")
    sigma_max = sigma_max if strength is None else start_level(strength, sigma_min, sigma_max)
    levels = noise_levels(steps, sigma_min, sigma_max)
    if sampler == "k-dpm-fast":
        made = _dpm_fast(steps, sigma_min, sigma_max)
    else:
        made = _K_SAMPLERS[sampler](levels)
    return Program(tuple(made), levels[0], 1.0, (levels[-2], levels[0]))


def start_level(strength: float, sigma_min: float, sigma_max: float) -> float:
    """Return the noise level a variation starts at."""
    level = math.tan(min(strength, 0.999_999) * math.pi / 2)
    return min(max(level, 1.01 * sigma_min), sigma_max)


def noise_levels(steps: int, sigma_min: float, sigma_max: float) -> list[float]:
    """Return upstream's noise levels, float32 values: `steps` of them and 0."""
    ramp = torch.linspace(1, 0, steps)
    low, high = math.log(sigma_min), math.log(sigma_max)
    return [*torch.exp(ramp * (high - low) + low).tolist(), 0.0]


def _denoised(sigma: float) -> Vector:
    return Y / (sigma**2 + 1) - V * sigma / math.sqrt(sigma**2 + 1)


def _slope(sigma: float) -> Vector:
    return Y * sigma / (sigma**2 + 1) + V / math.sqrt(sigma**2 + 1)


def _look(
    sigma: float,
    y: Vector,
    *,
    x: Vector | None = None,
    memory: tuple[Vector, ...] = (),
    noise: tuple[float, float] | None = None,
) -> Step:
    """Return a Step that shows the model a point at a noise level."""
    time, scale = math.atan(sigma) * 2 / math.pi, 1 / math.sqrt(sigma**2 + 1)
    return step(time, y, scale=scale, x=x, memory=memory, noise=noise)


def _heun(levels: list[float]) -> Iterator[Step]:
    for now, after in pairwise(levels):
        d, dt = _slope(now), after - now
        if after == 0:
            yield _look(now, Y + dt * d)
        else:
            yield _look(now, Y + dt * d, x=Y, memory=(d,))
            yield _look(after, X + dt / 2 * (H1 + _slope(after)))


def _dpm_2(levels: list[float]) -> Iterator[Step]:
    for now, after in pairwise(levels):
        d = _slope(now)
        if after == 0:
            yield _look(now, Y - now * d)
        else:
            middle = math.sqrt(now * after)
            yield _look(now, Y + (middle - now) * d, x=Y)
            yield _look(middle, X + (after - now) * _slope(middle))


def _lms(levels: list[float]) -> Iterator[Step]:
    from k_diffusion.sampling import linear_multistep_coeff

    for i, now in enumerate(levels[:-1]):
        order = min(i + 1, 4)
        slopes = (_slope(now), H1, H2, H3)[:order]
        weights = [linear_multistep_coeff(order, levels, i, j) for j in range(order)]
        moved = sum((w * d for w, d in zip(weights, slopes, strict=True)), start=Y)
        yield _look(now, moved, memory=(_slope(now), H1, H2))


def _ancestral(levels: list[float]) -> Iterator[Step]:
    from k_diffusion.sampling import get_ancestral_step

    for now, after in pairwise(levels):
        # upstream's float32: at great leaps the level it steps down to is mostly rounding
        down, up = map(float, get_ancestral_step(torch.tensor(now), torch.tensor(after)))
        if down == 0:
            yield _look(now, Y - now * _slope(now))
            continue
        middle = math.sqrt(now * down)
        y = middle / now * Y + (1 - middle / now) * _denoised(now)
        yield _look(now, y, x=Y)
        y = down / now * X + (1 - down / now) * _denoised(middle) + up * N
        yield _look(middle, y, noise=WHITE)


def _dpmpp_2m(levels: list[float]) -> Iterator[Step]:
    for i, (now, after) in enumerate(pairwise(levels)):
        mixed = _denoised(now)
        if i > 0 and after > 0:
            second = math.log(now / after) / (2 * math.log(levels[i - 1] / now))
            mixed = (1 + second) * mixed - second * H1
        y = after / now * Y + (1 - after / now) * mixed
        yield _look(now, y, memory=(_denoised(now),))


def _dpmpp_2m_sde(levels: list[float]) -> Iterator[Step]:
    for i, (now, after) in enumerate(pairwise(levels)):
        denoised, ratio = _denoised(now), after / now
        if after == 0:
            yield _look(now, denoised)
            continue
        y = ratio**2 * Y + (1 - ratio**2) * denoised
        if i > 0:
            second = math.log(now / after) / (2 * math.log(levels[i - 1] / now))
            y = y + (1 - ratio**2) * second * (denoised - H1)
        y = y + after * math.sqrt(1 - ratio**2) * N
        yield _look(now, y, memory=(denoised,), noise=(now, after))


def _dpmpp_3m_sde(levels: list[float]) -> Iterator[Step]:
    logs = [-math.log(level) for level in levels[:-1]]
    for i, (now, after) in enumerate(pairwise(levels)):
        denoised, ratio = _denoised(now), after / now
        if after == 0:
            yield _look(now, denoised)
            continue
        h = logs[i + 1] - logs[i]
        phi_2 = math.expm1(-2 * h) / (2 * h) + 1
        y = ratio**2 * Y + (1 - ratio**2) * denoised
        if i == 1:
            y = y + phi_2 * (denoised - H1) * h / (logs[1] - logs[0])
        elif i > 1:
            r0, r1 = (logs[i] - logs[i - 1]) / h, (logs[i - 1] - logs[i - 2]) / h
            first, earlier = (denoised - H1) / r0, (H1 - H2) / r1
            bend = (first - earlier) / (r0 + r1)
            phi_3 = phi_2 / (2 * h) - 0.5
            y = y + phi_2 * (first + bend * r0) - phi_3 * bend
        y = y + after * math.sqrt(1 - ratio**2) * N
        yield _look(now, y, memory=(denoised, H1), noise=(now, after))


def _dpm_fast(looks: int, sigma_min: float, sigma_max: float) -> Iterator[Step]:
    """DPM-Solver of order 3 until few looks are left, on a grid uniform in log sigma."""
    stages = looks // 3 + 1
    grid = torch.linspace(-math.log(sigma_max), -math.log(sigma_min), stages + 1).tolist()
    last = [2, 1] if looks % 3 == 0 else [looks % 3]
    for order, (t, t_next) in zip([3] * (stages - len(last)) + last, pairwise(grid), strict=True):
        h, now, after = t_next - t, math.exp(-t), math.exp(-t_next)
        if order == 1:
            yield _look(now, Y - after * math.expm1(h) * _slope(now))
            continue
        part = 1 / order
        middle = math.exp(-(t + part * h))
        y = Y - middle * math.expm1(part * h) * _slope(now)
        yield _look(now, y, x=Y, memory=(_slope(now),))
        base, turn = X - after * math.expm1(h) * H1, _slope(middle) - H1
        if order == 2:
            yield _look(middle, base - after * math.expm1(h) * turn)
            continue
        late = math.exp(-(t + 2 / 3 * h))
        y = X - late * math.expm1(2 / 3 * h) * H1
        y = y - late * 2 * (math.expm1(2 / 3 * h) / (2 / 3 * h) - 1) * turn
        yield _look(middle, y, x=X, memory=(H1,))
        turn = _slope(late) - H1
        yield _look(late, base - after * 1.5 * (math.expm1(h) / h - 1) * turn)


def _ddim(grid: list[float], noise_from: Vector = V) -> Iterator[Step]:
    for i, now in enumerate(grid):
        alpha, sigma = math.cos(now * math.pi / 2), math.sin(now * math.pi / 2)
        y = alpha * Y - sigma * V
        if i + 1 < len(grid):
            after = grid[i + 1] * math.pi / 2
            y = math.cos(after) * y + math.sin(after) * (sigma * Y + alpha * noise_from)
        yield step(now, y)


def _ddim_cfgpp(grid: list[float]) -> Iterator[Step]:
    return _ddim(grid, U)


_DDIM = {"v-ddim": _ddim, "v-ddim-cfgpp": _ddim_cfgpp}
_K_SAMPLERS: dict[str, Callable[[list[float]], Iterator[Step]]] = {
    "dpmpp-3m-sde": _dpmpp_3m_sde,
    "dpmpp-2m-sde": _dpmpp_2m_sde,
    "dpmpp-2m": _dpmpp_2m,
    "k-heun": _heun,
    "k-lms": _lms,
    "k-dpmpp-2s-ancestral": _ancestral,
    "k-dpm-2": _dpm_2,
}
SAMPLERS = (*_K_SAMPLERS, "k-dpm-fast", *_DDIM)
LOOKS = {"k-heun": 2, "k-dpm-2": 2, "k-dpmpp-2s-ancestral": 2}
"""Looks at the model per step, where it is more than one; only one in the last step."""
