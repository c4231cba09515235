"""Fit the family model: python -m audioforge.reward_functions.fit_families FOLDER.

FOLDER holds <category>/<family>-<n>.flac, and labels.jsonl with the asked tone words where they are
known (`benchmarks/render_labelled.py` writes both; a folder of evaluation references has only
names). Every clip is heard once as it is and once damaged a little, so that the model survives
other generators.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track
from scipy import signal

from audioforge.data.families import FAMILIES
from audioforge.reward_functions.description import describe
from audioforge.reward_functions.families import TONES, FamilyModel
from audioforge.utils.audio_processing import Audio, read_audio, resample, to_mono
from audioforge.utils.spectral_analysis import Features

SHRINKAGE = 0.1
RIDGE = 30.0


@dataclass(frozen=True)
class Described:
    """Descriptions of a folder: one row per clip and version."""

    vectors: np.ndarray
    families: np.ndarray
    tones: dict[str, np.ndarray]
    """Per tone -1, 0 or 1."""
    damaged: np.ndarray
    sources: np.ndarray
    """Index of the clip each row was made from."""


def damage(audio: Audio, rng: np.random.Generator) -> Audio:
    """Hurt a clip in one way that leaves its kind alone: noise, tilt, narrower band or echo."""
    kind, x, rate = int(rng.integers(4)), audio.samples.astype(np.float64), audio.sample_rate
    if kind == 0:
        level = np.sqrt((x**2).mean()) * 10 ** (-rng.uniform(18, 40) / 20)
        x = x + level * rng.standard_normal(x.shape)
    elif kind == 1:
        tilt = rng.uniform(-0.35, 0.35)
        x = np.asarray(signal.lfilter([1.0, -tilt], [1.0, tilt], x))
    elif kind == 2:
        low_pass = signal.butter(4, rng.uniform(3_000, 6_800), fs=rate, output="sos")
        x = np.asarray(signal.sosfilt(low_pass, x))
    else:
        late = round(rng.uniform(0.002, 0.012) * rate)
        x = x + rng.uniform(0.2, 0.5) * np.roll(x, late, axis=1)
    return Audio(x, rate)


def _describe_file(job: tuple[Path, int]) -> tuple[np.ndarray | None, np.ndarray | None]:
    path, index = job
    rng = np.random.default_rng([77, index])
    audio = read_audio(path)
    hurt = damage(audio, rng)
    if rng.random() < 0.5:
        hurt = to_mono(resample(hurt, 16_000))
    return describe(Features(audio)), describe(Features(hurt))


def describe_folder(folder: Path, workers: int = 2) -> Described:
    """Describe every labelled clip of a folder, as it is and damaged.

    Raises:
        ValueError: no FLAC file whose name is that of a family.
    """
    paths = sorted(p for p in folder.glob("*/*.flac") if p.stem.rsplit("-", 1)[0] in FAMILIES)
    if not paths:
        raise ValueError(f"{folder}: need <category>/<family>-<n>.flac, found none")
    labels = {}
    if (folder / "labels.jsonl").is_file():
        lines = (folder / "labels.jsonl").read_text().splitlines()
        labels = {row["file"]: row for row in map(json.loads, lines)}
    with ProcessPoolExecutor(workers) as pool:
        pairs = list(
            track(
                pool.map(_describe_file, [(p, i) for i, p in enumerate(paths)], chunksize=8),
                "describing",
                total=len(paths),
            )
        )
    rows = [
        (i, version, v)
        for i, pair in enumerate(pairs)
        for version, v in enumerate(pair)
        if v is not None
    ]
    fields = [labels.get(str(p.relative_to(folder)), {}) for p in paths]
    return Described(
        vectors=np.array([v for _, _, v in rows]),
        families=np.array([paths[i].stem.rsplit("-", 1)[0] for i, _, _ in rows]),
        tones={n: np.array([_signed(n, fields[i].get(n)) for i, _, _ in rows]) for n in TONES},
        damaged=np.array([version == 1 for _, version, _ in rows]),
        sources=np.array([i for i, _, _ in rows]),
    )


def _signed(name: str, word: str | None) -> float:
    return 0.0 if word is None else float(TONES[name].index(word) * 2 - 1)


def fit(described: Described) -> FamilyModel:
    """Fit on all rows; reach is measured on the fifth of the clips left out of a first fit."""
    held = described.sources % 5 == 0
    first = _fit_rows(described, ~held, np.ones(len(FAMILIES)))
    reach = [
        np.percentile(_own_distances(first, described, held & (described.families == name)), 95)
        for name in first.names
    ]
    return _fit_rows(described, np.ones(len(held), bool), np.array(reach))


def _own_distances(model: FamilyModel, described: Described, rows: np.ndarray) -> np.ndarray:
    own = [model.names.index(name) for name in described.families[rows]]
    return np.array(
        [model.distances(v)[i] for v, i in zip(described.vectors[rows], own, strict=True)]
    )


def _fit_rows(described: Described, rows: np.ndarray, reach: np.ndarray) -> FamilyModel:
    x, y = described.vectors[rows], described.families[rows]
    names = tuple(n for n in FAMILIES if n in set(y))
    mean, scale = x.mean(0), x.std(0) + 1e-3
    z = np.clip((x - mean) / scale, -6, 6)
    averages = np.array([z[y == n].mean(0) for n in names])
    within = z - averages[[names.index(n) for n in y]]
    spread = within.T @ within / len(within)
    spread = (1 - SHRINKAGE) * spread + SHRINKAGE * np.trace(spread) / len(spread) * np.eye(
        len(spread)
    )
    values, vectors = np.linalg.eigh(spread)
    whitening = vectors / np.sqrt(values) @ vectors.T
    between = averages @ whitening
    _, _, directions = np.linalg.svd(between - between.mean(0), full_matrices=False)
    projection = whitening @ directions[: len(names) - 1].T
    tones = {n: _ridge(within, described.tones[n][rows]) for n in TONES}
    return FamilyModel(
        names, mean, scale, projection, whitening, averages @ projection, reach, averages, tones
    )


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Regress -1, 0, 1 on what differs within a family; return [D + 1], offset last."""
    weight = (
        np.where(y == 0, np.mean(y != 0), np.mean(y == 0)) if (y != 0).any() else np.ones(len(y))
    )
    design = np.hstack([x, np.ones((len(x), 1))])
    gram = (
        (design * weight[:, None]).T @ design
        + RIDGE * np.diag([*np.ones(x.shape[1]), 0.0])
        + 1e-9 * np.eye(x.shape[1] + 1)
    )
    return np.linalg.solve(gram, (design * weight[:, None]).T @ y)


def measure(model: FamilyModel, described: Described) -> dict[str, float]:
    """Return accuracies on plain and damaged clips, and how well tone words are told apart."""
    figures = {}
    for label, rows in (("plain", ~described.damaged), ("damaged", described.damaged)):
        said = np.array([model.names[model.distances(v).argmin()] for v in described.vectors[rows]])
        true = described.families[rows]
        category = [
            FAMILIES[a].category == FAMILIES[b].category for a, b in zip(said, true, strict=True)
        ]
        figures |= {
            f"family_accuracy_{label}": float((said == true).mean()),
            f"category_accuracy_{label}": float(np.mean(category)),
        }
    for name, signs in described.tones.items():
        rows = np.flatnonzero(~described.damaged & (signs != 0))
        if len(rows):
            told = [
                np.sign(model.tone(described.vectors[i], name, [described.families[i]])) == signs[i]
                for i in rows
            ]
            figures[f"{name}_accuracy"] = float(np.mean(told))
    return figures


def save(model: FamilyModel, path: Path) -> None:
    """Write the model as compressed float32 arrays."""
    tones = {f"tone_{n}": w.astype(np.float32) for n, w in model.tones.items()}
    arrays = {
        n: getattr(model, n).astype(np.float32)
        for n in ("mean", "scale", "projection", "whitening", "centroids", "reach", "averages")
    }
    with path.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, names=np.array(model.names), **(arrays | tones)
        )


def main() -> None:
    """Fit, save, and print the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--test", type=Path, help="another labelled folder, to measure on")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("families.npz"))
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    model = fit(describe_folder(args.folder, args.workers))
    save(model, args.out)
    if args.test:
        print(json.dumps(measure(model, describe_folder(args.test, args.workers))))  # noqa: T201


if __name__ == "__main__":
    main()
