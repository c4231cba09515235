"""Signals: the one copy of test sounds.

Made sounds and ways to spoil a clip are the red team's (`reward_functions/redteam_signals.py`);
here stand the teacher's mix and the real clips. Arrays are float32 [channels, time].
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from audioforge.data.brief import Brief
from audioforge.generation.synth import render
from audioforge.reward_functions.redteam_inputs import INPUTS, as_base, music
from audioforge.reward_functions.redteam_inputs import Bases as Bases
from audioforge.reward_functions.redteam_signals import *  # noqa: F403
from audioforge.reward_functions.redteam_signals import RATE, SECONDS
from audioforge.utils.audio_processing import Audio, read_audio

REAL_AUDIO = Path(__file__).parents[1] / ".." / "shared" / "real_audio"


@cache
def mix(seconds: float = SECONDS, seed: int = 3) -> Audio:
    """Drums, bass line and chords of the teacher at 118 BPM in A minor: stands in for music."""
    briefs = [
        (0.9, Brief("drums", "rock", seconds=seconds, bpm=118)),
        (0.5, Brief("phrases", "bassline", seconds=seconds, bpm=118, key="A minor")),
        (
            0.45,
            Brief("phrases", "chords", seconds=seconds, bpm=118, key="A minor", space="spacious"),
        ),
    ]
    total = sum(gain * render(brief, seed + i).samples for i, (gain, brief) in enumerate(briefs))
    return Audio(0.7 * total / np.abs(total).max(), RATE)


@cache
def real_clips() -> tuple[tuple[str, str, float | None, Audio], ...]:
    """(id, category, trusted bpm or None, audio) of the real clips; none without the set."""
    manifest = REAL_AUDIO / "manifest.json"
    if not manifest.is_file():
        return ()
    clips = json.loads(manifest.read_text())["clips"]
    return tuple(
        (
            c["id"],
            c["category"],
            c["bpm"] if c["bpm_reliable"] else None,
            read_audio(REAL_AUDIO / c["file"]),
        )
        for c in clips
    )


@cache
def real_music() -> tuple[Audio, ...]:
    """Loops with a pulse, tiled to 8 s, and music, from the real clips."""
    if not (REAL_AUDIO / "manifest.json").is_file():
        return ()
    return tuple(clip for _, clip in music(REAL_AUDIO))


@cache
def adversarial() -> dict[str, tuple[Audio, ...]]:
    """The clips of every numbered input of the red team, made from the mix, by name."""
    bases = Bases(as_base(mix()), as_base(mix(seed=40)))
    return {each.name: each.make(bases) for each in INPUTS}
