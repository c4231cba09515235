"""Instruments and phrases of the teacher: notes and chords of the scene's key.

`TONAL_RENDERERS[name](scene)` returns float64 [2, time]; patterns and parameters vary with the
seed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audioforge.generation import synth_voices as v
from audioforge.generation.synth_scene import Scene, pick


def _chord(s: Scene, degree: int) -> tuple[int, int, int]:
    return degree, degree + 2, degree + 4


def bass(s: Scene) -> np.ndarray:
    """One or two long low notes."""
    for i in range(2):
        note = v.band(
            v.saw(s.hz(0, 1), int(s.seconds / 2 * s.rate), s.rate), "lowpass", 320, s.rate
        )
        s.play(
            i * s.seconds / 2,
            note * v.adsr(s.seconds / 2, s.rate, attack=0.01, release=0.1)[: note.size],
        )
    return s.mix


def guitar(s: Scene) -> np.ndarray:
    """A strummed chord, plucked string by string, struck twice."""
    for i in range(2):
        for j, degree in enumerate((0, 4, 7, 9, 11)):
            hz = s.hz(degree, 2)
            s.play(
                i * s.seconds / 2 + 0.025 * j,
                v.pluck(s.rng, hz, s.seconds / 2, s.rate),
                0.5,
                0.1 * (j - 2),
            )
    return s.mix


def piano(s: Scene) -> np.ndarray:
    """Two chords with a low octave."""
    for i, degree in enumerate((0, int(s.rng.choice([3, 4, 5])))):
        at = i * s.seconds / 2
        s.play(at, v.struck(s.hz(degree, 2), s.seconds / 2, s.rate), 0.7)
        for j, d in enumerate(_chord(s, degree)):
            s.play(at, v.struck(s.hz(d, 4), s.seconds / 2, s.rate), 0.5, 0.2 * (j - 1))
    return s.mix


def organ(s: Scene) -> np.ndarray:
    """A held chord."""
    for j, d in enumerate(_chord(s, 0)):
        s.play(0, v.organ(s.hz(d, 4), s.seconds, s.rate), 0.4, 0.2 * (j - 1))
    return s.mix


def flute(s: Scene) -> np.ndarray:
    """Two or three slow notes."""
    count = int(s.rng.integers(2, 4))
    for i in range(count):
        length = s.seconds / count
        s.play(
            i * length, v.flute(s.rng, s.hz(int(s.rng.choice([0, 2, 4])), 5), length, s.rate), 0.8
        )
    return s.mix


def bell(s: Scene) -> np.ndarray:
    """Two or three bell strokes."""
    count = int(s.rng.integers(2, 4))
    for i in range(count):
        at = i * s.seconds / count
        s.play(
            at,
            v.bell(s.hz(int(s.rng.choice([0, 2, 4])), 5), s.seconds - at, s.rate),
            0.8,
            s.rng.uniform(-0.3, 0.3),
        )
    return s.mix


def lead(s: Scene) -> np.ndarray:
    """A bright detuned lead gliding over two notes."""
    for i, degree in enumerate((0, int(s.rng.choice([2, 4])))):
        note = v.detuned(s.rng, s.hz(degree, 4), s.seconds / 2, s.rate)
        note = (
            v.band(note, "lowpass", 6_000, s.rate)
            * v.adsr(s.seconds / 2, s.rate, attack=0.02, release=0.06)[: note.size]
        )
        s.play(i * s.seconds / 2, note, 0.8)
    return s.mix


def arpeggio(s: Scene) -> np.ndarray:
    """Sixteenth notes up a chord."""
    order = (0, 2, 4, 7) if s.rng.random() < 0.5 else (7, 4, 2, 0)
    for step in range(s.steps):
        note = v.square(s.hz(order[step % 4], 4), int(s.sixteenth * 0.9 * s.rate), s.rate)
        note *= v.decay(s.sixteenth * 0.9, 0.08, s.rate)[: note.size]
        s.play(step * s.sixteenth, note, 0.8, 0.3 * (-1) ** step)
    return s.mix


def bassline(s: Scene) -> np.ndarray:
    """Acid-like bass in eighths and sixteenths."""
    degrees = [int(s.rng.choice([0, 0, 0, 2, 4, 7])) for _ in range(8)]
    hits = pick(s, "x-xxx-x-", "xxx-xxx-", "x-x-x-xx")
    for step in range(s.steps):
        if hits[step % 8] == "x":
            s.play(
                step * s.sixteenth,
                v.acid(s.rng, s.hz(degrees[step % 8], 1), s.sixteenth * 0.95, s.rate),
                0.9,
            )
    return s.mix


def melody(s: Scene) -> np.ndarray:
    """A tune in eighths on a mallet sound."""
    degree = 0
    for beat in range(int(np.ceil(s.steps / 2))):
        if beat % 4 == 3 and s.rng.random() < 0.4:
            continue
        degree = int(np.clip(degree + s.rng.choice([-2, -1, 1, 2]), -2, 7)) if beat else 0
        t = v.timeline(0.7, s.rate)
        hz = s.hz(degree, 5)
        note = (
            np.sin(2 * np.pi * hz * t) + 0.3 * np.sin(2 * np.pi * 3.9 * hz * t) * np.exp(-t / 0.04)
        ) * np.exp(-t / 0.2)
        s.play(beat * s.sixteenth * 2, note, 0.8, 0.1)
    return s.mix


def chords(s: Scene) -> np.ndarray:
    """A pad progression, one chord every two beats."""
    progression = ((0, 5, 3, 4), (0, 3, 4, 3), (0, 4, 5, 3))[s.rng.integers(3)]
    length = s.sixteenth * 8
    for i in range(int(np.ceil(s.seconds / length))):
        for j, d in enumerate(_chord(s, progression[i % 4])):
            note = v.band(
                v.detuned(s.rng, s.hz(d, 3), length, s.rate, voices=3), "lowpass", 2_200, s.rate
            )
            s.play(
                i * length,
                note * v.adsr(length, s.rate, attack=0.06, release=0.08)[: note.size],
                0.4,
                0.4 * (j - 1),
            )
    return s.mix


_INSTRUMENTS = (bass, guitar, piano, organ, flute, bell, lead)
_PHRASES = (arpeggio, bassline, melody, chords)
TONAL_RENDERERS: dict[str, Callable[[Scene], np.ndarray]] = {
    f.__name__: f for f in (*_INSTRUMENTS, *_PHRASES)
}
