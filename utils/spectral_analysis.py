"""Features: what is measured of a clip, once, and shared by every reward.

Level and faults are read from the clip as it is; everything else from one copy without DC, at one
loudness, through one short-time Fourier transform of the mid and side signals. Each measurement is
a `cached_property`: computed when first asked for, then kept.

Frames come 100 times a second and last about 46 ms at every sample rate, so that a 16 kHz mono clip
and a 44.1 kHz stereo clip of one sound give nearly the same numbers. Bands end at 7 200 Hz for the
same reason; what lies above is measured relative to the clip's own Nyquist frequency.

Conventions: power spectra are per frame, rows are frames; dB are 10 log10 of power.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from audioforge.utils.audio_processing import Audio, resample
from audioforge.utils.loudness import gated_lufs, hop_energy
from audioforge.utils.spectral_shapes import BANDS as BANDS
from audioforge.utils.spectral_shapes import (
    HIGH_HZ,
    LOW_HZ,
    bin_hz,
    bins_between,
    chroma_weights,
    flatness_db,
    line_share,
    mel_weights,
)

FRAME_HZ = 100
"""Frames per second."""
FRAME_SECONDS = 2048 / 44_100
TARGET_LUFS = -20.0
"""Loudness of the copy that is analysed."""
MAX_RATE_HZ = 48_000
MAX_SECONDS = 190.0
SILENCE_LUFS = -70.0
_TINY = 1e-12
T = TypeVar("T")


class Features:
    """Measurements of one clip, computed when asked for.

    Args:
        audio: any clip, also empty, silent or with NaN samples. More than two channels are folded
            to two, more than 48 kHz are reduced to 44.1 kHz, and only the first 190 s are read.
    """

    def __init__(self, audio: Audio) -> None:
        self.audio, self.seconds = audio, audio.seconds
        self._kept: dict[Callable[[Features], Any], Any] = {}

    def once(self, measure: Callable[[Features], T]) -> T:
        """Return `measure(self)`, computed when first asked for: a measurement of another file."""
        if measure not in self._kept:
            self._kept[measure] = measure(self)
        return self._kept[measure]

    @cached_property
    def finite_share(self) -> float:
        """Share of samples that are numbers; 0 for an empty clip."""
        return float(np.isfinite(self.audio.samples).mean()) if self.audio.samples.size else 0.0

    @cached_property
    def clean(self) -> Audio:
        """The clip with everything unreadable replaced by 0, at most stereo, at most 48 kHz."""
        samples = self.audio.samples[:, : int(MAX_SECONDS * self.audio.sample_rate)]
        if self.finite_share < 1:
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        level = np.abs(samples)
        if level.max(initial=0.0) > 1e3:
            samples = np.clip(samples, -1e3, 1e3)
        if ((level < 1e-20) & (level > 0)).any():  # subnormal samples cost a hundredfold
            samples = np.where(level < 1e-20, np.float32(0), samples)
        if samples.shape[0] > 2:
            samples = np.stack([samples[0::2].mean(0), samples[1::2].mean(0)])
        audio = Audio(samples, self.audio.sample_rate)
        return audio if audio.sample_rate <= MAX_RATE_HZ else resample(audio, 44_100)

    @property
    def rate(self) -> int:
        """Sample rate of the analysed copy, in Hz."""
        return self.clean.sample_rate

    @cached_property
    def dc(self) -> float:
        """Largest absolute channel mean, full scale 1."""
        return float(np.abs(self._means).max(initial=0.0))

    @cached_property
    def _means(self) -> np.ndarray:
        samples = self.clean.samples
        return samples.mean(1, dtype=np.float64) if samples.size else np.zeros(len(samples))

    @cached_property
    def centred(self) -> np.ndarray:
        """The clip without DC, float32 [channels, time]."""
        return self.clean.samples - self._means[:, None].astype(np.float32)

    @cached_property
    def peak(self) -> float:
        """Largest absolute sample of the clip as it is, full scale 1."""
        return float(self.envelope.max(initial=0.0))

    @cached_property
    def envelope(self) -> np.ndarray:
        """Largest absolute value over the channels of the clip as it is, float32 [time]."""
        return np.abs(self.clean.samples).max(0, initial=0.0)

    @cached_property
    def lufs(self) -> float:
        """Integrated loudness in LUFS; -inf for silence. Clips under 0.4 s are one block."""
        return gated_lufs(*self.hop_energy)

    @cached_property
    def hop_energy(self) -> tuple[np.ndarray, int]:
        """K-weighted energy of each tenth of a second, [hops], and the samples in one."""
        return hop_energy(self.centred, self.rate)

    @cached_property
    def sound(self) -> np.ndarray:
        """The analysed copy at TARGET_LUFS, float32 [channels, time]; zeros for silence."""
        if self.lufs < SILENCE_LUFS - 40:
            return np.zeros_like(self.centred)
        return self.centred * target_gain(self.lufs)

    @cached_property
    def mid(self) -> np.ndarray:
        """Average of the channels of the analysed copy, float32 [time]."""
        return mid_of(self.sound)

    @cached_property
    def side(self) -> np.ndarray | None:
        """Half the channel difference, or None for mono."""
        return (self.sound[0] - self.sound[1]) / 2 if self.sound.shape[0] == 2 else None

    @cached_property
    def power(self) -> np.ndarray:
        """Power spectra of the mid signal, float32 [frames, bins]."""
        return stft_power(self.mid, self.rate)

    @cached_property
    def hz(self) -> np.ndarray:
        """Frequency of each bin."""
        return bin_hz(self.rate, self.power.shape[1])

    @cached_property
    def mel(self) -> np.ndarray:
        """Power in 64 mel bands between 40 and 7 200 Hz, float32 [frames, 64]."""
        weights = mel_weights(self.rate, self.power.shape[1])
        return self.power[:, : len(weights)] @ weights

    @cached_property
    def mel_db(self) -> np.ndarray:
        """The mel bands in dB, not below 70 dB under the loudest cell."""
        top = max(float(self.mel.max(initial=0.0)), _TINY)
        return 10 * np.log10(np.maximum(self.mel, top * 1e-7))

    @cached_property
    def frame_power(self) -> np.ndarray:
        """Power of each frame, [frames]."""
        return self.power.sum(1)

    @cached_property
    def level_db(self) -> np.ndarray:
        """Level of each frame in dB, [frames]; -120 for digital silence."""
        return 10 * np.log10(self.frame_power + _TINY)

    @cached_property
    def active(self) -> np.ndarray:
        """Which frames lie less than 50 dB under the loudest one, bool [frames]."""
        return (self.level_db > self.level_db.max() - 50) & (self.level_db > -100)

    @cached_property
    def flux_db(self) -> np.ndarray:
        """The onset curve: mean rise over the mel bands within two frames, in dB, [frames]."""
        rise = np.maximum(self.mel_db[2:] - self.mel_db[:-2], 0).mean(1)
        return np.concatenate([np.zeros(min(2, len(self.mel_db))), rise])

    @cached_property
    def spectrum(self) -> np.ndarray:
        """Mean power spectrum over the clip, [bins]."""
        total = np.ones(len(self.power), np.float32) @ self.power
        return total.astype(np.float64) / len(self.power)

    @cached_property
    def frame_flatness_db(self) -> np.ndarray:
        """Flatness of each frame up to 7.2 kHz, in dB: 0 for white noise's mean, -60 for a sine."""
        return flatness_db(self.between(LOW_HZ, HIGH_HZ))

    def between(self, low_hz: float, high_hz: float) -> np.ndarray:
        """The part of `power` in the bins from `low_hz` to below `high_hz`: a view."""
        return self.power[:, bins_between(self.hz, low_hz, high_hz)]

    @cached_property
    def line_share(self) -> np.ndarray:
        """Share of each frame's power within two bins of its strongest bin, [frames]."""
        return line_share(self.power, self.frame_power)

    @cached_property
    def long_power(self) -> np.ndarray:
        """Power spectra of windows of 0.19 s every 0.1 s, float32 [windows, bins]."""
        size, hop = long_layout(self.rate)
        return stft_power(self.mid, self.rate, size=size, hop=hop)

    @cached_property
    def chroma(self) -> np.ndarray:
        """Energy per pitch class of `long_power`, [windows, 12], C first."""
        weights = chroma_weights(self.rate, self.long_power.shape[1])
        return np.sqrt(self.long_power[:, : len(weights)]) @ weights

    @cached_property
    def side_share(self) -> float:
        """Energy of the side signal over mid plus side, 0 for mono, 0.5 for unrelated channels."""
        if self.side is None or not self.side.size:
            return 0.0
        side, mid = float((self.side**2).mean()), float((self.mid**2).mean())
        return side / (side + mid + _TINY)

    @cached_property
    def balance_db(self) -> float:
        """Level difference between the channels in dB, absolute; 0 for mono."""
        if self.side is None or not self.side.size:
            return 0.0
        left, right = np.square(self.sound).mean(1, dtype=np.float64) + _TINY
        return float(abs(10 * np.log10(left / right)))


def target_gain(lufs: float) -> np.float32:
    """Return the factor that brings a clip of this loudness to TARGET_LUFS."""
    return np.float32(10 ** ((TARGET_LUFS - lufs) / 20))


def mid_of(sound: Any) -> Any:
    """Return the average of one or two channels; array or tensor [channels, ...] to [...]."""
    return sound[0] if len(sound) == 1 else (sound[0] + sound[1]) / 2


def fast_length(samples: float) -> int:
    """Return the next length from `samples` on that transforms fast."""
    return int(fft.next_fast_len(round(samples), real=True) or 1)


def spectra(rows: np.ndarray, size: int | None = None) -> NDArray[np.complex64]:
    """Return the Fourier transform of float32 rows, padded or cut to `size`, [..., bins]."""
    return np.asarray(fft.rfft(rows, size), np.complex64)


def hann(size: int) -> np.ndarray:
    """Return a periodic Hann window, float32 [size]; its sum is size / 2."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def analysis_window(size: int) -> np.ndarray:
    """Return the window of `stft_power`, float32 [size]: Hann, scaled to sum to 1."""
    return hann(size) * np.float32(2 / size)


def frame_layout(rate: int) -> tuple[int, int]:
    """Return samples per frame and between frames of `Features.power`."""
    return fast_length(FRAME_SECONDS * rate), max(round(rate / FRAME_HZ), 1)


def long_layout(rate: int) -> tuple[int, int]:
    """Return samples per window and between windows of `Features.long_power`."""
    return fast_length(0.186 * rate), rate // 10


def stft_power(
    mono: np.ndarray, rate: int, *, size: int | None = None, hop: int | None = None
) -> np.ndarray:
    """Return power spectra of Hann frames centred every 10 ms (or `hop` samples).

    Args:
        mono: float32 [time], padded with silence at both ends.
        rate: in Hz.
        size: samples per frame; about 46 ms if not given.
        hop: samples between frames.

    Returns:
        float32 [frames, size // 2 + 1], at least one frame; a full-scale sine has power near 1/4.
    """
    usual = frame_layout(rate)
    size, hop = size or usual[0], hop or usual[1]
    padded = np.pad(mono, size // 2 + 1)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    window = analysis_window(size)
    out = np.empty((len(frames), size // 2 + 1), np.float32)
    for start in range(0, len(frames), 256):
        found = spectra(frames[start : start + 256] * window)
        out[start : start + 256] = 2 * (found.real**2 + found.imag**2)
    return out
