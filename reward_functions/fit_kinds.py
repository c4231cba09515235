"""Fit kinds: python -m audioforge.reward_functions.fit_kinds --real FOLDER --made FOLDER.

Learns categories from real clips (a folder with manifest.json, see `calibrate.py`) and the
teacher's (<category>/<family>-<n>.flac), each also damaged and cut, and writes `kinds.npz`. Prints,
as one JSON object, what models tell that have not heard the clip in question.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from audioforge.data.families import CATEGORIES, FAMILIES
from audioforge.reward_functions import kernel_model
from audioforge.reward_functions.calibrate import made_clips, real_clips
from audioforge.reward_functions.description import describe
from audioforge.reward_functions.fit_families import damage
from audioforge.reward_functions.kernel_model import KernelModel
from audioforge.reward_functions.kinds import OUTPUTS, score_of
from audioforge.utils.audio_processing import Audio, read_audio, resample, to_mono
from audioforge.utils.spectral_analysis import Features

_VERSIONS = 3
_FOLDS = 12
_CENTRES = 600
_SHAPE = kernel_model.Shape(width=1.0, ridge=0.3, limit=4.0, least_spread=1e-3)


class Table(NamedTuple):
    """What was measured: one row per clip and version."""

    descriptions: np.ndarray
    """[rows, D]."""
    targets: np.ndarray
    """1, -1, or 0 for unknown, [rows, OUTPUTS]."""
    sources: np.ndarray
    """Which clip, int [rows]; the teacher's are below 0."""
    plain: np.ndarray
    """Whether a row is the clip as it is, bool [rows]."""


def versions(clip: Audio, seed: int, count: int) -> Iterator[Audio]:
    """Yield the clip, and copies that are damaged, cut at both ends, the last at 16 kHz mono."""
    yield clip
    for version in range(count):
        rng = np.random.default_rng([seed, version])
        hurt, size = damage(clip, rng), clip.samples.shape[1]
        start, end = round(rng.uniform(0, 0.15) * size), size - round(rng.uniform(0, 0.3) * size)
        cut = Audio(hurt.samples[:, start if version else 0 : end], hurt.sample_rate)
        yield to_mono(resample(cut, 16_000)) if version == count - 1 else cut


def target(category: str, struck: bool | None) -> list[float]:
    """Return the targets of a clip, in the order of OUTPUTS."""
    wanted = [1.0 if name == category else -1.0 for name in CATEGORIES]
    return [*wanted, 0.0 if struck is None else 1.0 if struck else -1.0]


def measure(real: Path, made: Path, most: int) -> Table:
    """Describe every clip and its versions; those that cannot be described are left out."""
    rows: list[tuple[np.ndarray, list[float], int, bool]] = []

    def keep(clip: Audio, wanted: list[float], source: int, count: int) -> None:
        for index, version in enumerate(versions(clip, abs(source), count)):
            if (described := describe(Features(version))) is not None:
                rows.append((described, wanted, source, index == 0))

    for source, (homes, clip) in enumerate(track(real_clips(real), "real clips")):
        category = "phrases" if homes[0] == "music" else homes[0]
        struck = None if category in ("phrases", "instruments", "sfx") else category == "drums"
        keep(clip, target(category, struck), source, _VERSIONS)
    for index, (category, path) in enumerate(track(made_clips(made, most), "made clips"), 1):
        family = FAMILIES[path.stem.rsplit("-", 1)[0]]
        keep(read_audio(path), target(category, family.percussive), -index, 1)
    return Table(*(np.array(column) for column in zip(*rows, strict=True)))


def fit(table: Table) -> KernelModel:
    """Fit with every category weighing the same, on the real rows and some of the others."""
    real = np.flatnonzero(table.sources >= 0)
    others = np.random.default_rng(0).permutation(np.flatnonzero(table.sources < 0))
    chosen = np.sort(np.concatenate([real, others[: max(_CENTRES - len(real), 0)]]))
    own = table.targets[:, : len(CATEGORIES)].argmax(1)
    shares = np.bincount(own, minlength=len(CATEGORIES))
    weight = (len(own) / len(CATEGORIES)) / np.maximum(shares, 1)[own]
    return kernel_model.fit(table.descriptions, table.targets, weight, chosen, _SHAPE)


def unheard(table: Table) -> dict[str, float | dict[str, float]]:
    """Judge every real clip as it is by a model that has not heard any version of it."""
    count = int(table.sources.max()) + 1
    fold = np.random.default_rng(0).permutation(count) % _FOLDS
    of = np.where(table.sources >= 0, fold[np.maximum(table.sources, 0)], -1)
    right: dict[str, list[bool]] = {name: [] for name in CATEGORIES}
    wins: list[float] = []
    struck: list[bool] = []
    for group in track(range(_FOLDS), "held-out clips"):
        model = fit(Table(*(column[of != group] for column in table)))
        rows = np.flatnonzero((of == group) & table.plain)
        for row, told in zip(rows, model(table.descriptions[rows]), strict=True):
            likeness: dict[str, float] = dict(zip(CATEGORIES, map(float, told), strict=False))
            own = CATEGORIES[int(table.targets[row, : len(CATEGORIES)].argmax())]
            scores = {name: score_of(likeness, name)[0] for name in CATEGORIES}
            right[own].append(max(scores, key=lambda name: scores[name]) == own)
            wins += [scores[own] > scores[name] for name in CATEGORIES if name != own]
            if table.targets[row, -1]:
                struck.append(bool((told[-1] > 0) == (table.targets[row, -1] > 0)))
    return {
        "category_right": float(np.mean([v for values in right.values() for v in values])),
        "right_beats_wrong": float(np.mean(wins)),
        "struck_right": float(np.mean(struck)),
        "by_category": {name: float(np.mean(values)) for name, values in right.items() if values},
        "clips": float(sum(map(len, right.values()))),
    }


def main() -> None:
    """Measure, fit, and write kinds.npz."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--made", type=Path, required=True)
    parser.add_argument("--most", type=int, default=16, help="made clips per family")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("kinds.npz"))
    args = parser.parse_args()
    table = measure(args.real, args.made, args.most)
    fit(table).save(args.out)
    sys.stdout.write(json.dumps(unheard(table) | {"outputs": list(OUTPUTS)}) + "\n")


if __name__ == "__main__":
    main()
