"""What a report shows and plays of a clip: an MP3 and a spectrogram picture, both small.

MP3, because every browser plays it, 16 kHz mono included (MPEG-2 Layer III). The picture is a mel
spectrogram, 80 dB deep below the clip's own loudest band: a quiet clip is as readable as a loud.
"""

from __future__ import annotations

import base64
import io
from functools import lru_cache

import numpy as np

from audioforge.utils.audio_processing import Audio, encode, resample, to_mono

MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates MP3 knows, in Hz."""
PICTURE_SIZE = (480, 112)
"""Width and height in pixels."""
LOW_HZ, HIGH_HZ = 40.0, 16_000.0
_DEPTH_DB = 80.0
_WINDOW_SECONDS = 0.046
_QUIETEST = 1e-7
"""Power shown as loudest at least, 70 dB below a full-scale sine: silence stays dark."""


def mp3_bytes(audio: Audio) -> bytes:
    """Encode as MP3; other rates become 44.1 kHz, more than two channels mono."""
    if audio.sample_rate not in MP3_RATES:
        audio = resample(audio, 44_100)
    if audio.channels > 2:
        audio = to_mono(audio)
    return encode(audio, "MP3")


def spectrogram_bytes(audio: Audio) -> bytes:
    """Draw the mel spectrogram as WebP, low notes at the bottom, PICTURE_SIZE pixels."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(spectrogram_pixels(audio)).save(buffer, "WEBP", quality=70, method=4)
    return buffer.getvalue()


def spectrogram_pixels(audio: Audio) -> np.ndarray:
    """Draw it as pixels, uint8 [height, width, 3]."""
    from matplotlib import colormaps
    from PIL import Image

    shade = np.clip(mel_db(audio) / _DEPTH_DB + 1.0, 0.0, 1.0)
    colours = (colormaps["magma"](shade[::-1])[..., :3] * 255).astype(np.uint8)
    return np.array(Image.fromarray(colours).resize(PICTURE_SIZE, Image.Resampling.BILINEAR))


def top_hz(audio: Audio) -> float:
    """Return the highest frequency the picture shows, in Hz."""
    return min(HIGH_HZ, audio.sample_rate / 2)


def mel_db(audio: Audio) -> np.ndarray:
    """Return power per mel band and frame in dB below the loudest, shape [bands, frames]."""
    signal = to_mono(audio).samples[0].astype(np.float64)
    size = 1 << round(np.log2(_WINDOW_SECONDS * audio.sample_rate))
    width, bands = PICTURE_SIZE
    signal = np.pad(signal, size // 2, mode="reflect" if len(signal) > size else "constant")
    # As many frames as the picture has columns, however long the clip is.
    starts = np.linspace(0, len(signal) - size, width).astype(int)
    window = np.hanning(size)
    bank = _mel_bank(size, audio.sample_rate, bands)
    columns = [
        bank @ np.abs(np.fft.rfft(window * signal[start : start + size])) ** 2 for start in starts
    ]
    power = np.stack(columns, axis=1) * (2.0 / window.sum()) ** 2
    loudest = max(float(power.max()), _QUIETEST)
    return 10.0 * np.log10(np.maximum(power / loudest, 10 ** (-_DEPTH_DB / 10)))


def data_uri(content: bytes, media_type: str) -> str:
    """Return content as a data: URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


@lru_cache(maxsize=4)
def _mel_bank(size: int, sample_rate: int, bands: int) -> np.ndarray:
    """Return mel triangles (O'Shaughnessy), unit area, shape [bands, size // 2 + 1]."""
    top = min(HIGH_HZ, sample_rate / 2)
    mels = np.linspace(_mel(LOW_HZ), _mel(top), bands + 2)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    hz = np.fft.rfftfreq(size, 1.0 / sample_rate)
    bin_hz = sample_rate / size
    # Narrow bands at the bottom are widened to one bin, or they would stay empty.
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rise = np.maximum(centre - low, bin_hz)[:, None]
    fall = np.maximum(high - centre, bin_hz)[:, None]
    distance = hz[None, :] - centre[:, None]
    bank = np.clip(1.0 - np.where(distance < 0, -distance / rise, distance / fall), 0.0, None)
    return bank / np.maximum(bank.sum(axis=1, keepdims=True), 1e-9)


def _mel(hz: float) -> float:
    return 2595.0 * float(np.log10(1.0 + hz / 700.0))
