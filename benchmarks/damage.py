"""Damage: fourteen faults and codecs, each at three strengths, the same bytes every time.

Each function takes float64 [channels, time] peaking at -6 dBFS, its rate in Hz and a strength from
STRENGTHS, and returns new samples. Strengths and kinds follow the table of measured faults that
`faults.py` compares with.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
import soundfile as sf
from scipy import signal

from audioforge.utils.audio_processing import Audio

PEAK = 10 ** (-6 / 20)
"""Peak of a clip before it is damaged, full scale 1."""
STRENGTHS: dict[str, tuple[float, float, float]] = {
    "clipping": (3, 9, 15),  # dB above the peak at which the tops are cut
    "clicks": (2, 8, 30),  # single samples half as high as the clip's peak
    "dropouts": (0.010, 0.040, 0.150),  # seconds of each of four holes
    "dc": (0.005, 0.03, 0.1),  # of full scale
    "low_pass": (15_000, 8_000, 4_000),  # Hz
    "sample_hold": (2, 4, 8),  # samples
    "hum": (-60, -45, -30),  # dBFS, RMS, 50 Hz and overtones
    "noise": (40, 25, 10),  # dB of signal over white noise
    "bit_crush": (12, 8, 5),  # bits
    "stutter": (0.200, 0.050, 0.020),  # seconds of the repeated piece
    "mono_collapse": (0.1, 0.03, 0.0),  # of the side signal's amplitude that is left
    "phase_inversion": (0.3, 0.6, 1.0),  # of the inverted right channel's amplitude
    "tail_silence": (0.25, 0.5, 0.75),  # of the clip
    "phase_smear": (0.1, 0.3, 1.0),  # of a random turn of every short-time phase
    "mp3": (0.5, 0.7, 0.9),  # libsndfile's compression level: about 160, 112, 56 kbit/s
    "vorbis": (0.5, 0.7, 0.9),  # the same, for Ogg Vorbis
}
STEREO_ONLY = frozenset({"mono_collapse"})
"""Faults that only a clip with two different channels can have."""
_Damage = Callable[[np.ndarray, int, float, np.random.Generator], np.ndarray]


def prepared(audio: Audio, seconds: float = 8.0) -> Audio:
    """Cut a clip to its first `seconds` and bring its peak to PEAK."""
    samples = audio.samples[:, : round(seconds * audio.sample_rate)]
    return Audio(samples * (PEAK / max(float(np.abs(samples).max()), 1e-9)), audio.sample_rate)


def is_stereo(audio: Audio) -> bool:
    """Return whether a clip has two channels that differ."""
    return audio.channels == 2 and not np.array_equal(*audio.samples)


def damaged(audio: Audio, fault: str, strength: int, seed: str = "") -> Audio:
    """Return a `prepared` clip with one fault.

    Args:
        audio: the clip.
        fault: a name in STRENGTHS.
        strength: 0 mild, 1 medium, 2 strong.
        seed: such as the clip's name; with it the place of the damage, the same at every strength.
    """
    rng = np.random.default_rng(zlib.crc32(f"{fault} {seed}".encode()))
    samples = _DAMAGES[fault](
        audio.samples.astype(np.float64), audio.sample_rate, STRENGTHS[fault][strength], rng
    )
    return Audio(samples, audio.sample_rate)


def _clipping(x: np.ndarray, rate: int, gain_db: float, rng: np.random.Generator) -> np.ndarray:
    peak = np.abs(x).max()
    return np.clip(x * 10 ** (gain_db / 20), -peak, peak)


def _clicks(x: np.ndarray, rate: int, count: float, rng: np.random.Generator) -> np.ndarray:
    at, signs = rng.integers(100, x.shape[1] - 100, 30), rng.choice([-1, 1], 30)
    hurt = x.copy()
    hurt[:, at[: int(count)]] += 0.5 * PEAK * signs[: int(count)]
    return hurt


def _dropouts(x: np.ndarray, rate: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Zero four stretches that begin where it is not silent, one in each quarter of the sound."""
    block = round(0.15 * rate)
    loud = np.abs(x).max(0)[: x.shape[1] // block * block].reshape(-1, block).max(1)
    hurt = x.copy()
    for quarter in np.array_split(np.flatnonzero(loud[:-1] > 0.03 * loud.max()), 4):
        if quarter.size:
            start = int(rng.choice(quarter)) * block + int(rng.integers(block))
            hurt[:, start : start + round(seconds * rate)] = 0
    return hurt


def _dc(x: np.ndarray, rate: int, offset: float, rng: np.random.Generator) -> np.ndarray:
    return x + offset


def _low_pass(x: np.ndarray, rate: int, hz: float, rng: np.random.Generator) -> np.ndarray:
    return signal.sosfiltfilt(signal.butter(12, hz, fs=rate, output="sos"), x)


def _sample_hold(x: np.ndarray, rate: int, factor: float, rng: np.random.Generator) -> np.ndarray:
    return np.repeat(x[:, :: int(factor)], int(factor), axis=1)[:, : x.shape[1]]


def _hum(x: np.ndarray, rate: int, level_dbfs: float, rng: np.random.Generator) -> np.ndarray:
    t = np.arange(x.shape[1]) / rate
    overtones = np.array([1.0, 0.6, 0.5, 0.3, 0.25, 0.2, 0.15])
    phases = rng.uniform(0, 2 * np.pi, overtones.size)
    hum = sum(a * np.sin(2 * np.pi * 50 * (k + 1) * t + phases[k]) for k, a in enumerate(overtones))
    return x + 10 ** (level_dbfs / 20) * hum / np.sqrt(np.mean(hum**2))


def _noise(x: np.ndarray, rate: int, snr_db: float, rng: np.random.Generator) -> np.ndarray:
    return x + np.sqrt((x**2).mean()) * 10 ** (-snr_db / 20) * rng.standard_normal(x.shape)


def _bit_crush(x: np.ndarray, rate: int, bits: float, rng: np.random.Generator) -> np.ndarray:
    step = 2.0 ** (1 - bits)
    return np.round(x / step) * step


def _stutter(x: np.ndarray, rate: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Repeat one loud piece for a quarter of the clip, at least one second."""
    size, span = round(seconds * rate), max(x.shape[1] // 4, rate)
    around = np.ones(round(0.05 * rate))
    energy = np.convolve((x**2).sum(0), around, "same")[: max(x.shape[1] - span, 1)]
    start = int(rng.choice(np.flatnonzero(energy >= np.percentile(energy, 50))))
    hurt = x.copy()
    stop = min(start + span, x.shape[1])
    hurt[:, start:stop] = np.tile(x[:, start : start + size], span // size + 1)[:, : stop - start]
    return hurt


def _mono_collapse(x: np.ndarray, rate: int, left: float, rng: np.random.Generator) -> np.ndarray:
    mid = x.mean(0)
    return mid + left * (x - mid)


def _phase_inversion(x: np.ndarray, rate: int, part: float, rng: np.random.Generator) -> np.ndarray:
    return np.stack([x[0], -part * x[-1]])


def _tail_silence(x: np.ndarray, rate: int, share: float, rng: np.random.Generator) -> np.ndarray:
    hurt = x.copy()
    hurt[:, round((1 - share) * x.shape[1]) :] = 0
    return hurt


def _phase_smear(x: np.ndarray, rate: int, turn: float, rng: np.random.Generator) -> np.ndarray:
    _, _, spectra = signal.stft(x, nperseg=2048, noverlap=1536)
    spectra *= np.exp(1j * np.pi * turn * rng.uniform(-1, 1, spectra.shape))
    return signal.istft(spectra, nperseg=2048, noverlap=1536)[1][:, : x.shape[1]]


def _codec(container: str, subtype: str) -> _Damage:
    def damage(x: np.ndarray, rate: int, level: float, rng: np.random.Generator) -> np.ndarray:
        held = io.BytesIO()
        kind = {"bitrate_mode": "CONSTANT"} if container == "MP3" else {}
        sf.write(held, x.T, rate, subtype, format=container, compression_level=level, **kind)  # type: ignore[call-overload]
        held.seek(0)
        return sf.read(held, always_2d=True)[0].T[:, : x.shape[1]]

    return damage


_DAMAGES: dict[str, _Damage] = {
    "clipping": _clipping,
    "clicks": _clicks,
    "dropouts": _dropouts,
    "dc": _dc,
    "low_pass": _low_pass,
    "sample_hold": _sample_hold,
    "hum": _hum,
    "noise": _noise,
    "bit_crush": _bit_crush,
    "stutter": _stutter,
    "mono_collapse": _mono_collapse,
    "phase_inversion": _phase_inversion,
    "tail_silence": _tail_silence,
    "phase_smear": _phase_smear,
    "mp3": _codec("MP3", "MPEG_LAYER_III"),
    "vorbis": _codec("OGG", "VORBIS"),
}
