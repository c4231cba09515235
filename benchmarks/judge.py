"""The held-out judge of the benchmarks: names a clip's family and tells tempi apart.

Trained on fresh teacher clips with librosa's features and scikit-learn's linear discriminant
analysis; no reward uses either. Half of its training clips are damaged with coloured noise and a
low-pass, so that it hears the kind of sound rather than the cleanliness of the recording.
"""

from __future__ import annotations

import librosa
import numpy as np
from scipy import signal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from audioforge.generation.tiny.clips import ClipSpec, draw, render_clip

RATE = 16_000
SEED = 77
"""Of the judge's own clips; the embedded model is trained on another seed."""
_FLOOR_DB = -45.0


def describe(wave: np.ndarray) -> np.ndarray:
    """Describe a mono 16 kHz clip: its spectrum, how it varies and repeats; shape [features].

    Levels are relative to the loudest cell and floored 45 dB below it, so that inaudible noise in
    quiet bands decides nothing.
    """
    mel = librosa.feature.melspectrogram(
        y=wave, sr=RATE, n_fft=1024, hop_length=160, n_mels=40, fmax=7_600
    )
    level = np.maximum(librosa.power_to_db(mel, ref=mel.max() + 1e-9), _FLOOR_DB)
    rise = np.maximum(np.diff(level, axis=1), 0)
    groups = np.stack([part.mean(0) for part in np.array_split(rise, 4)])
    shape = [
        level.mean(1),
        level.std(1),
        np.percentile(level, 90, axis=1),
        rise.mean(1),
        rise.std(1),
    ]
    return np.concatenate([*shape, *(_repetition(g) for g in groups), _envelope(level)])


def _repetition(onsets: np.ndarray) -> np.ndarray:
    """Return the autocorrelation of an onset curve at log-spaced lags from 60 ms to 2 s."""
    lags = np.geomspace(6, 200, 16).astype(int)
    return _autocorrelation(onsets)[lags]


def _autocorrelation(curve: np.ndarray) -> np.ndarray:
    centred = curve - curve.mean()
    spectrum = np.fft.rfft(centred, 2 * centred.size)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: centred.size]
    return correlation / (correlation[0] + 1e-9)


def _envelope(level: np.ndarray) -> np.ndarray:
    """Return the loudness curve in eight equal parts."""
    return np.array([part.mean() for part in np.array_split(level.mean(0), 8)])


def damage(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add coloured noise 0 to 30 dB below the clip, often following its level, and dull it."""
    noise = rng.standard_normal(wave.size)
    if rng.random() < 0.6:
        noise = _lowpass(noise, rng.uniform(300, 5_000))
    if rng.random() < 0.7:
        noise *= np.maximum(_lowpass(np.abs(wave), 30), 0)
    gain = np.sqrt((wave**2).mean() / ((noise**2).mean() + 1e-12))
    worse = wave + noise * gain * 10 ** (-rng.uniform(0, 30) / 20)
    return (_lowpass(worse, rng.uniform(1_500, 7_000)) if rng.random() < 0.5 else worse).astype(
        np.float32
    )


def _lowpass(wave: np.ndarray, hz: float) -> np.ndarray:
    return np.asarray(signal.sosfilt(signal.butter(1, hz, fs=RATE, output="sos"), wave))


class Judge:
    """A family classifier fitted on `count` teacher clips and a damaged copy of each."""

    def __init__(self, count: int) -> None:
        waves, specs = teacher_clips(SEED, count)
        rng = np.random.default_rng(SEED)
        features = [describe(w) for w in (*waves, *(damage(w, rng) for w in waves))]
        families = [str(s.brief.family) for s in specs] * 2
        self._model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        self._model.fit(np.stack(features), families)

    def name(self, waves: list[np.ndarray]) -> np.ndarray:
        """Name the family of each clip."""
        return np.asarray(self._model.predict(np.stack([describe(w) for w in waves])))


def teacher_clips(seed: int, count: int) -> tuple[list[np.ndarray], list[ClipSpec]]:
    """Render clips of the training distribution: waves in [-1, 1] and what they are."""
    specs = [draw(seed, i) for i in range(count)]
    made = [render_clip(s, seed * 999_983 + i) for i, s in enumerate(specs)]
    return [m.astype(np.float32) / 32_767 for m in made], specs


def beats_decoys(wave: np.ndarray, bpm: float, rng: np.random.Generator, decoys: int = 10) -> bool:
    """Say whether the asked tempo fits the onsets better than unrelated tempi.

    A tempo's fit is the mean autocorrelation of librosa's onset strength at one to four beats, best
    within 2 %. Decoys lie in 60-200 BPM, at least 6 % away from the tempo, its double, half, third,
    triple, and 3:2, 4:3 relatives.
    """
    onsets = librosa.onset.onset_strength(y=wave, sr=RATE, hop_length=160)
    correlation = _autocorrelation(onsets)

    def fit(tempo: float) -> float:
        lags = 6_000 / tempo * np.arange(1, 5)
        lags = lags[lags < correlation.size - 3]
        spans = lags * np.linspace(0.98, 1.02, 9)[:, None]
        return float(np.interp(spans, np.arange(correlation.size), correlation).mean(1).max())

    relatives = bpm * np.array([1, 2, 0.5, 3, 1 / 3, 1.5, 2 / 3, 4 / 3, 0.75])
    others: list[float] = []
    while len(others) < decoys:
        tempo = float(rng.uniform(60, 200))
        if np.all(np.abs(tempo / relatives - 1) > 0.06):
            others.append(tempo)
    return fit(bpm) > max(fit(tempo) for tempo in others)
