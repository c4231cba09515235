"""Families: how near a clip is to each kind of sound, by its description.

Shrinkage linear discriminant analysis (Friedman 1989; Ledoit & Wolf 2004 for why to shrink):
descriptions are whitened by the pooled within-family covariance, so that a distance of 1 is one
standard deviation of ordinary variation. The statistics lie in `families.npz`, made from labelled
renders by `python -m audioforge.reward_functions.fit_families FOLDER`.

Blind to: kinds of sound it has not heard; such a clip is far from every family and `typical` says
so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from audioforge.data.families import FAMILIES
from audioforge.reward_functions.committed import committed
from audioforge.reward_functions.curves import ramp, through

_MARGIN_KNOTS = ((-1.0, 0.0), (-0.5, 0.12), (-0.2, 0.25), (0.0, 0.5), (0.3, 0.95), (0.45, 1.0))
"""Relative margin between the asked kind and the nearest other one, to score: 0.5 is a tie."""
_CLIP = 6.0
"""A description is cut at six standard deviations, so that no single number decides."""


@dataclass(frozen=True)
class FamilyModel:
    """Fitted statistics; D numbers per description, K discriminant directions, F families."""

    names: tuple[str, ...]
    mean: np.ndarray
    """[D]"""
    scale: np.ndarray
    """[D]"""
    projection: np.ndarray
    """[D, K]: standardised description to discriminant space."""
    whitening: np.ndarray
    """[D, D]: standardised description to unit within-family covariance, for style and creativity.
    """
    centroids: np.ndarray
    """[F, K]"""
    reach: np.ndarray
    """[F]: 95th percentile of a family's own distances, held out."""
    averages: np.ndarray
    """[F, D]: mean standardised description of each family."""
    tones: dict[str, np.ndarray]
    """Per tone name [D + 1]: direction within a family and offset."""

    def standardise(self, description: np.ndarray) -> np.ndarray:
        """Return the description in standard deviations, cut at six."""
        return np.clip((description - self.mean) / self.scale, -_CLIP, _CLIP)

    def distances(self, description: np.ndarray) -> np.ndarray:
        """Return the distance to every family centroid, [F]."""
        return np.linalg.norm(
            self.standardise(description) @ self.projection - self.centroids, axis=1
        )

    def style_vector(self, description: np.ndarray) -> np.ndarray:
        """Return the description scaled so that clips of one family lie about 1 apart, [D]."""
        return self.standardise(description) @ self.whitening / np.sqrt(2 * self.mean.size)

    def resemblance(
        self, description: np.ndarray, wanted: Sequence[str]
    ) -> tuple[float, str, float]:
        """Score how much a clip belongs to one of the wanted families rather than to any other.

        Returns: score in [0, 1] (0.5 where the nearest other family is as near), the nearest
            family's name, and the clip's distance to the nearest wanted family in units of that
            family's reach.
        """
        far = self.distances(description)
        inside = np.array([name in wanted for name in self.names])
        asked = int(np.flatnonzero(inside)[far[inside].argmin()])
        other = float(far[~inside].min())
        margin = (other - far[asked]) / (other + far[asked] + 1e-9)
        strangeness = float(far[asked] / self.reach[asked])
        typical = 0.15 + 0.85 * ramp(strangeness, 4.0, 1.6)
        return (
            through(float(margin), _MARGIN_KNOTS) * typical,
            self.names[int(far.argmin())],
            strangeness,
        )

    def tone(self, description: np.ndarray, name: str, families: Sequence[str]) -> float:
        """Return where a clip lies between the words of a tone, about -1 to 1, 0 for plain."""
        inside = np.array([n in families for n in self.names])
        far = np.where(inside, self.distances(description), np.inf)
        home = self.averages[int(far.argmin())]
        weights = self.tones[name]
        return float(
            np.clip((self.standardise(description) - home) @ weights[:-1] + weights[-1], -2, 2)
        )


TONES = {
    "brightness": ("dark", "bright"),
    "space": ("dry", "spacious"),
    "drive": ("clean", "distorted"),
    "attack": ("soft", "punchy"),
}
"""The two words of each tone field, low end first."""


def names_for(category: str, family: str | None) -> tuple[str, ...]:
    """Return the family asked for, or all families of the category."""
    return (
        (family,) if family else tuple(f.name for f in FAMILIES.values() if f.category == category)
    )


@lru_cache(maxsize=1)
def family_model() -> FamilyModel:
    """Load the committed statistics.

    Raises:
        FileNotFoundError: they are missing; the message names the command that makes them.
    """
    path = committed("families.npz", "python -m audioforge.reward_functions.fit_families FOLDER")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        arrays = {
            name: stored[name].astype(np.float64)
            if stored[name].dtype.kind == "f"
            else stored[name]
            for name in stored.files
        }
    tones = {
        name.removeprefix("tone_"): value
        for name, value in arrays.items()
        if name.startswith("tone_")
    }
    rest = {
        name: value
        for name, value in arrays.items()
        if not name.startswith("tone_") and name != "names"
    }
    return FamilyModel(names=tuple(str(n) for n in arrays["names"]), tones=tones, **rest)
