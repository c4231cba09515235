"""Description: a clip as one vector, for comparing sounds with each other.

About 130 numbers on spectrum, envelope, modulation, onsets, pitch and motion, all from the mel
bands up to 7.2 kHz of the loudness-normalised mid signal: gain, stereo layout and sample rate (16
kHz and up) hardly move it. The family model, style, creativity and the tone checks read it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from audioforge.utils.spectral_analysis import BANDS, FRAME_HZ, Features

_QUARTERS = (slice(0, 8), slice(8, 22), slice(22, 44), slice(44, 64))
"""Bands up to about 400 Hz, 1.3 kHz, 3.6 kHz and 7.2 kHz."""
_MODULATION_HZ = (0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
MIN_SECONDS = 0.25
"""Shorter clips are not described."""


def describe(features: Features) -> np.ndarray | None:
    """Describe a clip, or return None where it is silent, too short or under 14.4 kHz.

    Returns:
        float64 [D], finite, in the order of the groups below; D is the same for every clip.
    """
    if features.seconds < MIN_SECONDS or features.rate < 14_400 or not features.sound.any():
        return None
    groups = (
        _spectrum(features),
        _envelopes(features),
        _modulation(features),
        _onsets(features),
        _texture(features),
        _motion(features),
        _pitch(features),
    )
    return np.nan_to_num(np.concatenate(groups).astype(np.float64))


def _coarse(db: np.ndarray, width: int) -> np.ndarray:
    return db.reshape(*db.shape[:-1], BANDS // width, width).mean(-1)


def _spectrum(f: Features) -> np.ndarray:
    """Long-term spectrum relative to its own mean level, in 32 bands, dB."""
    total = 10 * np.log10(f.mel.mean(0) + 1e-12)
    total = np.maximum(total, total.max() - 60)
    return _coarse(total - total.mean(), 2)


def _envelopes(f: Features) -> np.ndarray:
    """How each of 16 bands is spread over time: median and quietest tenth below its loudest."""
    bands = _coarse(f.mel_db, 4)
    loud, middle, low = np.percentile(bands, (95, 50, 10), axis=0)
    return np.concatenate([loud - middle, middle - low, bands.std(0)])


def _modulation(f: Features) -> np.ndarray:
    """Energy of the envelopes per modulation octave, in four quarters of the spectrum, dB."""
    rows = []
    for quarter in _QUARTERS:
        envelope = np.sqrt(f.mel[:, quarter].sum(1))
        envelope = envelope / (envelope.mean() + 1e-9) - 1
        power = np.abs(np.fft.rfft(envelope * np.hanning(len(envelope)))) ** 2 / len(envelope)
        hz = np.fft.rfftfreq(len(envelope), 1 / FRAME_HZ)
        edges = np.searchsorted(hz, _MODULATION_HZ)
        rows += [10 * np.log10(power[a:b].sum() / len(envelope) + 1e-6) for a, b in pairwise(edges)]
    return np.array(rows)


def _onsets(f: Features) -> np.ndarray:
    """Strength, sharpness and rate of onsets; rise and fall of each quarter."""
    flux = f.flux_db
    strong = np.percentile(flux, (50, 90, 98))
    peaks = (flux[1:-1] > flux[:-2]) & (flux[1:-1] >= flux[2:]) & (flux[1:-1] > 0.4 * strong[2])
    rate = peaks.sum() / max(len(flux) / FRAME_HZ, 0.1)
    steps = [np.percentile(np.diff(f.mel_db[:, q].mean(1)), (2, 20, 80, 98)) for q in _QUARTERS]
    return np.concatenate([np.log(strong + 0.1), [rate, strong[2] / (strong[0] + 0.3)], *steps])


def _texture(f: Features) -> np.ndarray:
    """Flatness and line share, weighted by level; fine spectral peaks per quarter."""
    weight = f.frame_power * f.active + 1e-12
    weight = np.sqrt(weight / weight.sum())
    weight /= weight.sum()
    flat, line = f.frame_flatness_db, f.line_share
    means = [weight @ flat, weight @ line]
    spreads = [np.sqrt(weight @ (flat - means[0]) ** 2), np.sqrt(weight @ (line - means[1]) ** 2)]
    crests = []
    for low, high in ((60, 400), (400, 1300), (1300, 3600), (3600, 7200)):
        inside = f.between(low, high)
        crests.append(weight @ (10 * np.log10((inside.max(1) + 1e-10) / (inside.mean(1) + 1e-10))))
    fine = 10 * np.log10(f.spectrum[(f.hz > 60) & (f.hz < 7200)] + 1e-12)
    rough = np.abs(np.diff(fine)).mean()
    return np.array([*means, *spreads, *crests, rough])


def _motion(f: Features) -> np.ndarray:
    """Where the centroid and the level go over the clip."""
    share = f.mel / (f.mel.sum(1, keepdims=True) + 1e-12)
    centroid = share @ np.arange(BANDS)
    width = np.sqrt(np.maximum(share @ np.arange(BANDS) ** 2 - centroid**2, 0))
    active = f.active if f.active.sum() > 3 else np.ones(len(centroid), bool)
    centroid, width, level = centroid[active], width[active], f.level_db[active]
    time = np.linspace(-1, 1, len(centroid))
    step = np.diff(centroid)
    energy = f.frame_power
    where = energy @ np.linspace(0, 1, len(energy)) / (energy.sum() + 1e-12)
    spread = np.percentile(f.level_db, 95) - np.percentile(f.level_db, (75, 50, 25, 10))
    return np.array([
        centroid.mean(), centroid.std(), width.mean(), width.std(),
        np.polyfit(time, centroid, 1)[0], np.polyfit(time, level, 1)[0],
        np.percentile(step, 5), np.percentile(step, 95), np.abs(step).mean(),
        where, f.active.mean(), *np.minimum(spread, 60),
    ])  # fmt: skip


def _pitch(f: Features) -> np.ndarray:
    """How concentrated and how steady the pitch classes and the strongest bin are."""
    chroma = f.chroma / (f.chroma.sum(1, keepdims=True) + 1e-9)
    mean = chroma.mean(0)
    entropy = -(mean * np.log(mean + 1e-9)).sum()
    frame_entropy = -(chroma * np.log(chroma + 1e-9)).sum(1).mean()
    change = np.abs(np.diff(chroma, axis=0)).sum(1)
    top = np.log2(f.hz[f.power.argmax(1)].clip(20) / 20)[f.active]
    jumps = np.abs(np.diff(top)) if len(top) > 1 else np.zeros(1)
    glide = ((jumps > 0.005) & (jumps < 0.2)).mean()
    return np.array(
        [
            entropy,
            frame_entropy,
            change.mean() if len(change) else 0,
            change.std() if len(change) else 0,
            top.mean() if len(top) else 0,
            top.std() if len(top) else 0,
            glide,
            (jumps >= 0.2).mean(),
        ]
    )
