"""Render labelled clips: python benchmarks/render_labelled.py FOLDER --per-family 80 --seed 11.

Writes FOLDER/<category>/<family>-<n>.flac and FOLDER/labels.jsonl, one line per clip with its file
and every asked Brief field. `python -m audioforge.reward_functions.fit_families FOLDER` learns from
it. Half of the clips are stereo at 44.1 kHz, half mono at 16 kHz, all 4 s or longer; tempo, key and
tone words are drawn so that every family is heard plain and with each word.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from audioforge.data.brief import KEYS, Brief
from audioforge.data.families import FAMILIES
from audioforge.generation.synth import render
from audioforge.utils.audio_processing import flac_bytes, resample, to_mono

TONES = {
    "brightness": ("dark", "bright"),
    "space": ("dry", "spacious"),
    "drive": ("clean", "distorted"),
    "attack": ("punchy", "soft"),
}
TONE_SHARE = 0.3
"""Probability that one tone word is asked of a clip, for each of the four."""


@dataclass(frozen=True)
class Job:
    """One clip to render: `index` of `family` in the set `seed`."""

    folder: Path
    seed: int
    family: str
    index: int


def draw(job: Job) -> Brief:
    """Draw the brief of a job; the same job gives the same brief."""
    family = FAMILIES[job.family]
    rng = np.random.default_rng([job.seed, job.index, *job.family.encode()])
    fields: dict = {"category": family.category, "family": family.name}
    fields["seconds"] = float(rng.choice([4.0, 4.0, 4.0, 6.0, 8.0]))
    if family.bpm:
        fields["bpm"] = (
            float(rng.integers(70, 176))
            if rng.random() < 0.6
            else float(rng.integers(family.bpm[0], family.bpm[1] + 1))
        )
    if family.tonal:
        fields["key"] = str(rng.choice(KEYS))
    fields |= {
        name: str(rng.choice(values)) for name, values in TONES.items() if rng.random() < TONE_SHARE
    }
    return Brief(**fields)


def write(job: Job) -> str:
    """Render and write one clip; return its line for labels.jsonl."""
    brief = draw(job)
    seed = int(
        np.random.default_rng([job.seed, job.index, *job.family.encode(), 1]).integers(2**32)
    )
    clip = render(brief, seed)
    if job.index % 2:
        clip = to_mono(resample(clip, 16_000))
    path = job.folder / brief.category / f"{job.family}-{job.index}.flac"
    path.write_bytes(flac_bytes(clip))
    return json.dumps({"file": str(path.relative_to(job.folder)), **brief.asked()})


def main() -> None:
    """Render every family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-family", type=int, default=80)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    for family in FAMILIES.values():
        (args.folder / family.category).mkdir(parents=True, exist_ok=True)
    jobs = [
        Job(args.folder, args.seed, name, i) for name in FAMILIES for i in range(args.per_family)
    ]
    with ProcessPoolExecutor(args.workers) as pool:
        lines = list(track(pool.map(write, jobs, chunksize=8), "rendering", total=len(jobs)))
    (args.folder / "labels.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
