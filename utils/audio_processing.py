"""Audio: the one container for sound, and bounded reading and writing of files.

One layout everywhere: float32, [channels, time], full scale 1.0, with its rate. Values are frozen;
every function returns new audio. Files are untrusted: header facts are checked before decoding.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
MAX_CHANNELS = 8
MAX_SECONDS = 600.0


@dataclass(frozen=True)
class Audio:
    """A clip of sound.

    Attributes:
        samples: float32 array, shape [channels, time], full scale 1.0. Read-only.
        sample_rate: in Hz.
    """

    samples: np.ndarray
    sample_rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 2:
            raise ValueError(f"samples must be [channels, time], got shape {self.samples.shape}")
        if not 1 <= self.samples.shape[0] <= MAX_CHANNELS:
            raise ValueError(f"channels must be 1 to {MAX_CHANNELS}, got {self.samples.shape[0]}")
        if not MIN_RATE_HZ <= self.sample_rate <= MAX_RATE_HZ:
            raise ValueError(
                f"sample_rate must be {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, got {self.sample_rate}"
            )
        samples = np.array(self.samples, dtype=np.float32, order="C")
        samples.setflags(write=False)
        object.__setattr__(self, "samples", samples)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.sample_rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.samples.shape[0]


def read_audio(path: str | Path, max_seconds: float = MAX_SECONDS) -> Audio:
    """Decode a sound file, after checking that its header promises something bounded.

    Raises:
        ValueError: unreadable, empty, too long, too many channels or an odd sample rate.
    """
    try:
        facts = sf.info(str(path))
    except (sf.LibsndfileError, OSError) as error:
        raise ValueError(f"{path}: not a readable sound file ({error})") from error
    if (
        not MIN_RATE_HZ <= facts.samplerate <= MAX_RATE_HZ
        or not 1 <= facts.channels <= MAX_CHANNELS
    ):
        raise ValueError(
            f"{path}: need {MIN_RATE_HZ}-{MAX_RATE_HZ} Hz and 1-{MAX_CHANNELS} channels, "
            f"got {facts.samplerate} Hz and {facts.channels}"
        )
    if facts.frames > max_seconds * facts.samplerate:
        raise ValueError(f"{path}: longer than {max_seconds:g} s, cut it first")
    limit = int(max_seconds * facts.samplerate) + 1
    samples, rate = sf.read(str(path), frames=limit, dtype="float32", always_2d=True)
    return Audio(samples.T, rate)


def flac_bytes(audio: Audio) -> bytes:
    """Encode as 16-bit FLAC, deterministically; samples beyond full scale are clipped."""
    return encode(audio, "FLAC", "PCM_16")


def encode(audio: Audio, container: str, subtype: str | None = None) -> bytes:
    """Encode to a libsndfile container ("FLAC", "WAV", "OGG", "MP3") in memory."""
    buffer = io.BytesIO()
    samples = np.clip(audio.samples.T, -1.0, 1.0)
    sf.write(buffer, samples, audio.sample_rate, format=container, subtype=subtype)
    return bytes(buffer.getbuffer())


def pcm16_sha256(audio: Audio) -> str:
    """Return the sha256 of the clip as 16-bit PCM with its rate and layout.

    Hashes the sound rather than a file, so a new FLAC encoder does not change it.
    """
    pcm = np.round(np.clip(audio.samples, -1.0, 1.0) * 32767.0).astype("<i2")
    head = f"{audio.sample_rate}:{pcm.shape[0]}:{pcm.shape[1]}:".encode()
    return hashlib.sha256(head + pcm.tobytes()).hexdigest()


def resample(audio: Audio, sample_rate: int) -> Audio:
    """Convert to another rate with soxr (HQ); the same rate returns the same object."""
    if sample_rate == audio.sample_rate:
        return audio
    samples = soxr.resample(audio.samples.T, audio.sample_rate, sample_rate, quality="HQ")
    return Audio(samples.T, sample_rate)


def to_mono(audio: Audio) -> Audio:
    """Average the channels."""
    return (
        audio
        if audio.channels == 1
        else Audio(audio.samples.mean(0, keepdims=True), audio.sample_rate)
    )


def trim(audio: Audio, seconds: float) -> Audio:
    """Keep the first `seconds`; a shorter clip is returned as it is."""
    return Audio(audio.samples[:, : round(seconds * audio.sample_rate)], audio.sample_rate)
