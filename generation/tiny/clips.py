"""Training clips of the embedded models: briefs drawn at random, rendered by the teacher, cached.

Each clip is a function of (seed, index). Captions are drawn anew every time a clip is used, so one
clip is seen in many wordings.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from audioforge.data.brief import KEYS, Brief
from audioforge.data.families import FAMILIES
from audioforge.data.wording import CATEGORY_WORDS, TONE_WORDS, caption
from audioforge.generation.synth import render
from audioforge.utils.audio_processing import resample, to_mono

SAMPLE_RATE = 16_000
FRAMES = 65_536
"""Samples of a training clip: 4.096 s at 16 kHz."""
SECONDS = FRAMES / SAMPLE_RATE
BPM_RANGE = (70, 175)
"""Asked tempi are whole numbers in this half-open range, for every family with a pulse."""
_FULL_LENGTH = 0.6
"""Share of clips whose stated length is the whole clip."""


@dataclass(frozen=True)
class ClipSpec:
    """One training clip: what is asked, and what the teacher is told to render."""

    brief: Brief
    stated: Brief
    """The part of the brief that captions may say; the rest is left to chance, as prompts do."""
    seconds_total: float
    """The length told to the model; only length-shaped sounds end there."""


def draw(seed: int, index: int) -> ClipSpec:
    """Draw clip `index` of the training set `seed`."""
    rng = np.random.default_rng([seed, index])
    weights = np.array([2.0 if f.category == "drums" else 1.0 for f in FAMILIES.values()])
    family = list(FAMILIES.values())[rng.choice(len(weights), p=weights / weights.sum())]
    fields: dict = {"category": family.category, "family": family.name}
    if family.bpm:
        fields["bpm"] = float(rng.integers(*BPM_RANGE))
    if family.tonal:
        fields["key"] = str(rng.choice(KEYS))
    for name in ("brightness", "space", "drive", "attack"):
        if rng.random() < 0.22:
            values = [v for n, v in TONE_WORDS if n == name]
            fields[name] = str(rng.choice(values))
    seconds = SECONDS if rng.random() < _FULL_LENGTH else float(rng.uniform(1.0, SECONDS))
    brief = Brief(**fields, seconds=seconds if family.name == "riser" else SECONDS)
    unsaid = {n for n, p in (("bpm", 0.12), ("key", 0.6)) if rng.random() < p}
    return ClipSpec(brief, Brief(**{k: v for k, v in fields.items() if k not in unsaid}), seconds)


def words_for(spec: ClipSpec, rng: np.random.Generator) -> str:
    """Caption a clip; now and then only its category, or with words no vocabulary holds."""
    if rng.random() < 0.06:
        words = CATEGORY_WORDS[spec.brief.category]
        return words[int(rng.integers(len(words)))]
    text = caption(spec.stated, rng)
    if rng.random() < 0.3:
        tokens = text.split()
        for _ in range(int(rng.integers(1, 5))):
            tokens.insert(int(rng.integers(len(tokens) + 1)), "zzz")
        text = " ".join(tokens)
    return text


def render_clip(spec: ClipSpec, seed: int) -> np.ndarray:
    """Render a clip as the model hears it: int16, shape [FRAMES]."""
    return render_mono(spec.brief, seed, FRAMES)


def render_mono(brief: Brief, seed: int, frames: int) -> np.ndarray:
    """Render at 32 kHz stereo, then reduce to 16 kHz mono: int16, shape [frames]."""
    clip = to_mono(resample(render(brief, seed, 2 * SAMPLE_RATE), SAMPLE_RATE)).samples[0]
    padded = np.zeros(frames, np.float32)
    padded[: min(clip.size, frames)] = clip[:frames]
    return np.round(padded.clip(-1, 1) * 32_767).astype(np.int16)


def _render_index(job: tuple[int, int]) -> np.ndarray:
    seed, index = job
    return render_clip(draw(seed, index), seed * 1_000_003 + index)


def load_or_render(folder: Path, seed: int, count: int, workers: int = 2) -> np.ndarray:
    """Return int16 clips, shape [count, FRAMES], memory-mapped from the cache in `folder`."""
    return cached(folder / f"clips-{seed}-{count}", _render_index, seed, count, workers)


def cached(
    stem: Path,
    make: Callable[[tuple[int, int]], np.ndarray],
    seed: int,
    count: int,
    workers: int,
) -> np.ndarray:
    """Return `make((seed, index))` for every index, from STEM.npy once that is complete.

    Args:
        stem: where to keep the clips, without a suffix; STEM.json marks them complete.
        make: renders one clip, int16, all of one length; must be picklable.
        seed: of the training set.
        count: number of clips.
        workers: processes that render.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    path, mark = stem.with_suffix(".npy"), stem.with_suffix(".json")
    if not mark.exists():
        shape = (count, make((seed, 0)).size)
        clips = np.lib.format.open_memmap(path, "w+", np.int16, shape)
        with ProcessPoolExecutor(workers) as pool:
            made = pool.map(make, [(seed, i) for i in range(count)], chunksize=16)
            for i, clip in enumerate(track(made, "rendering clips", total=count)):
                clips[i] = clip
        clips.flush()
        mark.write_text(json.dumps({"seed": seed, "count": count}))
    return np.load(path, mmap_mode="r")
