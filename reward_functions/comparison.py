"""Comparison: two sets of judged clips, part by part and as sets.

Part by part: the difference of the means, B minus A, with a 95 % bootstrap interval, and how
consistently one set wins (Cliff's delta). Clips are paired where both sets hold a file of the same
name for the same brief; pairs take the variation between prompts out of the difference. As sets:
see `set_distances.py`.

Conventions: scores in [0, 1]; every difference is B minus A; intervals are not corrected for
looking at several parts at once.
Source:  BCa bootstrap (Efron 1987) through scipy.stats.bootstrap; Cliff's delta between groups and
within pairs (Cliff 1993, "Dominance statistics").
Blind to: taste. A set that scores higher has fewer faults and keeps its briefs better.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from audioforge.reward_functions.config import PARTS
from audioforge.reward_functions.families import family_model
from audioforge.reward_functions.file_score import SCORED, FileScore
from audioforge.reward_functions.folder import Scored
from audioforge.reward_functions.set_distances import Diversity, Mmd, diversity, frechet, mmd

LEVEL = 0.95
RESAMPLES = 2_000
FEW = 20
"""Below this many clips in a set its figures are called uncertain."""
BETWEEN, WITHIN = "Cliff's delta", "Cliff's delta within pairs"
_SEED = 1_993


@dataclass(frozen=True)
class ScoredSet:
    """One side of a comparison."""

    path: Path
    """Where its files are; names are compared from here on."""
    scored: Sequence[Scored]

    @cached_property
    def rows(self) -> list[FileScore]:
        """The rows with a score, by path and brief."""
        return sorted(
            (s.row for s in self.scored if s.row.outcome == SCORED), key=lambda row: row.place
        )

    @cached_property
    def rejected(self) -> int:
        """How many files have no score."""
        return len(self.scored) - len(self.rows)

    @cached_property
    def by_place(self) -> dict[tuple[str, str], np.ndarray]:
        """Style vectors [D] of the clips that can be described, by the place of their rows."""
        return {
            scored.row.place: scored.vector
            for scored in sorted(self.scored, key=lambda scored: scored.row.place)
            if scored.vector is not None
        }

    @property
    def vectors(self) -> np.ndarray:
        """The style vectors, [clips, D], in the order of rows."""
        return stacked(self.by_place.values())

    def named(self) -> dict[tuple[str, str], FileScore]:
        """Return the rows by name (from the folder on, without suffix) and brief, if unique."""
        names = [self._name(row) for row in self.rows]
        counts = Counter(names)
        return {name: row for name, row in zip(names, self.rows, strict=True) if counts[name] == 1}

    def _name(self, row: FileScore) -> tuple[str, str]:
        path = Path(row.path)
        roots = [root for root in (self.path, self.path.parent) if root in path.parents]
        inside = path.relative_to(roots[0]) if roots else Path(path.name)
        return inside.with_suffix("").as_posix(), row.brief


def stacked(vectors: Iterable[np.ndarray]) -> np.ndarray:
    """Return style vectors as one array, [clips, D], also if there is none."""
    return np.array([*vectors]).reshape(-1, family_model().mean.size)


@dataclass(frozen=True)
class PartDifference:
    """One part of the reward, or the total, in both sets."""

    name: str
    mean_a: float
    mean_b: float
    difference: float
    """B minus A, of the means."""
    low: float | None
    high: float | None
    """Ends of the 95 % bootstrap interval; None below two clips."""
    effect: float
    """In [-1, 1]: how often B is above A minus how often below."""
    effect_name: str
    clips_a: int
    clips_b: int
    """Equal to clips_a, and pairs, when effect_name is WITHIN."""

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


@dataclass(frozen=True)
class Comparison:
    """Everything said about two sets."""

    a: str
    b: str
    scored: tuple[int, int]
    rejected: tuple[int, int]
    pairs: int
    """Files with the same name and brief in both sets."""
    paired: bool
    """Whether the parts are compared within pairs."""
    parts: tuple[PartDifference, ...]
    mmd: Mmd | None
    frechet: float | None
    diversity: Diversity | None
    notes: tuple[str, ...]
    """What to keep in mind, one line each."""

    def to_json(self) -> dict[str, Any]:
        """Return plain types."""
        return {"level": LEVEL, "difference": "B minus A", **asdict(self)}


def compare(a: ScoredSet, b: ScoredSet, *, pairing: bool = True) -> Comparison:
    """Compare two sets.

    Args:
        a: the one that is subtracted.
        b: the other one.
        pairing: whether to pair by name where at least half of the smaller set has a partner.

    Raises:
        ValueError: a set holds no clip with a score.
    """
    for side in (a, b):
        if not side.rows:
            raise ValueError(f"{side.path}: no file here could be scored, so nothing to compare")
    by_a, by_b = a.named(), b.named()
    shared = sorted(set(by_a) & set(by_b))
    paired = pairing and len(shared) >= 2 and 2 * len(shared) >= min(len(a.rows), len(b.rows))
    rows_a = [by_a[name] for name in shared] if paired else a.rows
    rows_b = [by_b[name] for name in shared] if paired else b.rows
    return Comparison(
        a=str(a.path),
        b=str(b.path),
        scored=(len(a.rows), len(b.rows)),
        rejected=(a.rejected, b.rejected),
        pairs=len(shared),
        paired=paired,
        parts=_differences(rows_a, rows_b, paired),
        mmd=_mmd(a, b, rows_a, rows_b) if paired else mmd(a.vectors, b.vectors),
        frechet=frechet(a.vectors, b.vectors),
        diversity=diversity(a.vectors, b.vectors),
        notes=tuple(_notes(a, b, len(shared), paired)),
    )


def _mmd(
    a: ScoredSet, b: ScoredSet, rows_a: Sequence[FileScore], rows_b: Sequence[FileScore]
) -> Mmd | None:
    """Return the MMD over the pairs of which both clips can be described."""
    both = [
        (a.by_place[x.place], b.by_place[y.place])
        for x, y in zip(rows_a, rows_b, strict=True)
        if x.place in a.by_place and y.place in b.by_place
    ]
    return mmd(stacked(x for x, _ in both), stacked(y for _, y in both), paired=True)


def _differences(
    a: Sequence[FileScore], b: Sequence[FileScore], paired: bool
) -> tuple[PartDifference, ...]:
    others = {name for row in (*a, *b) for name in row.parts} - set(PARTS)
    told = []
    for name in ("total", *PARTS, *sorted(others)):
        x, y = _values(a, name), _values(b, name)
        if paired:
            both = np.isfinite(x) & np.isfinite(y)
            x, y = x[both], y[both]
        else:
            x, y = x[np.isfinite(x)], y[np.isfinite(y)]
        if len(x) and len(y):
            told.append(_difference(name, x, y, paired))
    return tuple(told)


def _values(rows: Sequence[FileScore], name: str) -> np.ndarray:
    values = [row.total if name == "total" else row.parts.get(name) for row in rows]
    return np.array([math.nan if value is None else value for value in values], dtype=float)


def _difference(name: str, x: np.ndarray, y: np.ndarray, paired: bool) -> PartDifference:
    low, high = _interval(x, y, paired)
    if paired:
        effect = float(np.sign(y - x).mean())
    else:
        above = stats.mannwhitneyu(y, x, method="asymptotic").statistic
        effect = float(2 * above / (len(x) * len(y)) - 1)
    return PartDifference(
        name=name,
        mean_a=float(x.mean()),
        mean_b=float(y.mean()),
        difference=float(y.mean() - x.mean()),
        low=low,
        high=high,
        effect=effect,
        effect_name=WITHIN if paired else BETWEEN,
        clips_a=len(x),
        clips_b=len(y),
    )


def _interval(x: np.ndarray, y: np.ndarray, paired: bool) -> tuple[float | None, float | None]:
    """Bootstrap the difference of the means; the percentile method where BCa has no answer."""
    if min(len(x), len(y)) < 2:
        return None, None
    sets = (y - x,) if paired else (y, x)
    if all(np.ptp(values) == 0 for values in sets):
        exact = float(y.mean() - x.mean())
        return exact, exact

    def apart(*drawn: np.ndarray, axis: int) -> Any:
        means = [values.mean(axis=axis) for values in drawn]
        return means[0] if paired else means[0] - means[1]

    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            found = stats.bootstrap(
                sets,
                apart,
                n_resamples=RESAMPLES,
                batch=100,
                vectorized=True,
                confidence_level=LEVEL,
                method=method,
                rng=np.random.default_rng(_SEED),
            ).confidence_interval
        if np.isfinite(found.low) and np.isfinite(found.high):
            break
    return float(found.low), float(found.high)


def _notes(a: ScoredSet, b: ScoredSet, pairs: int, paired: bool) -> list[str]:
    smallest = min(len(a.rows), len(b.rows))
    notes = [
        f"{pairs} pairs by file name; compared within pairs"
        if paired
        else f"{pairs} pairs by file name; compared as separate sets"
    ]
    if smallest < FEW:
        notes.append(f"only {smallest} clips in the smaller set: expect wide intervals")
    dimensions = a.vectors.shape[1]
    described = min(len(a.vectors), len(b.vectors))
    if described <= dimensions:
        notes.append(
            f"no Fréchet distance: it needs more than {dimensions} clips in each set, "
            f"got {described}; MMD holds for few clips too"
        )
    elif described < 10 * dimensions:
        notes.append(
            f"the Fréchet distance is biased upwards below about {10 * dimensions} clips a set, "
            f"got {described}: compare it only between sets of the same size"
        )
    left_out = len(a.rows) + len(b.rows) - len(a.vectors) - len(b.vectors)
    if left_out:
        notes.append(f"{left_out} clips are too short, silent or narrow for the set distances")
    return notes
