"""The teacher: a deterministic synthesiser that renders a Brief.

Makes labelled training clips, the evaluation references and ground truth for tests, and is itself a
backend (`generation/synth_backend.py`). The same brief and seed give the same samples.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from audioforge.data.brief import NOTES, Brief
from audioforge.data.families import FAMILIES, in_category
from audioforge.generation import synth_voices as v
from audioforge.generation.synth_drums import DRUM_RENDERERS
from audioforge.generation.synth_scene import Scene
from audioforge.generation.synth_textures import TEXTURE_RENDERERS
from audioforge.generation.synth_tonal import TONAL_RENDERERS
from audioforge.utils.audio_processing import Audio

RENDERERS = DRUM_RENDERERS | TONAL_RENDERERS | TEXTURE_RENDERERS
SAMPLE_RATE = 44_100
VERSION = "synth-1"
"""Raised whenever the same brief and seed would sound different; recorded like a weights hash."""
_PEAK = 0.89
"""-1 dBFS, the ceiling of every clip."""


def render(brief: Brief, seed: int, sample_rate: int = SAMPLE_RATE) -> Audio:
    """Render a brief to stereo audio.

    Fields that are not asked for are drawn from the seed: the family within its category, the tempo
    within the family's home range, and the key.

    Args:
        brief: what to play; `seconds` is kept to the sample.
        seed: any non-negative integer.
        sample_rate: in Hz, 16 000 or more.

    Returns:
        Audio of shape [2, round(seconds * sample_rate)], peak at -1 dBFS.
    """
    rng = np.random.default_rng(seed)
    family_names = [f.name for f in in_category(brief.category)]
    name = brief.family or str(rng.choice(family_names))
    low, high = FAMILIES[name].bpm or (90, 130)
    drawn_bpm, drawn_root, drawn_minor = (
        rng.uniform(low, high),
        int(rng.integers(12)),
        rng.random() < 0.5,
    )
    scene = Scene(
        seconds=brief.seconds,
        rate=sample_rate,
        bpm=brief.bpm or drawn_bpm,
        root=NOTES.index(brief.key.split()[0]) if brief.key else drawn_root,
        minor=brief.key.endswith("minor") if brief.key else drawn_minor,
        punch={"punchy": 1.4, "soft": 0.4, None: 0.9}[brief.attack],
        rng=rng,
    )
    return Audio(_master(RENDERERS[name](scene), brief, scene), sample_rate)


def _master(mix: np.ndarray, brief: Brief, scene: Scene) -> np.ndarray:
    """Apply the tone words, then set the peak."""
    mix = mix / max(float(np.abs(mix).max()), 1e-9)
    if brief.attack == "soft":
        mix = _filtered(mix, "lowpass", 3_500, scene.rate) * 0.6 + mix * 0.4
    if brief.drive == "distorted":
        mix = np.tanh(5.0 * mix)
    if brief.brightness == "dark":
        mix = _filtered(mix, "lowpass", 900, scene.rate)
    if brief.brightness == "bright":
        mix = mix * 0.5 + _filtered(mix, "highpass", 2_500, scene.rate) * 1.6
    if brief.space == "spacious":
        mix = mix + 0.55 * _reverb(mix, scene)
    fade = np.minimum(1.0, np.arange(mix.shape[1])[::-1] / (0.01 * scene.rate))
    mix = (mix - mix.mean(1, keepdims=True)) * fade
    return _PEAK * mix / max(float(np.abs(mix).max()), 1e-9)


def _filtered(mix: np.ndarray, kind: str, hz: float, rate: int) -> np.ndarray:
    return np.stack([v.band(channel, kind, hz, rate) for channel in mix])


def _reverb(mix: np.ndarray, scene: Scene) -> np.ndarray:
    """Convolve with decaying noise, RT60 about 1.6 s, matched to the dry level."""
    size = int(1.2 * scene.rate)
    tail = scene.rng.standard_normal((2, size)) * v.decay(1.2, 0.23, scene.rate)[:size]
    tail = _filtered(tail, "lowpass", 5_000, scene.rate)
    wet = signal.oaconvolve(mix, tail, axes=1)[:, : mix.shape[1]]
    return wet * np.sqrt((mix**2).mean() / max(float((wet**2).mean()), 1e-12))
