"""Sound effects and ambiences of the teacher: stereo textures, float64 [2, time]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audioforge.generation import synth_voices as v
from audioforge.generation.synth_scene import Scene


def _noise(s: Scene) -> np.ndarray:
    """Return two channels of white noise sharing half their power, so that mono folds well."""
    both = s.rng.standard_normal(s.mix.shape[1])
    return np.sqrt(0.5) * (both + s.rng.standard_normal(s.mix.shape))


def _drift(s: Scene, every_seconds: float, low: float, high: float) -> np.ndarray:
    """Return a smooth random curve between low and high, shape [time]."""
    count = max(int(s.seconds / every_seconds), 1) + 3
    knots = s.rng.uniform(low, high, count)
    where = np.linspace(0, count - 1, s.mix.shape[1])
    left = where.astype(int).clip(0, count - 2)
    blend = (1 - np.cos(np.pi * (where - left))) / 2
    return knots[left] * (1 - blend) + knots[left + 1] * blend


def _bank(s: Scene, centre_hz: np.ndarray, width: float = 0.5) -> np.ndarray:
    """Filter noise with a moving band: a bank of fixed bands weighted by distance in octaves."""
    noise, out = _noise(s), np.zeros_like(s.mix)
    for hz in np.geomspace(200, min(6_400, 0.4 * s.rate), 11):
        weight = np.exp(-0.5 * (np.log2(centre_hz / hz) / width) ** 2)
        out += (
            np.stack([v.band(c, "bandpass", (hz * 0.78, hz * 1.28), s.rate) for c in noise])
            * weight
        )
    return out


def riser(s: Scene) -> np.ndarray:
    """Noise and a tone sweeping upward, growing louder to the end."""
    x = v.timeline(s.seconds, s.rate)[: s.mix.shape[1]] / s.seconds
    noise = _bank(s, 250 * 24**x, 0.6)
    tone = v.saw(110 * 10**x, x.size, s.rate) * 0.25
    return (noise + tone) * (0.05 + x**1.6)


def impact(s: Scene) -> np.ndarray:
    """A deep boom with a burst of debris and a long tail."""
    t = v.timeline(s.seconds, s.rate)[: s.mix.shape[1]]
    start = s.rng.uniform(0.0, 0.08)
    t = np.maximum(t - start, 0)
    live = (t > 0).astype(float)
    low = s.rng.uniform(34, 46)
    boom = np.sin(2 * np.pi * np.cumsum(low + 90 * np.exp(-t / 0.07)) / s.rate) * np.exp(-t / 0.9)
    debris = np.stack([v.band(c, "lowpass", 1_800, s.rate) for c in _noise(s)]) * np.exp(-t / 0.25)
    crack = _noise(s) * np.exp(-t / 0.012) * 0.6
    return (boom + 0.8 * debris + crack * s.punch) * live


def laser(s: Scene) -> np.ndarray:
    """A run of falling chirps."""
    gap = s.rng.uniform(0.28, 0.55)
    for i in range(int(s.seconds / gap)):
        t = v.timeline(gap * 0.85, s.rate)
        top = s.rng.uniform(2_200, 3_400)
        chirp = np.sin(2 * np.pi * np.cumsum(180 + top * np.exp(-t / 0.06)) / s.rate) * np.exp(
            -t / 0.13
        )
        s.play(i * gap, chirp, 0.8, s.rng.uniform(-0.4, 0.4))
    return s.mix


def siren(s: Scene) -> np.ndarray:
    """A wailing tone, up and down."""
    t = v.timeline(s.seconds, s.rate)[: s.mix.shape[1]]
    rate_hz, centre = s.rng.uniform(0.4, 0.8), s.rng.uniform(750, 950)
    hz = centre * 2 ** (0.55 * np.sin(2 * np.pi * rate_hz * t - np.pi / 2))
    wave = v.band(v.square(hz, t.size, s.rate), "lowpass", 4_000, s.rate)
    return np.stack([wave, wave]) * 0.6


def wind(s: Scene) -> np.ndarray:
    """Slowly moving band noise with gusts."""
    gust = _drift(s, 0.9, 0.15, 1.0)
    return _bank(s, 320 + 500 * gust, 0.35) * gust


def rain(s: Scene) -> np.ndarray:
    """A hiss of high noise with many small drops."""
    hiss = np.stack([v.band(c, "highpass", 2_500, s.rate) for c in _noise(s)]) * 0.16
    for _ in range(int(s.seconds * 55)):
        t = v.timeline(0.02, s.rate)
        drop = np.sin(2 * np.pi * s.rng.uniform(1_200, 4_500) * t) * np.exp(-t / 0.004)
        s.play(
            s.rng.uniform(0, s.seconds - 0.02),
            drop,
            s.rng.uniform(0.15, 0.7),
            s.rng.uniform(-0.8, 0.8),
        )
    return s.mix + hiss


def drone(s: Scene) -> np.ndarray:
    """Low detuned saws under a slowly opening filter."""
    for j, (degree, octave) in enumerate(((0, 1), (4, 1), (0, 2))):
        note = v.band(
            v.detuned(s.rng, s.hz(degree, octave), s.seconds, s.rate, spread=0.004),
            "lowpass",
            s.rng.uniform(350, 700),
            s.rate,
        )
        s.play(0, note * _drift(s, 1.5, 0.5, 1.0)[: note.size], 0.6, 0.5 * (j - 1))
    return s.mix


def waves(s: Scene) -> np.ndarray:
    """Surf: broad noise swelling and falling, darker as it recedes."""
    t = v.timeline(s.seconds, s.rate)[: s.mix.shape[1]]
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * (t / s.rng.uniform(2.6, 3.6) + s.rng.uniform(0, 0.3)))
    noise = _noise(s)
    low = np.stack([v.band(c, "lowpass", 700, s.rate) for c in noise]) * 1.3
    high = np.stack([v.band(c, "bandpass", (1_000, 5_000), s.rate) for c in noise])
    return low * (0.15 + swell) + high * swell**2.5 * 0.8


TEXTURE_RENDERERS: dict[str, Callable[[Scene], np.ndarray]] = {
    f.__name__: f for f in (riser, impact, laser, siren, wind, rain, drone, waves)
}
