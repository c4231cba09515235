"""Render the evaluation references, the clips that style targets are compared with.

Run `python -m audioforge.generation.render_references [--out FOLDER]`.
Writes `<category>/<family>-<n>.flac` (22.05 kHz mono, 16 bit) for every family: two plain clips and
two with tone words, each in its own tempo and key, so that a style is a set and not one clip. The
same code gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from audioforge.data.brief import KEYS, Brief
from audioforge.data.families import FAMILIES, Family
from audioforge.data.references import REFERENCES
from audioforge.generation.synth import render
from audioforge.utils.audio_processing import Audio, flac_bytes, resample, to_mono

SAMPLE_RATE = 22_050
PER_FAMILY = 4
MAX_BYTES = 6_000_000
"""Of all references together: they travel in the wheel."""
_SECONDS = {"drums": 2.4, "instruments": 2.0, "sfx": 2.0, "ambient": 2.2, "phrases": 2.4}
_LONGER = {"waves": 3.0}
"""A swell lasts about three seconds and has to be heard once."""
_TONES = (
    {"brightness": "bright", "attack": "punchy"},
    {"brightness": "dark", "attack": "soft"},
    {"brightness": "bright", "space": "spacious"},
    {"brightness": "dark", "space": "spacious"},
)


def reference_briefs(family: Family) -> list[tuple[Brief, int]]:
    """Return the brief and the seed of each reference of a family."""
    digest = hashlib.sha256(family.name.encode()).digest()
    rng = np.random.default_rng(list(digest[:8]))
    first_tone = int(rng.integers(len(_TONES)))
    plan = []
    for n in range(PER_FAMILY):
        seconds = _LONGER.get(family.name, _SECONDS[family.category])
        # Tempi spread evenly over the home range, so that a set shows all of it.
        bpm = float(round(np.interp(n + 0.5, (0, PER_FAMILY), family.bpm))) if family.bpm else None
        key = str(rng.choice(KEYS)) if family.tonal else None
        tones = _TONES[(first_tone + n) % len(_TONES)] if n >= PER_FAMILY // 2 else {}
        brief = Brief(family.category, family.name, seconds=seconds, bpm=bpm, key=key, **tones)  # pyright: ignore[reportArgumentType]
        plan.append((brief, int(rng.integers(2**31))))
    return plan


def render_reference(brief: Brief, seed: int) -> Audio:
    """Render one reference at SAMPLE_RATE, mono."""
    return resample(to_mono(render(brief, seed)), SAMPLE_RATE)


def write_references(folder: Path) -> int:
    """Render every reference into a folder; return the bytes written."""
    total = 0
    for family in track(FAMILIES.values(), "rendering references"):
        (folder / family.category).mkdir(parents=True, exist_ok=True)
        for n, (brief, seed) in enumerate(reference_briefs(family), start=1):
            content = flac_bytes(render_reference(brief, seed))
            (folder / family.category / f"{family.name}-{n}.flac").write_bytes(content)
            total += len(content)
    return total


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render the evaluation references.")
    parser.add_argument("--out", type=Path, default=REFERENCES, help="folder to write to")
    out = parser.parse_args().out
    total = write_references(out)
    Console().print(f"{PER_FAMILY * len(FAMILIES)} references, {total / 1e6:.2f} MB, in {out}")
    if total > MAX_BYTES:
        raise SystemExit(
            f"references must stay under {MAX_BYTES} bytes, got {total}; shorten _SECONDS"
        )


if __name__ == "__main__":
    main()
