"""Requests that all differ: one full batch of ours against what upstream's call can do.

    python benchmarks/heterogeneous_batch.py [--quick] [--out FILE] [--clips N] [--repeats N]
        [--geometry tiny | open-small] [--device cpu | cuda] [--threads N]

Each request has its own prompt, steps, cfg, sampler and seed; a quarter is not guided. Per model:

- solo: clips/s of stable-audio-tools' own call, one per request.
- grouped: the same with requests of equal steps, cfg and sampler in one call.
- ours: one call of the backend with all of them.
- uniform: one call with as many requests that all ask for the same, at the same row evaluations.
- ours_over_solo, ours_over_uniform: ratios of total times over interleaved repeats.
- max_abs_difference: largest difference of a sample between solo and ours, full scale 1.0.
- row_evaluations: rows through the transformer, of the mixed and of the uniform requests.

Geometry tiny is the embedded model; open-small has the sizes of stable-audio-open-small (341 M
parameters, 11.9 s of 44.1 kHz stereo) with random weights and a word table for its text encoder.
Without --geometry: tiny, and on CUDA open-small too. On CUDA transformers run in bfloat16.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import Benchmark
from open_small import write_open_small
from rich.progress import Progress

from audioforge.data.wording import tempo_of
from audioforge.generation.batches import finished
from audioforge.generation.registry import load_backend
from audioforge.generation.request import Clip, GenerationRequest
from audioforge.generation.sat_imports import quiet, stable_audio_tools

WORDS = ("techno drum loop", "howling wind", "dark drone", "laser zaps", "siren", "warm pad")
STEPS = range(4, 17)
QUICK_STEPS = range(1, 4)


def mixed(backend: Any, clips: int, steps: range) -> list[GenerationRequest]:
    """Return requests that all differ."""
    rng = np.random.default_rng(11)
    can = backend.capabilities
    return [
        GenerationRequest(
            f"{WORDS[i % len(WORDS)]} at {60 + i} bpm",
            round(can.max_seconds * float(rng.uniform(0.4, 1.0)), 1),
            seed=i,
            steps=int(rng.choice(steps)),
            cfg_scale=1.0 if i % 4 == 0 else float(rng.integers(3, 15)) / 2,
            sampler=("euler", "dpmpp", "pingpong")[int(rng.integers(3))],
        )
        for i in range(clips)
    ]


def rows_of(requests: list[GenerationRequest]) -> int:
    """Count rows through the transformer."""
    return sum(r.steps * (1 if r.cfg_scale == 1 else 2) for r in requests)


def uniform(requests: list[GenerationRequest]) -> list[GenerationRequest]:
    """Return requests of one kind with about as many row evaluations, guided like most."""
    steps = round(rows_of(requests) / len(requests) / 2)
    return [replace(r, steps=steps, cfg_scale=3.0, sampler="euler") for r in requests]


def upstream(backend: Any, requests: list[GenerationRequest]) -> torch.Tensor:
    """Make requests that share steps, cfg and sampler by one upstream call; [B, channels, T]."""
    first, can = requests[0], backend.capabilities
    told = [
        {"prompt": r.prompt, "seconds_total": r.seconds, "bpm": tempo_of(r.prompt)}
        for r in requests
    ]
    shut = contextlib.redirect_stderr(io.StringIO())  # a progress bar per call
    with quiet(), shut, torch.random.fork_rng(), torch.no_grad():
        return stable_audio_tools().generate_diffusion_cond(
            backend.model,
            steps=first.steps,
            cfg_scale=first.cfg_scale,
            conditioning=told,
            batch_size=len(requests),
            sample_size=round(can.max_seconds * can.sample_rate),
            seed=first.seed,
            device=str(backend.device),
            sampler_type=first.sampler,
        )


def grouped(requests: list[GenerationRequest]) -> list[list[GenerationRequest]]:
    """Return requests by what upstream's call takes once."""
    groups: dict[tuple, list[GenerationRequest]] = {}
    for request in requests:
        groups.setdefault((request.steps, request.cfg_scale, request.sampler), []).append(request)
    return list(groups.values())


def timed(device: torch.device, run: Callable[[], Any]) -> float:
    """Return the wall time of a run in seconds."""
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def measure(
    backend: Any, requests: list[GenerationRequest], repeats: int, tick: Callable[[], None]
) -> dict[str, Any]:
    """Compare the four ways on one model, in turns."""
    clips, same = len(requests), uniform(requests)
    ways: dict[str, Callable[[], Any]] = {
        "solo": lambda: [upstream(backend, [r]) for r in requests],
        "ours": lambda: backend.generate(requests),
        "grouped": lambda: [upstream(backend, group) for group in grouped(requests)],
        "uniform": lambda: backend.generate(same),
    }
    backend.generate(requests[:2])
    upstream(backend, requests[:1])
    seconds = dict.fromkeys(ways, 0.0)
    for _ in range(repeats):
        for name, run in ways.items():
            seconds[name] += timed(backend.device, run)
            tick()
    rows = rows_of(requests), rows_of(same)
    return {
        **{name: clips * repeats / taken for name, taken in seconds.items()},
        "ours_over_solo": seconds["solo"] / seconds["ours"],
        "ours_over_uniform": seconds["uniform"] / rows[1] * rows[0] / seconds["ours"],
        "max_abs_difference": difference(backend, requests[:16]),
        "row_evaluations": rows,
        "groups": len(grouped(requests)),
        "clips": clips,
        "seconds_per_clip": backend.capabilities.max_seconds,
    }


def difference(backend: Any, requests: list[GenerationRequest]) -> float:
    """Return the largest difference of a sample between upstream's solo calls and our batch."""
    rate, worst = backend.capabilities.sample_rate, 0.0
    for request, clip in zip(requests, backend.generate(requests), strict=True):
        solo = finished(request, upstream(backend, [request])[0], rate, 0.0)
        assert isinstance(clip, Clip)
        assert isinstance(solo, Clip)
        worst = max(worst, float(np.abs(clip.audio.samples - solo.audio.samples).max()))
    return worst


def main() -> None:
    """Run from the command line."""
    bench = Benchmark(__doc__)
    add = bench.parser.add_argument
    add("--geometry", choices=("tiny", "open-small"), action="append")
    add("--device", choices=("cpu", "cuda"))
    add("--clips", type=int, help="requests per model, 64 unless told")
    add("--repeats", type=int, default=2)
    add("--threads", type=int, help="of torch on a CPU")
    options = bench.options()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    geometries = options.geometry or ["tiny", *(["open-small"] if device == "cuda" else [])]
    clips = options.clips or (6 if options.quick else 64)
    repeats = 1 if options.quick else options.repeats
    numbers: dict[str, Any] = {"threads": torch.get_num_threads()}
    with Progress() as progress, tempfile.TemporaryDirectory() as folder:
        task = progress.add_task("heterogeneous batch", total=4 * repeats * len(geometries))
        for geometry in geometries:
            model = "tiny-stable-audio"
            if geometry == "open-small":
                model = str(write_open_small(Path(folder)))
            backend = load_backend(model, device)
            requests = mixed(backend, clips, QUICK_STEPS if options.quick else STEPS)
            numbers[geometry] = measure(backend, requests, repeats, lambda: progress.advance(task))
    bench.finish(json.loads(json.dumps(numbers)), device)


if __name__ == "__main__":
    main()
