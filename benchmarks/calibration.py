"""What the values of each part mean: how they lie over clips that should and should not earn them.

    python benchmarks/calibration.py [--quick] [--out FILE] [--real FOLDER] [--plot FILE]

`parts` gives, per part and kind of clip, the 10th, 25th, 50th and 75th percentile of the values;
`auc` the chance that a clip of the part's first kind scores above one of its last. Music is real
where it is there, else the references; damage is one fault a clip (`damage.py`), in turn. Prompt
alignment and style are measured on the teacher's clips, which have a ground truth, rendered with
seeds that nothing was fitted on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import REAL, Benchmark, auc
from damage import STEREO_ONLY, STRENGTHS, damaged, prepared
from rich.progress import track

from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES, Family
from audioforge.data.references import reference_files
from audioforge.generation.synth import render
from audioforge.reward_functions import CombinedReward
from audioforge.reward_functions.redteam import INPUTS, references
from audioforge.reward_functions.redteam_inputs import music
from audioforge.reward_functions.score import RewardReport
from audioforge.utils.audio_processing import Audio, read_audio

JUDGE = CombinedReward()
SEED = 910_000
QUARTERS = (10, 25, 50, 75)
_FAULTS = [f for f in STRENGTHS if f not in STEREO_ONLY | {"mp3", "vorbis", "low_pass"}]
Told = dict[str, dict[str, list[float]]]
"""Values by part and kind of clip."""


def note(told: Told, kind: str, report: RewardReport, *parts: str) -> None:
    """Keep what some parts of a report say of a kind of clip; what is unscored is left out."""
    for part in parts:
        if part == "total":
            told[part][kind].append(report.total)
        elif report.parts[part].scored:
            told[part][kind].append(report.parts[part].value)


def of_music(told: Told, clips: Sequence[Audio]) -> None:
    """Judge music as it is and with one fault, and what the red team makes from nothing."""
    parts = ("audio_quality", "technical_characteristics", "total")
    for index, clip in enumerate(track(clips, "music")):
        whole, fault = prepared(clip), _FAULTS[index % len(_FAULTS)]
        note(told, "music", JUDGE.judge([whole], None)[0], *parts)
        for strength, kind in ((1, "damaged"), (2, "badly damaged")):
            hurt = damaged(whole, fault, strength, str(index))
            note(told, kind, JUDGE.judge([hurt], None)[0], *parts)
    for each in track([i for i in INPUTS if not i.altered and not i.copies], "made from nothing"):
        for clip in each.make(None):  # type: ignore[arg-type]
            note(told, "red team", JUDGE.judge([clip], None)[0], "total")


def takes(families: Sequence[Family], per_family: int) -> Iterator[tuple[Family, Brief, Audio]]:
    """Render the teacher's clips of families, each with the brief it was made for."""
    rng = np.random.default_rng(SEED)
    for family in families:
        for take in range(per_family):
            bpm = float(rng.integers(*family.bpm)) if family.bpm else None
            brief = Brief(family.category, family.name, seconds=4.0, bpm=bpm)
            yield family, brief, render(brief, SEED + take)


def of_briefs(told: Told, families: Sequence[Family], per_family: int) -> None:
    """Judge clips against their own brief and others, their own references and others."""
    others = list(FAMILIES.values())
    for family, brief, clip in track(list(takes(families, per_family)), "briefs"):
        alike = next(f for f in others if f.category == family.category and f != family)
        apart = others[(others.index(family) + 13) % len(others)]
        for kind, asked in (("as asked", family), ("its category", alike), ("another", apart)):
            wish = Brief(asked.category, asked.name, seconds=4.0, bpm=brief.bpm)
            style = [read_audio(p) for p in reference_files(asked.category, asked.name)]
            (report,) = JUDGE.judge([clip], wish, references=style)
            note(told, kind, report, "prompt_alignment", "style_consistency")
        mine = JUDGE.vector(clip)
        for kind, earlier in (
            ("after another kind", render(Brief(apart.category, apart.name, seconds=4.0), SEED)),
            ("after its own kind", render(brief, SEED + 5_000)),
            ("after itself", clip),
        ):
            before = JUDGE.vector(earlier)
            if mine is not None and before is not None:
                (report,) = JUDGE.judge([clip], brief, recent=[before])
                note(told, kind, report, "creativity")


def plot(told: Told, path: Path) -> None:
    """Draw the share of clips below each value, a panel per part."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(10, 5.4), sharex=True, sharey=True)
    colours = ("#2b6cb0", "#dd8a2e", "#b83232", "#555555")
    for axis, (part, kinds) in zip(axes.flat, told.items(), strict=False):
        for colour, (kind, values) in zip(colours, kinds.items(), strict=False):
            axis.ecdf(values, color=colour, label=f"{kind} ({len(values)})")
        axis.set(title=part, xlim=(0, 1))
        axis.grid(alpha=0.25)
        axis.legend(frameon=False, fontsize=7, loc="best")
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("value")
    figure.supylabel("share of clips at or below")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure and report."""
    benchmark = Benchmark(__doc__)
    benchmark.parser.add_argument("--real", type=Path, default=REAL, help="folder of real music")
    benchmark.parser.add_argument("--plot", type=Path, help="draw the values to this picture")
    given = benchmark.options()
    real = given.real.is_dir()
    clips = [clip for _, clip in (music(given.real) if real else references())]
    told: Told = defaultdict(lambda: defaultdict(list))
    of_music(told, clips[::10] if given.quick else clips)
    families = list(FAMILIES.values())
    of_briefs(told, families[::5] if given.quick else families, 1 if given.quick else 3)
    if given.plot:
        plot(told, given.plot)
    numbers: dict[str, Any] = {
        "parts": {
            part: {
                kind: dict(
                    zip((f"p{q}" for q in QUARTERS), np.percentile(v, QUARTERS), strict=True)
                )
                for kind, v in kinds.items()
            }
            for part, kinds in told.items()
        },
        "auc": {
            part: auc(np.array(next(iter(kinds.values()))), np.array(list(kinds.values())[-1]))
            for part, kinds in told.items()
        },
        "music": "real" if real else "evaluation references",
        "music_clips": len(clips),
    }
    benchmark.finish(numbers)


if __name__ == "__main__":
    main()
