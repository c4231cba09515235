"""Does the tempo score tell the right tempo from unrelated ones, and pay nothing without a pulse?

    python benchmarks/tempo.py [--quick] [--out FILE] [--real FOLDER]

Real clips whose tempo is trusted (loops tiled to 12 s, rendered music as it is) are scored at their
own tempo, at half and double, and at 20 unrelated tempi each: none within 8 % of a simple multiple
or fraction. `auc` pools all clips, `auc_within` averages over clips; `beats_all_decoys` is the
share of clips whose own tempo scores above all 20. `at_4_s` repeats it on the first four seconds.
`free_marks_max` is the highest score that noise, silence, tones and drones get at any tempo.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import Benchmark, auc
from rich.progress import track

from audioforge.reward_functions import redteam_signals as sounds
from audioforge.reward_functions.tempo import match_tempo
from audioforge.utils.audio_processing import Audio, read_audio, repeat, trim
from audioforge.utils.spectral_analysis import Features

DECOYS = 20
RELATIVES = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 4 / 3, 3 / 2, 2, 3, 4)
TILED_SECONDS = 12.0
NO_PULSE = {
    "silence": sounds.silence,
    "white noise": sounds.white,
    "white noise, unlike sides": lambda: sounds.white(same=False),
    "pink noise": sounds.pink,
    "sine": sounds.sine,
    "triad drone": sounds.triad,
    "saw drone": sounds.saw_drone,
    "sweep": sounds.sweep,
}


class Labelled(NamedTuple):
    """A clip whose tempo is known."""

    audio: Audio
    bpm: float


class Marks(NamedTuple):
    """What one clip scores at its own tempo, half, double, and unrelated ones."""

    right: float
    half: float
    double: float
    decoys: np.ndarray


def labelled(folder: Path) -> list[Labelled]:
    """Read the clips with a trusted tempo; loops are tiled."""
    kept = []
    for clip in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["clips"]:
        if clip["bpm_reliable"]:
            audio = read_audio(folder / clip["file"])
            if clip["category"] == "loop":
                audio = repeat(audio, TILED_SECONDS)
            kept.append(Labelled(audio, clip["bpm"]))
    return kept


def unrelated(bpm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw DECOYS tempi between 50 and 200 BPM that are no relatives of `bpm`."""
    drawn = rng.uniform(50, 200, 2_000)
    far = np.all(np.abs(drawn[:, None] / (bpm * np.array(RELATIVES)) - 1) > 0.08, axis=1)
    return drawn[far][:DECOYS]


def marks(clip: Labelled, rng: np.random.Generator) -> Marks:
    """Score one clip at every tempo; nan where half or double cannot be asked."""
    features = Features(clip.audio)

    def at(bpm: float) -> float:
        return match_tempo(features, bpm).score if 30 <= bpm <= 300 else float("nan")

    decoys = np.array([at(bpm) for bpm in unrelated(clip.bpm, rng)])
    return Marks(at(clip.bpm), at(clip.bpm / 2), at(clip.bpm * 2), decoys)


def spread(values: np.ndarray) -> dict[str, float]:
    """Return the 10th, 50th and 90th percentile of the numbers among the values."""
    found = np.nanpercentile(values, (10, 50, 90))
    return dict(zip(("p10", "median", "p90"), map(float, found), strict=True))


def summary(rows: Sequence[Marks]) -> dict[str, Any]:
    """Compare right tempi with unrelated ones over clips."""
    right, decoys = np.array([row.right for row in rows]), np.array([row.decoys for row in rows])
    half, double = np.array([row.half for row in rows]), np.array([row.double for row in rows])
    return {
        "auc": auc(right, decoys.ravel()),
        "auc_within": float(np.mean([auc(right[i : i + 1], decoys[i]) for i in range(len(rows))])),
        "beats_all_decoys": float((right[:, None] > decoys).all(1).mean()),
        "right": spread(right),
        "half": spread(half),
        "double": spread(double),
        "half_in_partial_credit": float(np.nanmean((half >= 0.5) & (half <= 0.7))),
        "unrelated_at_most_0.3": float((decoys <= 0.3).mean()),
        "unrelated": spread(decoys),
    }


def main() -> None:
    """Measure and report."""
    benchmark = Benchmark(__doc__)
    given = benchmark.options_with_real_clips()
    clips = labelled(given.real)[:: 5 if given.quick else 1]
    rng = np.random.default_rng(0)
    long = [marks(clip, rng) for clip in track(clips, "clips")]
    short = [marks(Labelled(trim(clip.audio, 4.0), clip.bpm), rng) for clip in clips]
    tempi = np.arange(30, 301, 10 if given.quick else 2)
    free = {
        name: max(match_tempo(features, float(bpm)).score for bpm in tempi)
        for name, make in track(NO_PULSE.items(), "sounds without a pulse")
        for features in [Features(make())]
    }
    benchmark.finish(
        {
            **summary(long),
            "free_marks_max": max(free.values()),
            "free_marks": free,
            "at_4_s": summary(short),
            "clips": len(clips),
        }
    )


if __name__ == "__main__":
    main()
