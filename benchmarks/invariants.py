"""What must not matter to a reward, and what must only cost: on every piece of real music.

    python benchmarks/invariants.py [--quick] [--out FILE] [--real FOLDER]

`moved` is the largest change of any judged number over the pieces, and the 90th percentile over
pieces: for gain (all but level), polarity and swapped sides, a start up to 50 ms later, resampling
and lossless files. `mp3_costs` is the largest fall of the total. `monotone` is the share of (piece,
fault) pairs whose total nowhere gains more than 0.01 from more damage (`damage.py`), `strong_costs`
the share that loses 0.15 at the strongest, without EXEMPT; `undamaged` repeats both for pieces
whose own total is at least 0.9. `noise_rises` and `silence_rises` are the largest gains from added
noise and appended silence.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import soundfile as sf
from _common import Benchmark
from damage import STEREO_ONLY, STRENGTHS, damaged, is_stereo, prepared
from rich.progress import track

from audioforge.data.brief import Brief
from audioforge.reward_functions import CombinedReward, score
from audioforge.reward_functions.redteam_inputs import music
from audioforge.utils.audio_processing import Audio, encode, resample

BRIEF = Brief("drums", "rock", seconds=8.0, bpm=118, brightness="bright", percussion=True)
EXEMPT = ("hum", "phase_smear", "low_pass", "mono_collapse", "bit_crush", "mp3", "vorbis")
"""Strong damage of these kinds need not cost 0.15: found late, or legitimate."""
LEVEL = "technical_characteristics"
"""The one part that may read the level."""
NOISE_LEVELS = (0.003, 0.01, 0.03, 0.1, 0.3)
SILENCE_RATIOS = (0.05, 0.25, 1.0, 3.0)
_JUDGE = CombinedReward()

Change = Callable[[np.ndarray, int], np.ndarray]
"""(samples [channels, time], rate in Hz) -> samples."""


def coded(samples: np.ndarray, rate: int, container: str, subtype: str | None) -> np.ndarray:
    """Return samples after a round through a file format, float32 [channels, time]."""
    told = encode(Audio(samples, rate), container, subtype)
    return sf.read(io.BytesIO(told), dtype="float32", always_2d=True)[0].T


CHANGES: dict[str, dict[str, Change]] = {
    "gain": {f"{db:g} dB": lambda x, rate, db=db: x * 10 ** (db / 20) for db in (-20.0, -7.0, 5.9)},
    "polarity and sides": {"polarity": lambda x, rate: -x, "sides": lambda x, rate: x[::-1]},
    **{
        f"start {ms} ms later": {"": lambda x, rate, ms=ms: x[:, round(ms / 1_000 * rate) :]}
        for ms in (5, 20, 50)
    },
    "rate and files": {
        "48 kHz": lambda x, rate: resample(resample(Audio(x, rate), 48_000), rate).samples,
        "24 bits": lambda x, rate: coded(x, rate, "WAV", "PCM_24"),
        "FLAC": lambda x, rate: coded(x, rate, "FLAC", "PCM_16"),
    },
}
"""What must not matter, by name."""


def with_room(clip: Audio) -> Audio:
    """Set the peak of a clip to half of full scale."""
    return Audio(0.5 * clip.samples / np.abs(clip.samples).max(), clip.sample_rate)


def values(clip: Audio) -> dict[str, float]:
    """Return every judged number of a clip by name, with and without a brief."""
    told = {}
    for kind, brief in (("", None), ("asked ", BRIEF)):
        report = _JUDGE.judge([clip], brief)[0]
        told |= {kind + name: part.value for name, part in report.parts.items() if part.scored}
        told[kind + "total"] = report.total
    return told


def moved(clip: Audio, before: dict[str, float], name: str) -> float:
    """Return the largest change of any number by the CHANGES of a name; for gain, all but level."""
    worst = 0.0
    for change in CHANGES[name].values():
        after = values(Audio(change(clip.samples, clip.sample_rate), clip.sample_rate))
        kept = [n for n in before if name != "gain" or not n.endswith((LEVEL, "total"))]
        worst = max(worst, *(abs(after[n] - before[n]) for n in kept))
    return worst


def mp3_cost(clip: Audio, total: float) -> float:
    """Return what an MP3 of libsndfile's usual quality takes from the total."""
    samples = coded(clip.samples, clip.sample_rate, "MP3", None)
    return total - score(Audio(samples, clip.sample_rate)).total


def damage_totals(clip: Audio, name: str, seconds: float) -> Iterator[tuple[str, list[float]]]:
    """Yield (fault, totals of the clip as it is and with each strength of it)."""
    whole = prepared(clip, seconds)
    clean = score(whole).total
    for fault in STRENGTHS:
        if fault not in STEREO_ONLY or is_stereo(whole):
            hurt = (score(damaged(whole, fault, strength, name)).total for strength in range(3))
            yield fault, [clean, *hurt]


def noise_rise(clip: Audio, levels: Sequence[float]) -> float:
    """Return the largest gain of the total from one level of white noise to the next, or 0."""
    noise = np.random.default_rng(3).standard_normal(clip.samples.shape)
    totals = [
        score(Audio(clip.samples + level * noise, clip.sample_rate)).total
        for level in (0.0, *sorted(levels))
    ]
    return max(0.0, *(b - a for a, b in pairwise(totals)))


def silence_rise(clip: Audio, total: float, ratio: float) -> float:
    """Return the gain of the total by appending `ratio` times the clip's length of silence."""
    size = round(ratio * clip.samples.shape[1])
    padded = np.pad(clip.samples, ((0, 0), (0, size)))
    return score(Audio(padded, clip.sample_rate)).total - total


def kept_order(totals: Sequence[float]) -> bool:
    """Whether more damage nowhere scores over 0.01 higher."""
    return all(b <= a + 0.01 for a, b in pairwise(totals))


def shares(pairs: Sequence[tuple[str, list[float]]]) -> dict[str, Any]:
    """Summarise (fault, totals) pairs."""
    faults = sorted({fault for fault, _ in pairs})
    costs = [t[0] - t[-1] >= 0.15 for fault, t in pairs if fault not in EXEMPT]
    return {
        "monotone": float(np.mean([kept_order(t) for _, t in pairs])),
        "strong_costs": float(np.mean(costs)),
        "pairs": len(pairs),
        "monotone_by_fault": {
            fault: float(np.mean([kept_order(t) for f, t in pairs if f == fault]))
            for fault in faults
        },
    }


def main() -> None:
    """Measure and report."""
    benchmark = Benchmark(__doc__)
    given = benchmark.options_with_real_clips()
    pieces = [with_room(clip) for _, clip in music(given.real)][:: 16 if given.quick else 1]
    told: dict[str, list[float]] = {name: [] for name in (*CHANGES, "mp3", "noise", "silence")}
    pairs: list[tuple[str, list[float]]] = []
    for index, clip in enumerate(track(pieces, "pieces")):
        before = values(clip)
        for name in CHANGES:
            told[name].append(moved(clip, before, name))
        told["mp3"].append(mp3_cost(clip, before["total"]))
        told["noise"].append(noise_rise(clip, NOISE_LEVELS))
        rises = [silence_rise(clip, before["total"], ratio) for ratio in SILENCE_RATIOS]
        told["silence"].append(max(rises))
        pairs += damage_totals(clip, str(index), 2.0 if given.quick else 8.0)
    whole = [pair for pair in pairs if pair[1][0] >= 0.9]
    benchmark.finish(
        {
            "moved": {
                n: {"most": max(told[n]), "p90": np.percentile(told[n], 90)} for n in CHANGES
            },
            "mp3_costs": max(told["mp3"]),
            "noise_rises": max(told["noise"]),
            "noise_share_within_0.01": float(np.mean(np.array(told["noise"]) <= 0.01)),
            "silence_rises": max(told["silence"]),
            "silence_share_within_0.01": float(np.mean(np.array(told["silence"]) <= 0.01)),
            **shares(pairs),
            "undamaged": shares(whole) if whole else None,
            "pieces": len(pieces),
        }
    )


if __name__ == "__main__":
    main()
