"""Audio: the one container for sound, and bounded reading and writing of files.

One layout everywhere: float32, [channels, time], full scale 1.0, with its rate. Values are frozen;
every function returns new audio. Files are untrusted: what the header says is checked before
decoding, and decoding stops at the same bounds where the header lied.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000
MAX_CHANNELS = 8
MAX_SECONDS = 600.0
MAX_SAMPLES = 1 << 26
"""Samples over all channels, 268 MB as float32: 600 s of 48 kHz stereo, 43 s of 192 kHz in 8."""
_BLOCK_SAMPLES, _LEAST_FRAMES = 1 << 20, 1 << 12
_LENGTH_UNKNOWN = 1 << 62
"""What libsndfile says of a FLAC stream without a length in its header is above this, in frames."""


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

    @cached_property
    def sha256(self) -> str:
        """Of the samples as they are, with their rate and layout; see also `pcm16_sha256`."""
        return _sha256(self.samples, self.sample_rate)


def read_audio(path: str | Path, max_seconds: float = MAX_SECONDS) -> Audio:
    """Decode a sound file block by block, within bounds that a header cannot move.

    Args:
        path: WAV, FLAC, Ogg, MP3, AIFF and whatever else libsndfile reads, known by its content.
        max_seconds: of sound; more is refused, whether the header says so or the decoder finds out.

    Returns:
        The whole clip, as it is: also empty, silent or with samples that are not numbers.

    Raises:
        ValueError: unreadable, damaged, too long, too many channels or an odd sample rate; one
            line that begins with the path.
    """
    if Path(path).suffix.lower() == ".raw":
        raise ValueError(f"{path}: raw samples have no header; convert them to WAV first")
    try:
        with _Forward(str(path)) as file:
            frames = _bounded_frames(path, file, max_seconds)
            blocks = _blocks(path, file, frames)
            rate, channels = file.samplerate, file.channels
    except (sf.SoundFileError, OSError) as error:
        raise ValueError(f"{path}: not a readable sound file ({_cause(path, error)})") from error
    samples = np.empty((channels, sum(len(block) for block in blocks)), np.float32)
    end = samples.shape[1]
    while blocks:  # from the end, each block let go once it is copied: at most two copies are held
        block = blocks.pop()
        samples[:, end - len(block) : end] = block.T
        end -= len(block)
    return Audio(samples, rate)


class _Forward(sf.SoundFile):
    """A file read from begin to end: soundfile's seek after each block fails on FLAC streams."""

    def seekable(self) -> bool:
        return False


def _bounded_frames(path: str | Path, file: sf.SoundFile, max_seconds: float) -> int:
    """Return how many frames may be decoded, after checking what the header says.

    Raises:
        ValueError: the header alone is reason enough to refuse.
    """
    rate, channels = file.samplerate, file.channels
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ or not 1 <= channels <= MAX_CHANNELS:
        raise ValueError(
            f"{path}: need {MIN_RATE_HZ}-{MAX_RATE_HZ} Hz and 1-{MAX_CHANNELS} channels, "
            f"got {rate} Hz and {channels}"
        )
    frames = min(int(max_seconds * rate), MAX_SAMPLES // channels)
    if frames < file.frames < _LENGTH_UNKNOWN:
        raise ValueError(_too_long(path, frames, rate, channels))
    return frames


def _blocks(path: str | Path, file: sf.SoundFile, frames: int) -> list[np.ndarray]:
    """Decode at most `frames` frames as float32 blocks [time, channels].

    Raises:
        ValueError: the decoder finds more than that.
    """
    largest = max(_BLOCK_SAMPLES // file.channels, 1)
    blocks: list[np.ndarray] = []
    found = 0
    while found <= frames:
        # libsndfile clears what it does not fill, so a short file is not read into a large block.
        size = min(max(file.frames - found, _LEAST_FRAMES), largest, frames + 1 - found)
        block = file.read(size, dtype="float32", always_2d=True)
        if not len(block):
            return blocks
        blocks.append(block)
        found += len(block)
    raise ValueError(_too_long(path, frames, file.samplerate, file.channels))


def _too_long(path: str | Path, frames: int, rate: int, channels: int) -> str:
    return f"{path}: longer than {frames / rate:g} s of {channels}-channel sound, cut it first"


def _cause(path: str | Path, error: Exception) -> str:
    """Say why in one line without the path, which the message already holds."""
    if Path(path).is_file() and Path(path).stat().st_size == 0:
        return "it is empty"
    words = error.error_string if isinstance(error, sf.LibsndfileError) else str(error)
    return next(iter(words.strip().splitlines()), type(error).__name__)


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
    return _sha256(pcm, audio.sample_rate)


def _sha256(samples: np.ndarray, sample_rate: int) -> str:
    """Return the sha256 of samples [channels, time], their rate and layout."""
    head = f"{sample_rate}:{samples.shape[0]}:{samples.shape[1]}:".encode()
    return hashlib.sha256(head + samples.tobytes()).hexdigest()


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


def repeat(audio: Audio, seconds: float) -> Audio:
    """Play a clip that is not empty over and over for `seconds`; a longer one is cut."""
    count = math.ceil(seconds / audio.seconds)
    return trim(Audio(np.tile(audio.samples, count), audio.sample_rate), seconds)


def trim(audio: Audio, seconds: float) -> Audio:
    """Keep the first `seconds`; a shorter clip is returned as it is."""
    return Audio(audio.samples[:, : round(seconds * audio.sample_rate)], audio.sample_rate)
