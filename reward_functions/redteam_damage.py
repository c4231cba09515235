"""Damage of the red team: more ways to spoil a clip and to fake one, for `redteam_extra.py`.

Same conventions as `redteam_signals.py`: deterministic, `Audio` in and out, made sounds are 8 s.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from audioforge.reward_functions.redteam_signals import (
    RATE,
    SECONDS,
    beats,
    peaked,
    spoken,
    stereo,
    timeline,
    tones,
)
from audioforge.utils.audio_processing import Audio

_SCALE = np.array([0, 3, 5, 7, 10, 12, 15, 17])
"""Minor pentatonic, in semitones."""


def _noise(seed: int, size: int = round(SECONDS * RATE)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(size)


def _notes(count: int, seed: int) -> np.ndarray:
    return 220 * 2 ** (np.random.default_rng(seed).choice(_SCALE, count) / 12)


# Made sounds.


def breathing_noise(hz: float = 3.0) -> Audio:
    """Return white noise whose level follows a sine."""
    return peaked((0.55 + 0.45 * np.sin(2 * np.pi * hz * timeline())) * _noise(21)[None], RATE)


def combed_noise() -> Audio:
    """Return noise through a comb whose pitch changes every half second."""
    pieces = []
    for i, hz in enumerate(_notes(16, 22)):
        feedback = np.zeros(round(RATE / hz) + 1)
        feedback[0], feedback[-1] = 1.0, -0.97
        pieces.append(signal.lfilter([1.0], feedback, _noise(30 + i, RATE // 2)))
    return stereo(peaked(np.concatenate(pieces)[None], RATE).samples[0])


def pitched_noise() -> Audio:
    """Return bands of noise, a third of a semitone wide, on notes of a scale."""
    pieces = []
    for i, hz in enumerate(_notes(16, 23)):
        narrow = signal.butter(2, (hz * 0.99, hz * 1.01), "band", fs=RATE, output="sos")
        pieces.append(np.asarray(signal.sosfilt(narrow, _noise(50 + i, RATE // 2))))
    return stereo(peaked(np.concatenate(pieces)[None], RATE).samples[0])


def noise_kit(bpm: float = 110.0) -> Audio:
    """Return octave bands of noise, gated in turn on the eighths of a beat."""
    step = round(30 / bpm * RATE)
    out = np.zeros(round(SECONDS * RATE))
    for i, at in enumerate(range(0, out.size - step, step)):
        low = 100 * 2 ** (i * 5 % 7)
        octave = signal.butter(4, (low, 2 * low), "band", fs=RATE, output="sos")
        burst = np.asarray(signal.sosfilt(octave, _noise(70 + i, step // 2)))
        out[at : at + step // 2] = burst / burst.std()
    return stereo(peaked(out[None], RATE).samples[0])


def vibrato_sines() -> Audio:
    """Return a held chord of sines with vibrato."""
    t = timeline()
    wobble = 0.01 * np.sin(2 * np.pi * 5.5 * t) / (2 * np.pi * 5.5)
    chord = sum(np.sin(2 * np.pi * hz * (t + wobble)) for hz in (220, 277.2, 329.6))
    return stereo(0.2 * np.asarray(chord))


def random_bells() -> Audio:
    """Return FM bells of random pitch at random times."""
    rng = np.random.default_rng(24)
    out = np.zeros(round((SECONDS + 2) * RATE))
    t = timeline(1.5)
    for at in rng.uniform(0, SECONDS, 40):
        hz = rng.uniform(150, 2_000)
        index = 4 * np.exp(-t / 0.4)
        bell = np.sin(2 * np.pi * hz * t + index * np.sin(2 * np.pi * 1.41 * hz * t))
        start = round(at * RATE)
        out[start : start + t.size] += np.exp(-t / 0.5) * bell
    return stereo(peaked(out[None, : round(SECONDS * RATE)], RATE).samples[0])


def modem() -> Audio:
    """Return random bits as two tones, 300 a second."""
    bits = np.random.default_rng(25).integers(0, 2, round(SECONDS * 300))
    hz = np.repeat(np.where(bits, 2_100.0, 1_300.0), RATE // 300)
    return stereo(0.4 * np.sin(2 * np.pi * np.cumsum(hz) / RATE))


def shepard() -> Audio:
    """Return tones that rise for ever, an octave every 4 s, under a bell of level."""
    t, out = timeline(), np.zeros(round(SECONDS * RATE))
    for k in range(8):
        octave = (k + t / 4) % 8
        out += np.exp(-((octave - 4) ** 2) / 3) * np.sin(
            2 * np.pi * np.cumsum(30 * 2**octave) / RATE
        )
    return stereo(peaked(out[None], RATE).samples[0])


def geiger() -> Audio:
    """Return clicks at random times, 25 a second."""
    rng = np.random.default_rng(26)
    out = np.zeros(round(SECONDS * RATE))
    out[rng.integers(0, out.size, 200)] = rng.uniform(0.2, 1, 200)
    return stereo(np.asarray(signal.lfilter([1.0], [1, -0.7], out)))


def arithmetic() -> Audio:
    """Return eight-bit sound from an integer formula of the time, as in "bytebeat"."""
    t = (timeline() * 8_000).astype(np.int64)
    wave = (t * (t >> 5 | t >> 8)) & 255
    return stereo(0.4 * (wave / 127.5 - 1))


def dial_tones() -> Audio:
    """Return pairs of telephone tones on a grid of sixteenths with short gaps."""
    rng = np.random.default_rng(27)
    low, high = rng.choice([697.0, 770, 852, 941], 64), rng.choice([1209.0, 1336, 1477], 64)
    return stereo(tones(low, SECONDS / 64) + tones(high, SECONDS / 64))


def one_syllable() -> Audio:
    """Return 0.35 s of a voice-like sound, looped."""
    return stereo(np.tile(spoken(0.35), 23)[: round(SECONDS * RATE)])


def one_sentence() -> Audio:
    """Return 2 s of a voice-like sound, looped."""
    return stereo(np.tile(spoken(2.0), 4))


def slow_voice() -> Audio:
    """Return a voice-like sound, stretched to four times its length."""
    return stretched(stereo(spoken(2.0)), 4.0)


def talking() -> Audio:
    """Return 8 s of a voice-like sound."""
    return stereo(spoken())


def engine() -> Audio:
    """Return a pulse train of slowly changing rate through a resonance, with hiss."""
    rate = 40 + 12 * np.sin(2 * np.pi * 0.2 * timeline())
    pulses = np.diff(np.floor(np.cumsum(rate) / RATE), prepend=0) + 0.02 * _noise(28)
    body = signal.butter(2, (60, 900), "band", fs=RATE, output="sos")
    return stereo(peaked(np.asarray(signal.sosfilt(body, pulses))[None], RATE).samples[0])


def struck_noise(bpm: float = 125.0) -> Audio:
    """Return one decaying burst of noise on every half beat."""
    t = timeline(0.2)
    return stereo(0.4 * beats(_noise(29, t.size) * np.exp(-t / 0.03), 2 * bpm))


# Ways to spoil a clip.


def _blocks(base: Audio, seconds: float) -> list[np.ndarray]:
    size = round(seconds * base.sample_rate)
    return [base.samples[:, i : i + size] for i in range(0, base.samples.shape[1], size)]


def ring_modulated(base: Audio, hz: float = 487.0) -> Audio:
    """Multiply by a sine."""
    return Audio(
        base.samples * np.sin(2 * np.pi * hz * timeline(base.seconds, base.sample_rate)),
        base.sample_rate,
    )


def scattered(base: Audio, seconds: float = 0.08) -> Audio:
    """Scatter faded grains of a clip at random over its length."""
    size = round(seconds * base.sample_rate)
    rng, window = np.random.default_rng(31), np.hanning(size)
    out = np.zeros((base.channels, base.samples.shape[1]))
    for at in range(0, out.shape[1] - size, size // 2):
        start = rng.integers(0, base.samples.shape[1] - size)
        out[:, at : at + size] += window * base.samples[:, start : start + size]
    return Audio(out, base.sample_rate)


def turned_pieces(base: Audio, seconds: float = 0.4) -> Audio:
    """Reverse every second piece of a clip."""
    pieces = [b[:, ::-1] if i % 2 else b for i, b in enumerate(_blocks(base, seconds))]
    return Audio(np.concatenate(pieces, 1), base.sample_rate)


def mixed(base: Audio, other: Audio) -> Audio:
    """Play two pieces at once, equally loud."""
    size = min(base.samples.shape[1], other.samples.shape[1])
    gain = base.samples.std() / max(float(other.samples.std()), 1e-9)
    return peaked(base.samples[:, :size] + gain * other.samples[:, :size], base.sample_rate, 0.9)


def washed(base: Audio, seconds: float = 4.0) -> Audio:
    """Leave nothing but the tail of a huge room."""
    t = timeline(seconds, base.sample_rate)
    tail = np.random.default_rng(32).standard_normal((base.channels, t.size)) * 10 ** (
        -3 * t / seconds
    )
    wet = signal.fftconvolve(base.samples, tail, axes=1)[:, : base.samples.shape[1]]
    return peaked(wet, base.sample_rate)


def _spectra(base: Audio, size: int = 2_048) -> np.ndarray:
    return signal.stft(base.samples, base.sample_rate, nperseg=size, noverlap=size * 3 // 4)[2]


def _sound(spectra: np.ndarray, base: Audio, size: int = 2_048) -> Audio:
    made = signal.istft(spectra, base.sample_rate, nperseg=size, noverlap=size * 3 // 4)[1]
    return peaked(np.asarray(made)[:, : base.samples.shape[1]], base.sample_rate)


def frozen(base: Audio) -> Audio:
    """Hold the spectrum of one moment, with new phases."""
    spectra = _spectra(base)
    moment = np.abs(spectra[:, :, spectra.shape[2] // 3])[:, :, None]
    phase = 2j * np.pi * np.random.default_rng(33).random(spectra.shape[1:])
    return _sound(moment * np.exp(phase), base)


def whispered(base: Audio) -> Audio:
    """Keep the spectrogram's size and draw its phases at random."""
    phase = 2j * np.pi * np.random.default_rng(34).random(_spectra(base).shape[1:])
    return _sound(np.abs(_spectra(base)) * np.exp(phase), base)


def stretched(base: Audio, factor: float) -> Audio:
    """Stretch in time by a plain phase vocoder, cut to 8 s."""
    spectra = _spectra(base)
    where = np.arange(0, spectra.shape[2] - 1, 1 / factor)
    size = np.abs(spectra)[:, :, where.astype(int)]
    step = np.angle(spectra[:, :, 1:] * np.conj(spectra[:, :, :-1]))[:, :, where.astype(int)]
    made = signal.istft(
        size * np.exp(1j * np.cumsum(step, 2)), base.sample_rate, nperseg=2_048, noverlap=1_536
    )[1]
    return peaked(np.asarray(made)[:, : round(SECONDS * base.sample_rate)], base.sample_rate)


def holed(base: Audio) -> Audio:
    """Drop three quarters of the cells of the spectrogram, as a starved codec does."""
    keep = np.random.default_rng(35).random(_spectra(base).shape[1:]) < 0.25
    return _sound(_spectra(base) * keep, base)


def bits_reversed(base: Audio) -> Audio:
    """Reverse the order of the 16 bits of every sample."""
    words = np.round(base.samples * 32_767).clip(-32_768, 32_767).astype(np.int16).view(np.uint16)
    turned = np.zeros_like(words)
    for bit in range(16):
        turned |= ((words >> bit) & 1) << (15 - bit)
    return Audio(0.3 * turned.view(np.int16) / 32_768, base.sample_rate)


def aliased(base: Audio, every: int = 10) -> Audio:
    """Drop samples without a filter and interpolate linearly."""
    at = np.arange(base.samples.shape[1])
    kept = [np.interp(at, at[::every], channel[::every]) for channel in base.samples]
    return Audio(np.stack(kept), base.sample_rate)


def chopped(base: Audio, hz: float = 25.0) -> Audio:
    """Switch the sound off in half of every 40 ms."""
    on = signal.square(2 * np.pi * hz * timeline(base.seconds, base.sample_rate)) > 0
    return Audio(base.samples * on, base.sample_rate)


def rectified(base: Audio) -> Audio:
    """Fold the negative half of the wave up."""
    folded = np.abs(base.samples)
    return Audio(folded - folded.mean(1, keepdims=True), base.sample_rate)


def warbled(base: Audio, depth: float = 0.004, hz: float = 6.0) -> Audio:
    """Let the speed wander by some per cent, as of a broken tape machine."""
    t = timeline(base.seconds, base.sample_rate)
    moved = (t + depth * np.sin(2 * np.pi * hz * t) / 2) * base.sample_rate
    at = np.arange(base.samples.shape[1])
    return Audio(np.stack([np.interp(moved, at, c) for c in base.samples]), base.sample_rate)


def telephoned(base: Audio) -> Audio:
    """Push a clip through a narrow, overdriven line."""
    line = signal.butter(4, (500, 2_200), "band", fs=base.sample_rate, output="sos")
    narrow = np.asarray(signal.sosfilt(line, base.samples))
    return Audio(0.5 * np.tanh(8 * narrow / np.abs(narrow).max()), base.sample_rate)


def stuttered(base: Audio) -> Audio:
    """Play the first 60 ms of every half second eight times."""
    size = round(0.06 * base.sample_rate)
    pieces = [np.tile(b[:, :size], 9)[:, : b.shape[1]] for b in _blocks(base, 0.5)]
    return Audio(np.concatenate(pieces, 1), base.sample_rate)
