"""What each family plays: events on a bar grid, or a texture, mixed to stereo.

`FAMILY_RENDERERS[name](scene)` returns float64 [2, time]. A scene carries the brief's tempo, key
and length, the sample rate and the random generator; patterns and parameters vary with the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from audioforge.generation import synth_voices as v

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)


@dataclass
class Scene:
    """One rendering in progress."""

    seconds: float
    rate: int
    bpm: float
    root: int
    """Pitch class of the key, 0 = C."""
    minor: bool
    punch: float
    """Attack strength, 0.4 (soft) to 1.4 (punchy)."""
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.mix = np.zeros((2, int(self.seconds * self.rate)))

    @property
    def sixteenth(self) -> float:
        """Length of a sixteenth note in seconds."""
        return 15.0 / self.bpm

    @property
    def steps(self) -> int:
        """How many sixteenths fit into the clip, rounded up."""
        return int(np.ceil(self.seconds / self.sixteenth))

    def hz(self, degree: int, octave: int) -> float:
        """Return the frequency of a scale degree (0 = root) in an octave (4 holds A4 = 440 Hz)."""
        scale = MINOR if self.minor else MAJOR
        semitone = self.root + scale[degree % 7] + 12 * (degree // 7 + octave + 1)
        return 440.0 * 2 ** ((semitone - 69) / 12)

    def play(
        self, at_seconds: float, note: np.ndarray, gain: float = 1.0, pan: float = 0.0
    ) -> None:
        """Mix a mono note in at a time; pan -1 is left, 1 right (constant power)."""
        start = round(at_seconds * self.rate)
        note = note[: max(self.mix.shape[1] - start, 0)]
        angle = (pan + 1) * np.pi / 4
        self.mix[0, start : start + note.size] += note * gain * np.cos(angle)
        self.mix[1, start : start + note.size] += note * gain * np.sin(angle)

    def pattern(
        self,
        hits: str,
        voice: Callable[[], np.ndarray],
        gain: float,
        *,
        pan: float = 0.0,
        swing: float = 0.0,
    ) -> None:
        """Repeat a string of sixteenths: x hit, o ghost at half level, - rest."""
        for step in range(self.steps):
            mark = hits[step % len(hits)]
            if mark == "-":
                continue
            late = swing * self.sixteenth if step % 2 else 0.0
            level = gain * (1.0 if mark == "x" else 0.45) * self.rng.uniform(0.9, 1.05)
            self.play(step * self.sixteenth + late, voice(), level, pan)


def _pick(scene: Scene, *choices: str) -> str:
    return choices[scene.rng.integers(len(choices))]


def techno(s: Scene) -> np.ndarray:
    """Four on the floor, off-beat hats, sixteenth shaker."""
    tau, low = s.rng.uniform(0.13, 0.2), s.rng.uniform(43, 54)
    s.pattern("x---", lambda: v.kick(s.rng, s.rate, low_hz=low, tau=tau, punch=s.punch), 1.0)
    s.pattern("--x-", lambda: v.hat(s.rng, s.rate, tau=s.rng.uniform(0.04, 0.07)), 0.5, pan=0.1)
    s.pattern(
        _pick(s, "xoxo", "ooxo", "-oxo"), lambda: v.hat(s.rng, s.rate, tau=0.015), 0.22, pan=-0.2
    )
    return s.mix


def house(s: Scene) -> np.ndarray:
    """Four on the floor with claps on two and four and long open hats."""
    s.pattern("x---", lambda: v.kick(s.rng, s.rate, low_hz=56, tau=0.12, punch=s.punch), 0.9)
    s.pattern("----x---", lambda: v.clap(s.rng, s.rate), 0.75)
    s.pattern("--x-", lambda: v.hat(s.rng, s.rate, tau=0.16), 0.6, pan=0.15)
    s.pattern(
        _pick(s, "---o---o", "-------o"),
        lambda: v.tom(s.rng, s.rate, hz=330, tau=0.06),
        0.5,
        pan=-0.3,
    )
    return s.mix


def breakbeat(s: Scene) -> np.ndarray:
    """Syncopated kick and ghosted snare over eighth hats."""
    s.pattern(
        _pick(s, "x-x-------xx----", "x-x-------x-----"),
        lambda: v.kick(s.rng, s.rate, low_hz=62, tau=0.09, punch=s.punch),
        0.9,
    )
    s.pattern(
        _pick(s, "----x--o-o--x--o", "----x--o-o--x---"),
        lambda: v.snare(s.rng, s.rate, tone_hz=215, tau=0.07),
        0.85,
        pan=0.05,
    )
    s.pattern("x-x-", lambda: v.hat(s.rng, s.rate, tau=0.035), 0.45, pan=-0.15)
    return s.mix


def hiphop(s: Scene) -> np.ndarray:
    """Swung boom bap: heavy kick, dry snare on two and four."""
    s.pattern(
        _pick(s, "x------x--x-----", "x-----x---x-----"),
        lambda: v.kick(s.rng, s.rate, low_hz=58, tau=0.16, punch=s.punch),
        1.0,
        swing=0.3,
    )
    s.pattern("----x-------x---", lambda: v.snare(s.rng, s.rate, tone_hz=170, tau=0.1), 0.9)
    s.pattern("x-xo", lambda: v.hat(s.rng, s.rate, tau=0.025), 0.35, pan=0.2, swing=0.3)
    return s.mix


def trap(s: Scene) -> np.ndarray:
    """Long 808 kicks, a clap on the third beat, rolling hats."""
    low = s.rng.uniform(40, 50)
    s.pattern(
        _pick(s, "x-----x---x-----", "x---------x--x--"),
        lambda: v.kick(s.rng, s.rate, low_hz=low, tau=0.45, punch=0.6 * s.punch),
        0.9,
    )
    s.pattern("--------x-------", lambda: v.clap(s.rng, s.rate, tau=0.08), 0.85)
    s.pattern("x-x-x-xxx-x-xxxx", lambda: v.hat(s.rng, s.rate, tau=0.018), 0.5, pan=0.15)
    return s.mix


def rock(s: Scene) -> np.ndarray:
    """Straight rock: kick on one and three, loud snare, riding eighths, a crash to open."""
    s.pattern(
        _pick(s, "x-------x-x-----", "x-------x-------"),
        lambda: v.kick(s.rng, s.rate, low_hz=68, tau=0.1, punch=s.punch),
        0.9,
    )
    s.pattern(
        "----x-------x---", lambda: v.snare(s.rng, s.rate, tone_hz=200, tau=0.16, snap=1.2), 0.95
    )
    s.pattern("x-x-", lambda: v.hat(s.rng, s.rate, tau=0.09), 0.4, pan=0.3)
    s.play(0.0, v.hat(s.rng, s.rate, tau=0.5), 0.6, -0.3)
    return s.mix


def tribal(s: Scene) -> np.ndarray:
    """Toms and congas, no cymbals."""
    low, high = s.rng.uniform(85, 110), s.rng.uniform(230, 300)
    s.pattern(
        _pick(s, "x--x--x-", "x--x-x--"),
        lambda: v.tom(s.rng, s.rate, hz=low, tau=0.18),
        0.9 * s.punch,
        pan=-0.3,
    )
    s.pattern(
        _pick(s, "-xo-xo-x", "--x--ox-"),
        lambda: v.tom(s.rng, s.rate, hz=high, tau=0.09),
        0.7,
        pan=0.35,
    )
    s.pattern("----o---", lambda: v.tom(s.rng, s.rate, hz=high * 1.5, tau=0.05), 0.6)
    return s.mix


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
    hits = _pick(s, "x-xxx-x-", "xxx-xxx-", "x-x-x-xx")
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


FAMILY_RENDERERS: dict[str, Callable[[Scene], np.ndarray]] = {
    f.__name__: f
    for f in (
        techno,
        house,
        breakbeat,
        hiphop,
        trap,
        rock,
        tribal,
        bass,
        guitar,
        piano,
        organ,
        flute,
        bell,
        lead,
        arpeggio,
        bassline,
        melody,
        chords,
    )
}
