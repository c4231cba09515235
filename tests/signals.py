"""Signals: the one copy of test sounds; `adversarial.py` collects the kinds a reward must not pay.

Every function is deterministic. Arrays are float32 [channels, time].
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from scipy import signal

from audioforge.data.brief import Brief
from audioforge.generation.synth import render
from audioforge.utils.audio_processing import Audio, read_audio, resample

RATE = 44_100
SECONDS = 8.0
REAL_AUDIO = Path(__file__).parents[1] / ".." / "shared" / "real_audio"


def timeline(seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """Sample times in seconds."""
    return np.arange(round(seconds * rate)) / rate


def stereo(mono: np.ndarray, rate: int = RATE) -> Audio:
    """The same signal on both channels."""
    return Audio(np.stack([mono, mono]), rate)


def silence(seconds: float = SECONDS, channels: int = 2) -> Audio:
    """Digital silence."""
    return Audio(np.zeros((channels, round(seconds * RATE))), RATE)


def sine(
    hz: float = 440.0, level: float = 0.5, seconds: float = SECONDS, rate: int = RATE
) -> Audio:
    """A steady tone."""
    return stereo(level * np.sin(2 * np.pi * hz * timeline(seconds, rate)), rate)


def white(
    level: float = 0.2, *, seconds: float = SECONDS, same: bool = True, rate: int = RATE
) -> Audio:
    """Gaussian noise, the same in both channels or independent."""
    noise = level * np.random.default_rng(5).standard_normal((2, round(seconds * rate)))
    return stereo(noise[0], rate) if same else Audio(noise, rate)


def pink() -> Audio:
    """Noise with 1/f power, peak 0.5."""
    spectrum = np.fft.rfft(np.random.default_rng(6).standard_normal((2, round(SECONDS * RATE))))
    shaped = np.fft.irfft(spectrum / np.sqrt(np.arange(spectrum.shape[1]).clip(1)))
    return Audio(0.5 * shaped / np.abs(shaped).max(), RATE)


def beats(voice: np.ndarray, bpm: float = 120.0, seconds: float = SECONDS) -> np.ndarray:
    """Place a mono sound on every beat."""
    out = np.zeros(round(seconds * RATE) + voice.size)
    for at in np.arange(0, seconds, 60 / bpm):
        out[round(at * RATE) : round(at * RATE) + voice.size] += voice
    return out[: round(seconds * RATE)]


def click_track(bpm: float = 120.0) -> Audio:
    """A short 1 kHz blip on every beat."""
    t = timeline(0.05)
    return stereo(beats(0.7 * np.sin(2 * np.pi * 1000 * t) * np.exp(-t / 0.008), bpm))


def kicks(bpm: float = 120.0) -> Audio:
    """A swept sine decay on every beat."""
    t = timeline(0.35)
    return stereo(
        beats(0.8 * np.sin(2 * np.pi * (50 * t - 6 * np.exp(-t / 0.03))) * np.exp(-t / 0.1), bpm)
    )


def gated_noise(bpm: float = 120.0) -> Audio:
    """White noise, 0.15 s on per beat."""
    return stereo(beats(np.full(round(0.15 * RATE), 1.0), bpm) * white().samples[0])


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


def tones(hz: np.ndarray, seconds_each: float) -> np.ndarray:
    t = timeline(seconds_each)
    fade = np.minimum(1, np.minimum(t, t[::-1]) / 0.005)
    return 0.4 * np.concatenate([np.sin(2 * np.pi * f * t) * fade for f in hz])


def with_dropped(base: Audio, keep: float) -> Audio:
    samples = base.samples.copy()
    samples[:, round(keep * samples.shape[1]) :] = 0
    return Audio(samples, base.sample_rate)


def phases_randomised(base: Audio) -> Audio:
    spectrum = np.fft.rfft(base.samples)
    phase = np.exp(2j * np.pi * np.random.default_rng(8).random(spectrum.shape[1]))
    made = np.fft.irfft(np.abs(spectrum) * phase, base.samples.shape[1])
    return Audio(0.5 * made / np.abs(made).max(), base.sample_rate)


def limited(base: Audio, gain_db: float) -> Audio:
    return Audio(
        np.clip(base.samples * 10 ** (gain_db / 20) / np.abs(base.samples).max(), -0.99, 0.99),
        base.sample_rate,
    )


def frame_repeated(base: Audio, seconds: float, start: float = 1.0) -> Audio:
    size = round(seconds * base.sample_rate)
    piece = base.samples[:, round(start * base.sample_rate) :][:, :size]
    return Audio(np.tile(piece, base.samples.shape[1] // size), base.sample_rate)


def spliced(base: Audio, other: Audio, seconds: float = 0.25) -> Audio:
    size = round(seconds * base.sample_rate)
    count = min(base.samples.shape[1], other.samples.shape[1]) // size
    pieces = [
        (base if i % 2 else other).samples[:, i * size : (i + 1) * size] for i in range(count)
    ]
    return Audio(np.concatenate(pieces, 1), base.sample_rate)


def shuffled(base: Audio, seconds: float = 1.0) -> Audio:
    size = round(seconds * base.sample_rate)
    blocks = [base.samples[:, i : i + size] for i in range(0, base.samples.shape[1], size)]
    order = np.random.default_rng(9).permutation(len(blocks))
    return Audio(np.concatenate([blocks[i] for i in order], 1), base.sample_rate)


def haas(base: Audio, seconds: float = 0.015) -> Audio:
    mono = base.samples.mean(0)
    return Audio(
        np.stack([mono, np.roll(mono, round(seconds * base.sample_rate))]), base.sample_rate
    )


def with_tone(base: Audio) -> Audio:
    tone = 0.7 * np.sin(2 * np.pi * 20_000 * timeline(base.seconds))
    return Audio(10 ** (-26 / 20) * base.samples + tone[: base.samples.shape[1]], base.sample_rate)


def resampled_copy(base: Audio, factor: float = 2 ** (1 / 12)) -> Audio:
    """Play a clip faster, so that pitch and tempo rise together."""
    rate = round(base.sample_rate * factor)
    return Audio(resample(Audio(base.samples, rate), base.sample_rate).samples, base.sample_rate)


def crushed(base: Audio, bits: int = 6) -> Audio:
    step = 2.0 ** (1 - bits)
    dither = np.random.default_rng(4).uniform(-0.5, 0.5, base.samples.shape) * step
    return Audio(np.round((base.samples + dither) / step) * step, base.sample_rate)


def lowpassed(base: Audio, hz: float) -> Audio:
    low_pass = signal.butter(6, hz, fs=base.sample_rate, output="sos")
    return Audio(np.asarray(signal.sosfilt(low_pass, base.samples)), base.sample_rate)


def saw_drone() -> Audio:
    return Audio(
        0.4 * np.stack([signal.sawtooth(2 * np.pi * hz * timeline()) for hz in (110.0, 110.5)]),
        RATE,
    )


def burst() -> Audio:
    samples = 1e-4 * np.random.default_rng(1).standard_normal(timeline().size)
    samples[RATE : RATE + RATE // 5] += 0.5 * np.sin(2 * np.pi * 1000 * timeline(0.2))
    return stereo(samples)


def impulse() -> Audio:
    samples = np.zeros(timeline().size)
    samples[RATE] = 0.99
    return stereo(samples)


def beeps() -> Audio:
    hz = 440 * 2 ** (np.random.default_rng(2).choice([0, 2, 3, 5, 7, 8, 10, 12], 32) / 12)
    return stereo(tones(hz, 0.25))


def chromatic() -> Audio:
    return stereo(tones(220 * 2 ** (np.arange(32) / 12), 0.25))


def triad() -> Audio:
    return stereo(
        0.2
        * np.sum([np.sin(2 * np.pi * hz * timeline()) for hz in (261.63, 329.63, 392.0)], axis=0)
    )


def sweep() -> Audio:
    return stereo(0.5 * signal.chirp(timeline(), 20, SECONDS, 20_000, method="logarithmic"))


def not_numbers() -> Audio:
    samples = mix().samples.copy()
    samples[:, 1000:2000], samples[:, 5000] = np.nan, np.inf
    return Audio(samples, RATE)


def one_channel_nan() -> Audio:
    samples = mix().samples.copy()
    samples[1] = np.nan
    return Audio(samples, RATE)


def channels(base: Audio, left: float, right: float) -> Audio:
    mono = base.samples.mean(0)
    return Audio(np.stack([left * mono, right * mono]), base.sample_rate)


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


def tiled(audio: Audio, seconds: float) -> Audio:
    """Repeat a loop up to a length."""
    count = int(np.ceil(seconds / audio.seconds))
    return Audio(
        np.tile(audio.samples, count)[:, : round(seconds * audio.sample_rate)], audio.sample_rate
    )


def real_music() -> list[Audio]:
    """Loops with a pulse, tiled to 8 s, and music, from the real clips."""
    kept = [
        (category, a)
        for _, category, bpm, a in real_clips()
        if category == "music" or (category == "loop" and bpm)
    ]
    return [
        tiled(a, SECONDS)
        if category == "loop"
        else Audio(a.samples[:, : round(SECONDS * a.sample_rate)], a.sample_rate)
        for category, a in kept
    ]
