"""Fit realism: python -m audioforge.reward_functions.fit_realism --real FOLDER.

Learns what tells music from spoiled and made-up sound, and writes `realism.npz`. Genuine are the
music of a folder (as for `redteam.py`) and harmless copies of it; the rest is what the red team
makes of it and out of nothing. Prints, as one JSON object, what models tell apart that have seen
neither the piece nor the kind of damage: these figures, not those of the final model, say what to
expect of new attacks.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from audioforge.reward_functions import kernel_model
from audioforge.reward_functions.description import describe
from audioforge.reward_functions.kernel_model import KernelModel
from audioforge.reward_functions.realism import QUANTILES, texture
from audioforge.reward_functions.redteam_extra import ATTACKS, CONTROLS
from audioforge.reward_functions.redteam_inputs import INPUTS, bases, music
from audioforge.utils.audio_processing import Audio
from audioforge.utils.spectral_analysis import Features

_HARMLESS_HERE = {
    "copy of the reference", "copy, noise at -60 dB", "copy, a semitone up", "copy, reversed",
    "right is minus left", "left only", "Haas fake stereo", "2 s, then silence",
    "20 kHz tone over music", "8 kHz and 192 kHz copies", "six channels", "beyond full scale",
    "integers at negative full scale", "shuffled seconds", "10 dB slow gain ramp",
}  # fmt: skip
"""Inputs that other detectors must find: the mid signal up to 7.2 kHz is that of music."""
_CONTROLS = (
    "MP3", "Ogg Vorbis", "20 ms cut off the start", "2 dB more treble", "1.5 dB less treble",
    "2 dB wider",
)  # fmt: skip
"""Harmless copies that count as music."""
_PIECES = 5
_KIND_GROUPS = 8
_CENTRES = 400
_SHAPE = kernel_model.Shape(width=2.0, ridge=1.0, limit=3.0, least_spread=1e-6)


class Table(NamedTuple):
    """What was measured: one row per clip."""

    texture: np.ndarray
    """[rows, D]."""
    genuine: np.ndarray
    """bool [rows]."""
    kind: np.ndarray
    """Names, [rows]; "music" for a clip as it is."""
    piece: np.ndarray
    """Which clip it was made from, int [rows]; -1 for made-up sounds."""


def clips_of(clips: Sequence[Audio]) -> Iterator[tuple[Audio, bool, str, int]]:
    """Yield (clip, genuine, kind, piece) for every piece of music and what is made of it."""
    harmless = [control for control in CONTROLS if control.name in _CONTROLS]
    spoiled = [i for i in (*INPUTS, *ATTACKS) if i.altered and i.name not in _HARMLESS_HERE]
    for index, clip in enumerate(track(clips, "pieces")):
        source = bases(clips, index)
        yield clip, True, "music", index
        for control in harmless:
            yield control.make(source)[0], True, control.name, index
        for each in spoiled:
            for made_clip in each.make(source):
                yield made_clip, False, each.name, index
    for each in (*INPUTS, *ATTACKS):
        if not each.altered:
            yield each.make(bases(clips, 0))[0], False, each.name, -1


def measure(clips: Sequence[Audio]) -> Table:
    """Measure every clip that can be described."""
    rows = []
    for clip, genuine, kind, piece in clips_of(clips):
        features = Features(clip)
        if features.finite_share < 1 or (described := describe(features)) is None:
            continue
        rows.append((texture(features, described), genuine, kind, piece))
    return Table(*(np.array(column) for column in zip(*rows, strict=True)))


def weights(table: Table) -> np.ndarray:
    """Return a weight per row: half of all for genuine clips, the rest shared by kinds."""
    weight = np.where(table.genuine, 0.5 / max(table.genuine.sum(), 1), 0.0)
    spoiled = table.kind[~table.genuine]
    _, of, counts = np.unique(spoiled, return_inverse=True, return_counts=True)
    share = np.sqrt(counts) / np.sqrt(counts).sum()
    weight[~table.genuine] = 0.5 * (share / counts)[of]
    return weight * len(weight)


def fit(table: Table) -> KernelModel:
    """Fit on all rows, with a random subset of them as centres."""
    count = len(table.texture)
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(count, min(_CENTRES, count), replace=False))
    target = np.where(table.genuine, 1.0, -1.0)[:, None]
    return kernel_model.fit(table.texture, target, weights(table), chosen, _SHAPE)


def unseen(table: Table) -> np.ndarray:
    """Return each row's margin by models that saw neither its piece nor its kind of damage, [rows].

    Genuine rows are judged by the mean of the models that did not see their piece.
    """
    names = np.unique(table.kind[~table.genuine])
    kind_group = {name: i % _KIND_GROUPS for i, name in enumerate(names)}
    kinds = np.array([kind_group.get(k, -1) for k in table.kind])
    kinds[table.genuine] = -1
    folds = np.where(table.piece < 0, -1, table.piece % _PIECES)
    total, count = np.zeros(len(kinds)), np.zeros(len(kinds))
    for group in track(range(_KIND_GROUPS), "held-out kinds"):
        for fold in range(_PIECES):
            model = fit(_rows(table, (kinds != group) & (folds != fold)))
            judged = ((folds == fold) | (folds == -1)) & ((kinds == group) | table.genuine)
            total[judged] += model(table.texture[judged])[:, 0]
            count[judged] += 1
    return total / np.maximum(count, 1)


def _rows(table: Table, keep: np.ndarray) -> Table:
    return Table(*(column[keep] for column in table))


def told_apart(table: Table, margins: np.ndarray) -> dict[str, object]:
    """Return how far unseen kinds lie under unseen music."""
    plain = margins[table.kind == "music"]
    lower = np.percentile(plain, 25)
    names = np.unique(table.kind[~table.genuine])
    auc, below = {}, {}
    for name in names:
        found = margins[table.kind == name]
        auc[str(name)] = round(float((found[:, None] < plain).mean()), 3)
        below[str(name)] = round(float((found < lower).mean()), 3)
    return {
        "auc_unseen": round(float(np.mean(list(auc.values()))), 3),
        "below_p25_unseen": round(float(np.mean(list(below.values()))), 3),
        "kinds": len(names),
        "clips": len(table.kind),
        "auc_by_kind": auc,
    }


def main() -> None:
    """Measure, fit, and write realism.npz."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--table", type=Path, help="keeps the measurements, and is read if there")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("realism.npz"))
    args = parser.parse_args()
    if args.table and args.table.is_file():
        stored = np.load(args.table)
        table = Table(*(stored[name] for name in Table._fields))
    else:
        table = measure([clip for _, clip in music(args.real)])
        if args.table:
            np.savez_compressed(args.table, **table._asdict())
    margins = unseen(table)
    plain = margins[table.kind == "music"]
    fit(table).save(args.out, levels=np.percentile(plain, QUANTILES))
    sys.stdout.write(json.dumps(told_apart(table, margins)) + "\n")


if __name__ == "__main__":
    main()
