"""Curves: how measurements become values in [0, 1]. All are continuous and bounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np


def ramp(x: float, zero: float, one: float) -> float:
    """Return 0 at `zero`, 1 at `one`, linear between; `one` may lie below `zero`. nan gives 0."""
    if math.isnan(x):
        return 0.0
    if math.isinf(x):
        return float((x > 0) == (one > zero))
    return float(min(max((x - zero) / (one - zero), 0.0), 1.0))


def eased(x: float, zero: float, one: float) -> float:
    """Return `ramp` without its corners (smoothstep): level at both ends, steeper between."""
    t = ramp(x, zero, one)
    return t * t * (3 - 2 * t)


def plateau(x: float, low: float, high: float, slack: float) -> float:
    """Return 1 inside [low, high], falling linearly to 0 over `slack` on either side."""
    if slack <= 0:
        raise ValueError(f"slack must be positive, got {slack}")
    return min(ramp(x, low - slack, low), ramp(x, high + slack, high))


def toe(x: float, end: float) -> float:
    """Return x, or x squared over `end` where it is less: small differences near 0 vanish."""
    return x if x >= end else x * x / end


def through(x: float, knots: Sequence[tuple[float, float]]) -> float:
    """Interpolate linearly through (x, value) knots in rising x, flat outside."""
    return float(np.interp(x, [k[0] for k in knots], [k[1] for k in knots]))


def geometric_mean(pairs: Iterable[tuple[float, float]]) -> float:
    """Return the weighted geometric mean of (value, weight) pairs; nan without weights."""
    kept = [(v, w) for v, w in pairs if w > 0]
    total = sum(w for _, w in kept)
    if total <= 0:
        return math.nan
    if min(v for v, _ in kept) <= 0:
        return 0.0
    return math.exp(sum(w * math.log(v) for v, w in kept) / total)
