"""A scene: one rendering of the teacher in progress, on a bar grid, mixed to stereo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

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


def pick(scene: Scene, *choices: str) -> str:
    """Choose one of several patterns."""
    return choices[scene.rng.integers(len(choices))]
