"""Signals of the red team: made-up sounds and ways to spoil a clip, all deterministic.

Made sounds are 8 s at 44.1 kHz unless said. Every maker returns an `Audio`, float32
[channels, time] at full scale 1; those that take a clip leave it as it is and make a new one.
`redteam_inputs.py` and `redteam_extra.py` say which of them a reward must refuse.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from audioforge.utils.audio_processing import Audio, resample

RATE = 44_100
SECONDS = 8.0


def timeline(seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """Return sample times in seconds, float64 [time]."""
    return np.arange(round(seconds * rate)) / rate


def stereo(mono: np.ndarray, rate: int = RATE) -> Audio:
    """Put the same signal on both channels."""
    return Audio(np.stack([mono, mono]), rate)


def peaked(samples: np.ndarray, rate: int, peak: float = 0.5) -> Audio:
    """Return samples scaled to a peak; silence stays silence."""
    top = float(np.abs(samples).max(initial=0.0))
    return Audio(samples * (peak / top) if top > 0 else samples, rate)


# Made sounds.


def silence(seconds: float = SECONDS, channels: int = 2) -> Audio:
    """Return digital silence."""
    return Audio(np.zeros((channels, round(seconds * RATE))), RATE)


def sine(
    hz: float = 440.0, level: float = 0.5, seconds: float = SECONDS, rate: int = RATE
) -> Audio:
    """Return a steady tone."""
    return stereo(level * np.sin(2 * np.pi * hz * timeline(seconds, rate)), rate)


def white(
    level: float = 0.2, *, seconds: float = SECONDS, same: bool = True, rate: int = RATE
) -> Audio:
    """Return Gaussian noise of a standard deviation, the same in both channels or independent."""
    noise = level * np.random.default_rng(5).standard_normal((2, round(seconds * rate)))
    return stereo(noise[0], rate) if same else Audio(noise, rate)


def pink() -> Audio:
    """Return noise with 1/f power, peak 0.5."""
    spectrum = np.fft.rfft(np.random.default_rng(6).standard_normal((2, round(SECONDS * RATE))))
    return peaked(np.fft.irfft(spectrum / np.sqrt(np.arange(spectrum.shape[1]).clip(1))), RATE)


def beats(voice: np.ndarray, bpm: float = 120.0, seconds: float = SECONDS) -> np.ndarray:
    """Place a mono sound on every beat, float64 [time]."""
    out = np.zeros(round(seconds * RATE) + voice.size)
    for at in np.arange(0, seconds, 60 / bpm):
        out[round(at * RATE) : round(at * RATE) + voice.size] += voice
    return out[: round(seconds * RATE)]


def click_track(bpm: float = 120.0) -> Audio:
    """Return a short 1 kHz blip on every beat."""
    t = timeline(0.05)
    return stereo(beats(0.7 * np.sin(2 * np.pi * 1000 * t) * np.exp(-t / 0.008), bpm))


def kicks(bpm: float = 120.0) -> Audio:
    """Return a swept sine decay on every beat."""
    t = timeline(0.35)
    sweep_down = np.sin(2 * np.pi * (50 * t - 6 * np.exp(-t / 0.03)))
    return stereo(beats(0.8 * sweep_down * np.exp(-t / 0.1), bpm))


def gated_noise(bpm: float = 120.0) -> Audio:
    """Return white noise, 0.15 s on per beat."""
    return stereo(beats(np.full(round(0.15 * RATE), 1.0), bpm) * white().samples[0])


def tones(hz: np.ndarray, seconds_each: float) -> np.ndarray:
    """Return sines one after another, faded over 5 ms, float64 [time]."""
    t = timeline(seconds_each)
    fade = np.minimum(1, np.minimum(t, t[::-1]) / 0.005)
    return 0.4 * np.concatenate([np.sin(2 * np.pi * f * t) * fade for f in hz])


def beeps() -> Audio:
    """Return random notes of a minor scale on a grid of eighths."""
    hz = 440 * 2 ** (np.random.default_rng(2).choice([0, 2, 3, 5, 7, 8, 10, 12], 32) / 12)
    return stereo(tones(hz, 0.25))


def chromatic() -> Audio:
    """Return a staircase of semitones."""
    return stereo(tones(220 * 2 ** (np.arange(32) / 12), 0.25))


def triad() -> Audio:
    """Return three steady sines, C E G."""
    hz = (261.63, 329.63, 392.0)
    return stereo(0.2 * np.sum([np.sin(2 * np.pi * f * timeline()) for f in hz], axis=0))


def saw_drone() -> Audio:
    """Return a sawtooth per side, half a hertz apart."""
    both = [signal.sawtooth(2 * np.pi * hz * timeline()) for hz in (110.0, 110.5)]
    return Audio(0.4 * np.stack(both), RATE)


def sweep() -> Audio:
    """Return a logarithmic sweep from 20 Hz to 20 kHz."""
    return stereo(0.5 * signal.chirp(timeline(), 20, SECONDS, 20_000, method="logarithmic"))


def burst() -> Audio:
    """Return one 0.2 s tone in near silence."""
    samples = 1e-4 * np.random.default_rng(1).standard_normal(timeline().size)
    samples[RATE : RATE + RATE // 5] += 0.5 * np.sin(2 * np.pi * 1000 * timeline(0.2))
    return stereo(samples)


def impulse() -> Audio:
    """Return a single sample in silence."""
    samples = np.zeros(timeline().size)
    samples[RATE] = 0.99
    return stereo(samples)


def spoken(seconds: float = SECONDS, seed: int = 11) -> np.ndarray:
    """Return a voice-like signal, float64 [time]: pulses through formants that move by syllable.

    Syllables last 0.12 to 0.3 s, pitch falls over each phrase of five, a hiss begins every third.
    """
    rng = np.random.default_rng(seed)
    vowels = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
    pieces, count, made = [], 0, 0.0
    while made < seconds:
        length = rng.uniform(0.12, 0.3)
        t = timeline(length)
        pitch = 150 * (1 - 0.07 * (count % 5)) * (1 + 0.12 * t / length + 0.02 * np.sin(30 * t))
        phase = np.cumsum(pitch) / RATE
        source = np.diff(np.floor(phase), prepend=0) + 0.01 * rng.standard_normal(t.size)
        voice = np.zeros(t.size)
        for hz in vowels[rng.integers(len(vowels))]:
            voice += _resonance(source, hz, 80 + 0.05 * hz)
        voice *= np.sin(np.pi * t / length) ** 0.6
        if count % 3 == 0:
            hiss = signal.sosfilt(_band(3_500, 9_000), rng.standard_normal(round(0.07 * RATE)))
            pieces.append(0.15 * np.abs(voice).max() * np.asarray(hiss))
        pieces.append(voice)
        if count % 5 == 4:
            pieces.append(np.zeros(round(0.2 * RATE)))
        count, made = count + 1, sum(map(len, pieces)) / RATE
    said = np.concatenate(pieces)[: round(seconds * RATE)]
    return 0.5 * said / np.abs(said).max()


def _resonance(source: np.ndarray, hz: float, width_hz: float) -> np.ndarray:
    radius = np.exp(-np.pi * width_hz / RATE)
    poles = [1.0, -2 * radius * np.cos(2 * np.pi * hz / RATE), radius**2]
    return np.asarray(signal.lfilter([1 - radius], poles, source))


def _band(low_hz: float, high_hz: float, rate: int = RATE) -> np.ndarray:
    return np.asarray(signal.butter(4, (low_hz, high_hz), "band", fs=rate, output="sos"))


# Ways to spoil or alter a clip.


def with_dropped(base: Audio, keep: float) -> Audio:
    """Keep the first share of a clip, the rest is digital silence."""
    samples = base.samples.copy()
    samples[:, round(keep * samples.shape[1]) :] = 0
    return Audio(samples, base.sample_rate)


def phases_randomised(base: Audio) -> Audio:
    """Keep the long-term spectrum and nothing else."""
    spectrum = np.fft.rfft(base.samples)
    phase = np.exp(2j * np.pi * np.random.default_rng(8).random(spectrum.shape[1]))
    return peaked(np.fft.irfft(np.abs(spectrum) * phase, base.samples.shape[1]), base.sample_rate)


def limited(base: Audio, gain_db: float) -> Audio:
    """Drive a clip, peak normalised, into a hard limiter."""
    driven = base.samples * 10 ** (gain_db / 20) / np.abs(base.samples).max()
    return Audio(np.clip(driven, -0.99, 0.99), base.sample_rate)


def frame_repeated(base: Audio, seconds: float, start: float = 1.0) -> Audio:
    """Repeat one piece of a clip over its whole length."""
    size = round(seconds * base.sample_rate)
    piece = base.samples[:, round(start * base.sample_rate) :][:, :size]
    return Audio(np.tile(piece, base.samples.shape[1] // size), base.sample_rate)


def spliced(base: Audio, other: Audio, seconds: float = 0.25) -> Audio:
    """Switch between two clips, which must agree in rate and channels."""
    size = round(seconds * base.sample_rate)
    count = min(base.samples.shape[1], other.samples.shape[1]) // size
    pieces = [
        (base if i % 2 else other).samples[:, i * size : (i + 1) * size] for i in range(count)
    ]
    return Audio(np.concatenate(pieces, 1), base.sample_rate)


def shuffled(base: Audio, seconds: float = 1.0) -> Audio:
    """Put the blocks of a clip in another order."""
    size = round(seconds * base.sample_rate)
    blocks = [base.samples[:, i : i + size] for i in range(0, base.samples.shape[1], size)]
    order = np.random.default_rng(9).permutation(len(blocks))
    return Audio(np.concatenate([blocks[i] for i in order], 1), base.sample_rate)


def haas(base: Audio, seconds: float = 0.015) -> Audio:
    """Fake width: the mono mix, delayed on one side."""
    mono = base.samples.mean(0)
    late = np.roll(mono, round(seconds * base.sample_rate))
    return Audio(np.stack([mono, late]), base.sample_rate)


def channels(base: Audio, left: float, right: float) -> Audio:
    """Put the mono mix on both sides with a gain each."""
    mono = base.samples.mean(0)
    return Audio(np.stack([left * mono, right * mono]), base.sample_rate)


def with_tone(base: Audio) -> Audio:
    """Hide a quiet clip under a loud 20 kHz tone; the clip must be at 44.1 kHz or more."""
    tone = 0.7 * np.sin(2 * np.pi * 20_000 * timeline(base.seconds, base.sample_rate))
    return Audio(10 ** (-26 / 20) * base.samples + tone[: base.samples.shape[1]], base.sample_rate)


def with_noise(base: Audio, ratio_db: float) -> Audio:
    """Add white noise, the RMS of which lies `ratio_db` under that of the clip."""
    noise = np.random.default_rng(3).standard_normal(base.samples.shape)
    rms = float(np.sqrt((base.samples.astype(np.float64) ** 2).mean()))
    return Audio(base.samples + rms * 10 ** (-ratio_db / 20) * noise, base.sample_rate)


def resampled_copy(base: Audio, factor: float = 2 ** (1 / 12)) -> Audio:
    """Play a clip faster, so that pitch and tempo rise together."""
    rate = round(base.sample_rate * factor)
    return Audio(resample(Audio(base.samples, rate), base.sample_rate).samples, base.sample_rate)


def crushed(base: Audio, bits: int = 6) -> Audio:
    """Reduce to a number of bits, with dither of one step."""
    step = 2.0 ** (1 - bits)
    dither = np.random.default_rng(4).uniform(-0.5, 0.5, base.samples.shape) * step
    return Audio(np.round((base.samples + dither) / step) * step, base.sample_rate)


def lowpassed(base: Audio, hz: float) -> Audio:
    """Cut everything above a frequency, 36 dB an octave."""
    low_pass = signal.butter(6, hz, fs=base.sample_rate, output="sos")
    return Audio(np.asarray(signal.sosfilt(low_pass, base.samples)), base.sample_rate)


def ramped(base: Audio, gain_db: float = 10.0) -> Audio:
    """Fade slowly in by a number of dB over the whole clip."""
    curve = 10 ** (np.linspace(-gain_db, 0, base.samples.shape[1]) / 20)
    return Audio(base.samples * curve, base.sample_rate)


def broken(base: Audio) -> Audio:
    """Put NaN and inf among the samples."""
    samples = base.samples.copy()
    samples[:, 1000:2000], samples[:, 5000] = np.nan, np.inf
    return Audio(samples, base.sample_rate)


def one_side_nan(base: Audio) -> Audio:
    """Make one channel NaN throughout."""
    samples = np.stack([base.samples[0], np.full_like(base.samples[0], np.nan)])
    return Audio(samples, base.sample_rate)


def talked_over(base: Audio) -> Audio:
    """Mix a voice as loud as the clip on top of it."""
    voice = resample(stereo(spoken(base.seconds)), base.sample_rate).samples[0]
    voice = np.pad(voice, (0, max(base.samples.shape[1] - voice.size, 0)))
    gain = base.samples.std() / max(float(voice.std()), 1e-9)
    return Audio(base.samples + gain * voice[: base.samples.shape[1]], base.sample_rate)
