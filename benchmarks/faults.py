"""How well each fault is told from clean sound, and what it costs in audio_quality.

    python benchmarks/faults.py [--quick] [--out FILE] [--real FOLDER]

Damages every real clip of two seconds or more in fourteen ways at three strengths (`damage.py`;
codecs besides) and compares the severity that audio_quality itself uses with that of *all* clean
clips: `auc` is the chance that a damaged clip looks worse than a clean one. `auc_quality` is the
same for the whole audio_quality score of the clip's category. `strong_costs` is the share of clips
that lose 0.15 or more of it at the strongest damage, `monotone` the share that nowhere gains more
than 0.01 from more damage. A fault is at its reference when every strength is, to two decimals.
Faults with one figure in the reference table are compared at full strength.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import Benchmark, auc
from damage import STEREO_ONLY, STRENGTHS, damaged, is_stereo, prepared
from rich.progress import track

from audioforge.reward_functions import audio_quality
from audioforge.reward_functions.calibrate import profiles_of
from audioforge.reward_functions.faults import DETECTORS
from audioforge.utils.audio_processing import Audio, read_audio, trim
from audioforge.utils.spectral_analysis import Features

DETECTOR_OF = {
    "clipping": "clipping", "clicks": "clicks", "dropouts": "dropouts", "dc": "DC offset",
    "low_pass": "spectral edge", "sample_hold": "held samples", "hum": "hum",
    "noise": "noise floor", "bit_crush": "coarse steps", "stutter": "stutter",
    "mono_collapse": "narrow stereo", "phase_inversion": "inverted channel",
    "tail_silence": "silence", "phase_smear": "smeared phase", "mp3": "spectral edge",
    "vorbis": "spectral edge",
}  # fmt: skip
REFERENCE: dict[str, tuple[float | None, float | None, float]] = {
    "clipping": (0.93, 0.99, 1.00), "clicks": (0.86, 0.94, 0.98), "dropouts": (0.99, 0.99, 0.98),
    "dc": (0.96, 1.00, 1.00), "low_pass": (0.85, 0.86, 0.90), "sample_hold": (0.55, 0.95, 0.96),
    "hum": (0.70, 0.81, 0.95), "noise": (0.86, 0.97, 0.99), "bit_crush": (1.00, 1.00, 1.00),
    "stutter": (0.96, 0.95, 0.95), "mono_collapse": (None, None, 0.94),
    "phase_inversion": (None, None, 0.94), "tail_silence": (0.95, 0.98, 0.99),
    "phase_smear": (0.59, 0.68, 0.92),
}  # fmt: skip
"""AUC of the best known cheap measure of each fault; codecs have no stated bit rates to compare."""


class RealClip(NamedTuple):
    """A clean clip, by its name in the manifest."""

    name: str
    category: str | None
    """As a brief would say it; None is music."""
    audio: Audio


def real_clips(folder: Path, quick: bool) -> list[RealClip]:
    """Read the clips of 2 s or more, at 32 kHz or more, cut to 8 s; a few of 2 s if `quick`."""
    listed = [
        clip
        for clip in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["clips"]
        if clip["duration_s"] >= 2 and clip["sample_rate"] >= 32_000
    ]
    kept = []
    for clip in listed[::20] if quick else listed:
        audio = prepared(read_audio(folder / clip["file"]))
        home = next(iter(profiles_of(clip)), "music")
        category = None if home == "music" else home
        kept.append(RealClip(clip["id"], category, trim(audio, 2.0) if quick else audio))
    return kept


def measured(features: Features, category: str | None) -> dict[str, float]:
    """Return the severity by detector, and the quality score."""
    severities = {name: detector(features).severity for name, detector in DETECTORS.items()}
    return severities | {"quality": audio_quality.score(features, category).value}


def compare(
    hurt: list[list[dict[str, float]]], own: list[dict[str, float]], clean: list[dict[str, float]],
    detector: str,
) -> dict[str, Any]:  # fmt: skip
    """Compare one fault's clips, [strength][clip], with their own originals and all clean clips."""
    quality = np.array([[row["quality"] for row in rows] for rows in [own, *hurt]])
    everyone = np.array([row["quality"] for row in clean])
    usual = np.array([row[detector] for row in clean]) if detector in DETECTORS else None
    return {
        "auc": [
            auc(np.array([row[detector] for row in rows]), usual) if usual is not None else 0.5
            for rows in hurt
        ],
        "auc_quality": [auc(-values, -everyone) for values in quality[1:]],
        "strong_costs": float((quality[0] - quality[3] >= 0.15).mean()),
        "monotone": float((np.diff(quality, axis=0) <= 0.01).all(0).mean()),
        "median_quality": [float(np.median(values)) for values in quality[1:]],
    }


def at_reference(found: dict[str, list[float]]) -> list[str]:
    """Return the faults whose every figure is at or above the reference, to two decimals."""
    return [
        fault
        for fault, wanted in REFERENCE.items()
        if all(w is None or round(x, 2) >= w for x, w in zip(found[fault], wanted, strict=True))
    ]


def main() -> None:
    """Measure and report."""
    benchmark = Benchmark(__doc__)
    given = benchmark.options_with_real_clips()
    clips = real_clips(given.real, given.quick)
    clean = [measured(Features(clip.audio), clip.category) for clip in clips]
    told: dict[str, dict[str, Any]] = defaultdict(dict)
    for fault in track(STRENGTHS, "damaging"):
        able = [i for i, c in enumerate(clips) if fault not in STEREO_ONLY or is_stereo(c.audio)]
        hurt = [
            [
                measured(
                    Features(damaged(clips[i].audio, fault, strength, clips[i].name)),
                    clips[i].category,
                )
                for i in able
            ]
            for strength in range(3)
        ]
        own = [clean[i] for i in able]
        for key, value in compare(hurt, own, clean, DETECTOR_OF[fault]).items():
            told[key][fault] = value
    reached = at_reference(told["auc"])
    quality = np.array([row["quality"] for row in clean])
    benchmark.finish(
        {
            **told,
            "reference": REFERENCE,
            "below_reference": [fault for fault in REFERENCE if fault not in reached],
            "faults_at_reference": len(reached),
            "faults_total": len(REFERENCE),
            "clean_quality": dict(
                zip(("p10", "p25", "median"), np.percentile(quality, (10, 25, 50)), strict=True)
            ),
            "clips": len(clips),
            "stereo_clips": sum(is_stereo(clip.audio) for clip in clips),
        }
    )


if __name__ == "__main__":
    main()
