"""Voices of the teacher: single drum hits and single notes, mono float64 arrays of shape [time].

Classic subtractive, additive, FM and Karplus-Strong synthesis (Karplus & Strong 1983; Chowning
1973;
polyBLEP: Välimäki & Huovilainen 2007). Every random choice comes from the generator passed in.
"""

from __future__ import annotations

import numpy as np
from scipy import signal


def timeline(seconds: float, rate: int) -> np.ndarray:
    """Return sample times in seconds, shape [time]."""
    return np.arange(max(int(seconds * rate), 1)) / rate


def decay(seconds: float, tau: float, rate: int) -> np.ndarray:
    """Return an exponential envelope with time constant `tau` in seconds."""
    return np.exp(-timeline(seconds, rate) / tau)


def band(
    noise: np.ndarray, kind: str, cutoff_hz: float | tuple[float, float], rate: int
) -> np.ndarray:
    """Filter with a second-order Butterworth; cutoffs are kept below 0.45 of the rate."""
    limit = 0.45 * rate
    edge = (
        tuple(min(c, limit * (0.9 + 0.1 * i)) for i, c in enumerate(cutoff_hz))
        if isinstance(cutoff_hz, tuple)
        else min(cutoff_hz, limit)
    )
    return np.asarray(signal.sosfilt(signal.butter(2, edge, kind, fs=rate, output="sos"), noise))


def kick(
    rng: np.random.Generator,
    rate: int,
    *,
    low_hz: float = 48.0,
    tau: float = 0.16,
    punch: float = 1.0,
) -> np.ndarray:
    """Bass drum: a sine whose pitch falls from about 200 Hz, with a short click."""
    t = timeline(tau * 4, rate)
    sweep = low_hz + (110 + 70 * punch) * np.exp(-t / 0.028)
    body = np.sin(2 * np.pi * np.cumsum(sweep) / rate) * np.exp(-t / tau)
    click = rng.standard_normal(t.size) * np.exp(-t / 0.002) * 0.35 * punch
    return body + click


def snare(
    rng: np.random.Generator,
    rate: int,
    *,
    tone_hz: float = 185.0,
    tau: float = 0.09,
    snap: float = 1.0,
) -> np.ndarray:
    """Snare drum: two shell modes and filtered noise."""
    t = timeline(tau * 5, rate)
    shell = (
        np.sin(2 * np.pi * tone_hz * t) + 0.6 * np.sin(2 * np.pi * tone_hz * 1.78 * t)
    ) * np.exp(-t / 0.05)
    wires = band(rng.standard_normal(t.size), "highpass", 1_400, rate) * np.exp(-t / tau)
    return 0.5 * shell + 0.75 * snap * wires


def clap(rng: np.random.Generator, rate: int, *, tau: float = 0.10) -> np.ndarray:
    """Hand clap: three quick noise bursts and a tail around 1.2 kHz."""
    t = timeline(tau * 5, rate)
    bursts = sum(np.where(t >= d, np.exp(-(t - d) / 0.006), 0.0) for d in (0.0, 0.011, 0.022))
    envelope = bursts + 0.7 * np.where(t >= 0.03, np.exp(-(t - 0.03) / tau), 0.0)
    return band(rng.standard_normal(t.size), "bandpass", (800.0, 2_400.0), rate) * envelope * 1.4


def hat(rng: np.random.Generator, rate: int, *, tau: float = 0.03) -> np.ndarray:
    """Hi-hat: high-passed noise; tau 0.02 to 0.05 is closed, 0.15 and up open."""
    t = timeline(min(tau * 5, 0.6), rate)
    return band(rng.standard_normal(t.size), "highpass", 5_200, rate) * np.exp(-t / tau) * 0.55


def tom(rng: np.random.Generator, rate: int, *, hz: float = 120.0, tau: float = 0.16) -> np.ndarray:
    """Tom, conga or hand drum, by pitch and decay."""
    t = timeline(tau * 4, rate)
    sweep = hz * (1 + 0.35 * np.exp(-t / 0.02))
    skin = band(rng.standard_normal(t.size), "bandpass", (hz * 2, hz * 9), rate) * np.exp(
        -t / 0.012
    )
    return np.sin(2 * np.pi * np.cumsum(sweep) / rate) * np.exp(-t / tau) + 0.3 * skin


def saw(hz: np.ndarray | float, size: int, rate: int, phase: float = 0.0) -> np.ndarray:
    """Band-limited sawtooth (polyBLEP)."""
    step = np.broadcast_to(np.asarray(hz, float) / rate, (size,))
    phases = (phase + np.cumsum(step) - step) % 1.0
    wave = 2 * phases - 1
    start = phases < step
    end = phases > 1 - step
    a = phases / step
    b = (phases - 1) / step
    return wave - np.where(start, 2 * a - a * a - 1, 0.0) - np.where(end, b * b + 2 * b + 1, 0.0)


def square(hz: np.ndarray | float, size: int, rate: int) -> np.ndarray:
    """Band-limited square wave, as the difference of two sawtooths."""
    return 0.5 * (saw(hz, size, rate) - saw(hz, size, rate, 0.5))


def adsr(seconds: float, rate: int, *, attack: float, release: float) -> np.ndarray:
    """Linear attack, flat body, linear release; all in seconds."""
    t = timeline(seconds, rate)
    return np.clip(np.minimum(t / max(attack, 1e-3), (seconds - t) / max(release, 1e-3)), 0, 1)


def pluck(
    rng: np.random.Generator, hz: float, seconds: float, rate: int, *, ring: float = 0.996
) -> np.ndarray:
    """Plucked string (Karplus-Strong), decay set by `ring` per period."""
    size = int(seconds * rate)
    period = max(int(rate / hz), 2)
    burst = np.zeros(size)
    burst[:period] = band(rng.uniform(-1, 1, period), "lowpass", 5_000, rate)[:size]
    denominator = np.zeros(period + 2)
    denominator[0], denominator[period], denominator[period + 1] = 1.0, -0.5 * ring, -0.5 * ring
    return np.asarray(signal.lfilter([1.0], denominator, burst)) * 1.6


def struck(hz: float, seconds: float, rate: int, *, tau: float = 0.9) -> np.ndarray:
    """Piano-like struck string: slightly stretched partials, the high ones dying first."""
    t = timeline(seconds, rate)
    wave = np.zeros(t.size)
    for k in range(1, 11):
        partial = hz * k * np.sqrt(1 + 4e-4 * k * k)
        if partial > 0.42 * rate:
            break
        wave += np.sin(2 * np.pi * partial * t + k) * np.exp(-t * (0.6 + 0.5 * k) / tau) / k**1.25
    return wave * np.minimum(t / 0.004, 1)


def organ(hz: float, seconds: float, rate: int) -> np.ndarray:
    """Drawbar organ: steady sines at 0.5, 1, 1.5, 2, 3, 4 and 6 times the pitch, slow tremolo."""
    t = timeline(seconds, rate)
    bars = ((0.5, 0.6), (1, 1.0), (1.5, 0.5), (2, 0.7), (3, 0.45), (4, 0.35), (6, 0.2))
    wave = sum(a * np.sin(2 * np.pi * hz * m * t) for m, a in bars if hz * m < 0.42 * rate)
    return (
        wave
        * (1 + 0.12 * np.sin(2 * np.pi * 6.2 * t))
        * adsr(seconds, rate, attack=0.02, release=0.08)
    )


def flute(rng: np.random.Generator, hz: float, seconds: float, rate: int) -> np.ndarray:
    """Flute: near-sine tone with late vibrato and breath noise."""
    t = timeline(seconds, rate)
    vibrato = 1 + 0.006 * np.sin(2 * np.pi * 5.1 * t) * np.clip(t / 0.6, 0, 1)
    phase = 2 * np.pi * np.cumsum(hz * vibrato) / rate
    tone = np.sin(phase) + 0.22 * np.sin(2 * phase) + 0.07 * np.sin(3 * phase)
    breath = band(rng.standard_normal(t.size), "bandpass", (hz * 1.5, min(hz * 6, 7_000)), rate)
    return (tone + 0.12 * breath) * adsr(seconds, rate, attack=0.09, release=0.15)


def bell(hz: float, seconds: float, rate: int, *, tau: float = 1.2) -> np.ndarray:
    """Bell by frequency modulation with an inharmonic ratio (Chowning)."""
    t = timeline(seconds, rate)
    index = 3.0 * np.exp(-t / (0.5 * tau))
    wave = np.sin(2 * np.pi * hz * t + index * np.sin(2 * np.pi * hz * 1.41 * t))
    return (wave + 0.4 * np.sin(2 * np.pi * hz * 2.76 * t) * np.exp(-t / (0.3 * tau))) * np.exp(
        -t / tau
    )


def acid(rng: np.random.Generator, hz: float, seconds: float, rate: int) -> np.ndarray:
    """Bass-line note: a sawtooth through a falling resonant-sounding low-pass."""
    size = int(seconds * rate)
    wave = saw(hz, size, rate)
    dark = band(wave, "lowpass", 3.0 * hz, rate)
    lit = band(wave, "lowpass", 14.0 * hz, rate)
    mix = np.exp(-timeline(seconds, rate)[:size] / rng.uniform(0.06, 0.12))
    return (dark + (lit - dark) * mix) * adsr(seconds, rate, attack=0.003, release=0.02)[:size]


def detuned(
    rng: np.random.Generator,
    hz: float,
    seconds: float,
    rate: int,
    *,
    spread: float = 0.006,
    voices: int = 4,
) -> np.ndarray:
    """Several sawtooths a few cents apart: pads and leads."""
    size = int(seconds * rate)
    offsets = np.linspace(-spread, spread, voices)
    return sum(saw(hz * (1 + o), size, rate, rng.uniform()) for o in offsets) / np.sqrt(voices)
