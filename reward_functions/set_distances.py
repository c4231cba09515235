"""Set distances: how far two sets of clips lie apart, and how varied each one is.

They look at style vectors (`description.py` in units of ordinary variation within a kind), never at
one clip alone, and are reported, not rewarded: a policy could match a set's statistics with clips
that nobody wants.

Conventions: sets are float [clips, D]; order does not matter. Larger sets than MOST are thinned to
MOST clips, evenly over a seeded shuffle.
Source:  MMD as in KAD (2502.15602): unbiased, Gaussian kernel, bandwidth by the median heuristic,
here over both sets so that swapping them changes nothing; kadtk reports 100 times this number.
Frechet distance as in FAD (1812.08466). Vendi score after 2210.02410.
Blind to: what the description is blind to, above all musical sense and sound above 7.2 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import cdist, pdist

MOST = 1_000
PERMUTATIONS = 999
DRAWS = 10
KIND_WIDTH = 1.0
"""Bandwidth of the Vendi kernel. With it the committed references, 26 kinds of four clips each,
count as 27 different clips."""
_SEED = 20_250_215


@dataclass(frozen=True)
class Mmd:
    """Maximum mean discrepancy of two sets."""

    squared: float
    """Unbiased estimate of the squared MMD: 0 on average for two sets of one kind, so slightly
    negative now and then; at most 2."""
    bandwidth: float
    p_value: float
    """Share of chance divisions of the same clips that lie at least as far apart."""


@dataclass(frozen=True)
class Diversity:
    """Vendi scores of two sets, at the same number of clips, since the score grows with it."""

    a: float
    b: float
    """How many clear-cut kinds would be as varied: from 1 (all alike) to `clips`."""
    clips: int


def mmd(a: np.ndarray, b: np.ndarray, *, paired: bool = False) -> Mmd | None:
    """Return the MMD of two sets, or None where one has fewer than two clips.

    Args:
        a: [clips, D].
        b: [clips, D].
        paired: whether row i of both belongs together. Then a clip is not held against its own
            partner (the U-statistic of Gretton et al. 2012 over pairs), and chance is a random
            swap within each pair instead of a random division of all clips.

    Raises:
        ValueError: paired sets of different size.
    """
    if paired and len(a) != len(b):
        raise ValueError(f"paired sets must have the same size, got {len(a)} and {len(b)}")
    a, b = _thinned(a), _thinned(b)
    n, m = len(a), len(b)
    if min(n, m) < 2:
        return None
    both = np.concatenate([a, b])
    bandwidth = float(np.median(pdist(both))) or 1.0
    kernel = np.exp(-cdist(both, both, "sqeuclidean") / (2 * bandwidth**2))
    partners = float(kernel[range(n), range(n, 2 * n)].sum()) if paired else 0.0
    division = _divisions(n, m, paired)
    inside_a = np.einsum("pi,pi->p", division @ kernel, division)
    others = 1 - division
    inside_b = np.einsum("pi,pi->p", others @ kernel, others)
    across = (kernel.sum() - inside_a - inside_b) / 2 - partners
    squared = (
        (inside_a - n) / (n * (n - 1))
        + (inside_b - m) / (m * (m - 1))
        - 2 * across / (n * (m - paired))
    )
    as_far = int((squared >= squared[0] - 1e-12).sum())
    return Mmd(float(squared[0]), bandwidth, as_far / (PERMUTATIONS + 1))


def _divisions(n: int, m: int, paired: bool) -> np.ndarray:
    """Return which clips are in set A, [1 + PERMUTATIONS, n + m]: as given, then by chance."""
    rng = np.random.default_rng(_SEED)
    division = np.zeros((PERMUTATIONS + 1, n + m))
    division[0, :n] = 1
    for row in division[1:]:
        if paired:
            row[:n] = rng.integers(0, 2, n)
            row[n:] = 1 - row[:n]
        else:
            row[rng.permutation(n + m)[:n]] = 1
    return division


def frechet(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return the squared Frechet distance of two Gaussians fitted to the sets.

    Returns:
        None where a set has no more clips than dimensions: its covariance has no full rank, and
        the distance would mostly tell how few clips there are.
    """
    if min(len(a), len(b)) <= a.shape[1]:
        return None
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.clip(eigh(root @ cov_b @ root, eigvals_only=True), 0, None)).sum()
    apart = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return float(max(apart + np.trace(cov_a) + np.trace(cov_b) - 2 * cross, 0.0))


def diversity(a: np.ndarray, b: np.ndarray) -> Diversity | None:
    """Return how varied each set is, or None where one is empty.

    The larger set is drawn down to the size of the smaller one DRAWS times and averaged.
    """
    clips = min(len(a), len(b), MOST)
    return Diversity(_drawn(a, clips), _drawn(b, clips), clips) if clips else None


def vendi(vectors: np.ndarray) -> float:
    """Return the Vendi score of a set: the exponential of the entropy of its similarities.

    Returns:
        In [1, clips]; the kernel is Gaussian with bandwidth KIND_WIDTH.

    Raises:
        ValueError: the set is empty.
    """
    if not len(vectors):
        raise ValueError("a set needs at least one clip, got none")
    kernel = np.exp(-cdist(vectors, vectors, "sqeuclidean") / (2 * KIND_WIDTH**2))
    weights = eigh(kernel / len(vectors), eigvals_only=True)
    weights = weights[weights > 1e-12]
    return float(np.exp(-(weights * np.log(weights)).sum()))


def _drawn(vectors: np.ndarray, clips: int) -> float:
    if len(vectors) == clips:
        return vendi(vectors)
    rng = np.random.default_rng(_SEED)
    draws = [vectors[rng.choice(len(vectors), clips, replace=False)] for _ in range(DRAWS)]
    return float(np.mean([vendi(draw) for draw in draws]))


def _thinned(vectors: np.ndarray) -> np.ndarray:
    if len(vectors) <= MOST:
        return vectors
    return vectors[np.random.default_rng(_SEED).choice(len(vectors), MOST, replace=False)]
