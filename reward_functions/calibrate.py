"""Calibrate quality: python -m audioforge.reward_functions.calibrate --real FOLDER --made FOLDER.

Measures the naturalness descriptors on real clips (a folder with manifest.json and its audio) and
on made ones (<category>/<family>-<n>.flac, such as the evaluation references or
`benchmarks/render_labelled.py`), and writes `calibration.json`: a band per descriptor for music as
a whole and for each category.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from audioforge.data.families import CATEGORIES, FAMILIES
from audioforge.reward_functions.naturalness import DESCRIPTORS, descriptors
from audioforge.utils.audio_processing import Audio, read_audio, repeat
from audioforge.utils.spectral_analysis import Features

_HOME = {
    "drum": ("drums",),
    "instrument": ("instruments",),
    "vocal": ("instruments",),
    "sfx": ("sfx",),
    "speech": ("sfx",),
    "ambient": ("ambient",),
    "music": ("music", "phrases"),
}
_SECONDS = 8.0
_LEAST_SLACK = {
    "flatness_db": 3.0, "line_share": 0.08, "movement_db": 1.0, "slow_movement_db": 0.8,
    "level_range_db": 2.0, "crest_db": 2.0, "occupied_bands": 3.0, "centroid_band": 3.0,
    "onset_contrast": 2.0, "colour_change": 0.06, "modulation": 0.12, "top_octave_db": 4.0,
    "noise_like_share": 0.3, "cut_share": 0.15,
}  # fmt: skip
"""Least distance from full marks to none: about what a shift by some milliseconds moves a
descriptor."""
_MARGIN = 0.3
"""How far beyond the range of the clips a band ends, in units of that range. Narrower bands told
music from music by what is ordinary; damage could then move a clip inside."""


def profiles_of(clip: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the profiles a clip of a manifest belongs to, its category first; none for noise."""
    if clip["category"] != "loop":
        return _HOME.get(clip["category"], ())
    home = "drums" if clip["subcategory"] in ("drums", "percussion") else "phrases"
    return (home, "music") if clip["bpm_reliable"] else (home,)


def real_clips(folder: Path) -> list[tuple[tuple[str, ...], Audio]]:
    """Read a set with a manifest: each clip and the profiles it belongs to; loops tiled to 8 s."""
    clips = json.loads((folder / "manifest.json").read_text())["clips"]
    kept = []
    for clip in clips:
        audio, homes = read_audio(folder / clip["file"]), profiles_of(clip)
        if clip["category"] == "loop":
            audio = repeat(audio, _SECONDS)
        if homes and audio.seconds >= 0.5:
            kept.append((homes, audio))
    return kept


def made_clips(folder: Path, most: int) -> list[tuple[str, Path]]:
    """Return (category, path) of up to `most` clips per family."""
    per_family: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.glob("*/*.flac")):
        per_family[path.stem.rsplit("-", 1)[0]].append(path)
    return [
        (FAMILIES[n].category, p)
        for n, paths in per_family.items()
        if n in FAMILIES
        for p in paths[:most]
    ]


def band(values: np.ndarray, slack: float) -> tuple[float, float, float, float]:
    """Return 1 where the values lie, and 0 from _MARGIN times their range beyond it on.

    Args:
        values: of one descriptor; nan where it could not be measured.
        slack: least distance from full marks to none.
    """
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    margin = max(_MARGIN * (most - least), slack)
    return (least - margin, least, most, most + margin)


def fit_profile(rows: list[tuple[str, Features]]) -> dict[str, object]:
    """Fit the bands of one kind; "real" and "made" clips count alike."""
    table = {
        name: [descriptors(f) for origin, f in rows if origin == name] for name in ("real", "made")
    }
    bands = {}
    for d in DESCRIPTORS:
        each = [
            band(np.array([row[d] for row in table[origin]]), _LEAST_SLACK[d])
            for origin in ("real", "made")
            if len(table[origin]) >= 5
        ]
        bands[d] = (
            min(b[0] for b in each),
            min(b[1] for b in each),
            max(b[2] for b in each),
            max(b[3] for b in each),
        )
    return {
        "bands": {k: [round(float(x), 4) for x in v] for k, v in bands.items()},
        "clips": {origin: len(t) for origin, t in table.items()},
    }


def main() -> None:
    """Measure and write calibration.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--made", type=Path, required=True)
    parser.add_argument("--most", type=int, default=16, help="made clips per family")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("calibration.json"))
    args = parser.parse_args()
    rows: dict[str, list[tuple[str, Features]]] = defaultdict(list)
    for homes, audio in track(real_clips(args.real), "real clips"):
        for home in homes:
            rows[home].append(("real", Features(audio)))
    for category, path in track(made_clips(args.made, args.most), "made clips"):
        rows[category].append(("made", Features(read_audio(path))))
    fitted = {name: fit_profile(rows[name]) for name in track(("music", *CATEGORIES), "fitting")}
    command = "python -m audioforge.reward_functions.calibrate --real REAL --made MADE"
    args.out.write_text(json.dumps({"command": command, "profiles": fitted}, indent=1) + "\n")


if __name__ == "__main__":
    main()
