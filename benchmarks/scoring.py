"""What the rewards cost: CPU beside a straightforward librosa pipeline, start, memory, scaling.

    python benchmarks/scoring.py [--quick] [--out FILE]

`cpu_ratio_vs_librosa` is the median over pairs, taken turn by turn on one clip of 10 s at 44.1 kHz
stereo: CPU time of the usual list of librosa and pyloudnorm calls over that of every reward of this
package with a brief that asks for tempo, key, loop and brightness. Both begin with the file.
`first_call_s` is a fresh process's first score without its imports, `import_s` those imports.
`rss_growth_mb` is how far the peak memory of a warm process rises over 2 000 more clips.
`two_process_scaling` compares the clips per second of two processes with those of one; it needs two
idle cores. `gpu_clips_per_s` is `CombinedReward(device="cuda").judge`, all of it, on groups of 64
such clips after a warm-up; `gpu_cpu_largest_difference` is the largest difference of a total from
the same clips judged with numpy. Both are null where torch sees no CUDA device.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from _common import Benchmark
from rich.progress import track

from audioforge.data.brief import Brief
from audioforge.generation.synth import render
from audioforge.reward_functions import CombinedReward, score
from audioforge.utils.audio_processing import Audio, flac_bytes

RATE, SECONDS = 44_100, 10.0
BRIEF = Brief(
    "phrases", "chords", seconds=SECONDS, bpm=118, key="A minor", brightness="bright", loop=True
)
FIRST_CALL = """
import time; began = time.perf_counter()
import numpy as np
from audioforge.reward_functions import score
imported = time.perf_counter()
clip = np.random.default_rng(0).standard_normal((2, 441000)).astype(np.float32) * 0.1
ready = time.perf_counter()
score(clip, "techno drum loop, 128 bpm")
print(imported - began, time.perf_counter() - ready)
"""


def mix(seconds: float = SECONDS, seed: int = 3) -> Audio:
    """Render drums, a bass line and chords at 118 BPM, stereo, 44.1 kHz."""
    parts = (
        (0.9, Brief("drums", "rock", seconds=seconds, bpm=118)),
        (0.5, Brief("phrases", "bassline", seconds=seconds, bpm=118, key="A minor")),
        (0.45, Brief("phrases", "chords", seconds=seconds, bpm=118, key="A minor")),
    )
    total = np.sum([gain * render(brief, seed).samples for gain, brief in parts], axis=0)
    return Audio(0.7 * total / np.abs(total).max(), RATE)


def straightforward(path: Path) -> dict[str, float]:
    """Measure what a first version would: one library call after another."""
    import librosa
    import pyloudnorm

    both, rate = librosa.load(path, sr=None, mono=False)
    mono = librosa.to_mono(both)
    harmonic, percussive = librosa.effects.hpss(mono)
    onsets = librosa.onset.onset_strength(y=mono, sr=rate)
    meter = pyloudnorm.Meter(rate)
    mel = librosa.feature.melspectrogram(y=mono, sr=rate)
    measured = {
        "harmonic": np.mean(harmonic**2),
        "percussive": np.mean(percussive**2),
        "chroma": librosa.feature.chroma_cqt(y=mono, sr=rate).mean(),
        "centroid": librosa.feature.spectral_centroid(y=mono, sr=rate).mean(),
        "bandwidth": librosa.feature.spectral_bandwidth(y=mono, sr=rate).mean(),
        "rolloff": librosa.feature.spectral_rolloff(y=mono, sr=rate).mean(),
        "flatness": librosa.feature.spectral_flatness(y=mono).mean(),
        "contrast": librosa.feature.spectral_contrast(y=mono, sr=rate).mean(),
        "mfcc": librosa.feature.mfcc(S=librosa.power_to_db(mel)).mean(),
        "tempo": np.max(librosa.feature.tempo(onset_envelope=onsets, sr=rate)),
        "beats": np.size(librosa.beat.beat_track(y=mono, sr=rate)[1]),
        "rms": librosa.feature.rms(y=mono).mean(),
        "crossings": librosa.feature.zero_crossing_rate(mono).mean(),
        "loudness": meter.integrated_loudness(both.T),
        "range": meter.loudness_range(both.T),
        "peak": np.abs(librosa.resample(both, orig_sr=rate, target_sr=4 * rate)).max(),
        "correlation": np.corrcoef(both)[0, 1],
    }
    return {name: float(value) for name, value in measured.items()}


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Return the CPU time of one call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def side_by_side(pairs: int) -> dict[str, float]:
    """Time both pipelines turn by turn on one file, after a warm-up."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "clip.flac"
        path.write_bytes(flac_bytes(mix()))
        calls = (lambda: score(path, BRIEF)), (lambda: straightforward(path))
        for call in calls:
            call()
        times = np.array(
            [[cpu_seconds(call) for call in calls] for _ in track(range(pairs), "pairs")]
        )
    return {
        "cpu_ratio_vs_librosa": float(np.median(times[:, 1] / times[:, 0])),
        "cpu_ms_per_clip": float(1e3 * np.median(times[:, 0])),
        "librosa_cpu_ms_per_clip": float(1e3 * np.median(times[:, 1])),
    }


def first_call(tries: int) -> dict[str, float]:
    """Start fresh processes and take the median of their imports and of their first score."""
    found = []
    for _ in track(range(tries), "fresh processes"):
        done = subprocess.run(
            [sys.executable, "-c", FIRST_CALL], check=True, capture_output=True, text=True
        )
        found.append([float(word) for word in done.stdout.split()])
    imports, first = np.median(found, axis=0)
    return {
        "first_call_s": float(first),
        "import_s": float(imports),
        "first_call_with_import_s": float(imports + first),
    }


def peak_mb() -> float:
    """Return the peak resident memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def growth(clips: int, seconds: float) -> float:
    """Score `clips` clips after a fifth as many to warm up; return the rise of the peak in MB."""
    noise = np.random.default_rng(0)
    sound = mix(seconds).samples
    brief = Brief("phrases", "chords", seconds=seconds, bpm=118, key="A minor", loop=True)
    warm, began = clips // 5, 0.0
    for index in range(warm + clips):
        began = peak_mb() if index == warm else began
        gain, start = noise.uniform(0.2, 1.0), int(noise.integers(2_000))
        score(Audio(gain * sound[:, start:], RATE), brief)
    return peak_mb() - began


def busy(clips: int) -> tuple[float, float]:
    """Score `clips` clips of 4 s; return when it began and ended."""
    sound = mix(4.0)
    brief = Brief("phrases", "chords", seconds=4.0, bpm=118, key="A minor", loop=True)
    score(sound, brief)
    began = time.time()
    for _ in range(clips):
        score(sound, brief)
    return began, time.time()


def in_processes(count: int, clips: int) -> float:
    """Return clips per second of `count` processes at once."""
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn")) as pool:
        spans = list(pool.map(busy, [clips] * count))
    return sum(clips / (ended - began) for began, ended in spans)


def on_gpu(groups: int, size: int) -> dict[str, float | None]:
    """Judge groups of different clips on a CUDA device, and the last one with numpy too."""
    if not cuda_name():
        return {"gpu_clips_per_s": None, "gpu_cpu_largest_difference": None}
    sound, gains = mix().samples, np.linspace(0.2, 1.0, size)
    clips = [Audio(gain * np.roll(sound, 977 * i, 1), RATE) for i, gain in enumerate(gains)]
    batched = CombinedReward(device="cuda")
    reports = batched.judge(clips, BRIEF)
    began = time.perf_counter()
    for _ in track(range(groups), "groups on the GPU"):
        reports = batched.judge(clips, BRIEF)
    took = time.perf_counter() - began
    numpys = CombinedReward().judge(clips, BRIEF)
    apart = [abs(one.total - two.total) for one, two in zip(reports, numpys, strict=True)]
    return {"gpu_clips_per_s": groups * size / took, "gpu_cpu_largest_difference": max(apart)}


def cuda_name() -> str | None:
    """Return the name of the CUDA device that torch would use, or None."""
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def main() -> None:
    """Measure and report."""
    benchmark = Benchmark(__doc__)
    given = benchmark.options()
    pairs, tries, many, clips = (1, 1, 10, 3) if given.quick else (15, 5, 2_000, 150)
    costs = side_by_side(pairs)
    starts = first_call(tries)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        risen = pool.submit(growth, many, 2.0).result()
    alone = [in_processes(1, clips)]
    together = in_processes(2, clips)
    alone.append(in_processes(1, clips))
    benchmark.finish(
        {
            **costs,
            **starts,
            "rss_growth_mb": risen,
            "rss_clips": many,
            "two_process_scaling": together / float(np.mean(alone)),
            "clips_per_s_one_process": float(np.mean(alone)),
            **on_gpu(*((1, 4) if given.quick else (5, 64))),
            "gpu": cuda_name(),
            "load_average": os.getloadavg()[0],
            "cores": os.cpu_count(),
        }
    )


if __name__ == "__main__":
    main()
