"""Drum families of the teacher: patterns of sixteenths played by drum voices.

`DRUM_RENDERERS[name](scene)` returns float64 [2, time]; patterns and parameters vary with the seed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audioforge.generation import synth_voices as v
from audioforge.generation.synth_scene import Scene, pick


def techno(s: Scene) -> np.ndarray:
    """Four on the floor, off-beat hats, sixteenth shaker."""
    tau, low = s.rng.uniform(0.13, 0.2), s.rng.uniform(43, 54)
    s.pattern("x---", lambda: v.kick(s.rng, s.rate, low_hz=low, tau=tau, punch=s.punch), 1.0)
    s.pattern("--x-", lambda: v.hat(s.rng, s.rate, tau=s.rng.uniform(0.04, 0.07)), 0.5, pan=0.1)
    s.pattern(
        pick(s, "xoxo", "ooxo", "-oxo"), lambda: v.hat(s.rng, s.rate, tau=0.015), 0.22, pan=-0.2
    )
    return s.mix


def house(s: Scene) -> np.ndarray:
    """Four on the floor with claps on two and four and long open hats."""
    s.pattern("x---", lambda: v.kick(s.rng, s.rate, low_hz=56, tau=0.12, punch=s.punch), 0.9)
    s.pattern("----x---", lambda: v.clap(s.rng, s.rate), 0.75)
    s.pattern("--x-", lambda: v.hat(s.rng, s.rate, tau=0.16), 0.6, pan=0.15)
    s.pattern(
        pick(s, "---o---o", "-------o"),
        lambda: v.tom(s.rng, s.rate, hz=330, tau=0.06),
        0.5,
        pan=-0.3,
    )
    return s.mix


def breakbeat(s: Scene) -> np.ndarray:
    """Syncopated kick and ghosted snare over eighth hats."""
    s.pattern(
        pick(s, "x-x-------xx----", "x-x-------x-----"),
        lambda: v.kick(s.rng, s.rate, low_hz=62, tau=0.09, punch=s.punch),
        0.9,
    )
    s.pattern(
        pick(s, "----x--o-o--x--o", "----x--o-o--x---"),
        lambda: v.snare(s.rng, s.rate, tone_hz=215, tau=0.07),
        0.85,
        pan=0.05,
    )
    s.pattern("x-x-", lambda: v.hat(s.rng, s.rate, tau=0.035), 0.45, pan=-0.15)
    return s.mix


def hiphop(s: Scene) -> np.ndarray:
    """Swung boom bap: heavy kick, dry snare on two and four."""
    s.pattern(
        pick(s, "x------x--x-----", "x-----x---x-----"),
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
        pick(s, "x-----x---x-----", "x---------x--x--"),
        lambda: v.kick(s.rng, s.rate, low_hz=low, tau=0.45, punch=0.6 * s.punch),
        0.9,
    )
    s.pattern("--------x-------", lambda: v.clap(s.rng, s.rate, tau=0.08), 0.85)
    s.pattern("x-x-x-xxx-x-xxxx", lambda: v.hat(s.rng, s.rate, tau=0.018), 0.5, pan=0.15)
    return s.mix


def rock(s: Scene) -> np.ndarray:
    """Straight rock: kick on one and three, loud snare, riding eighths, a crash to open."""
    s.pattern(
        pick(s, "x-------x-x-----", "x-------x-------"),
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
        pick(s, "x--x--x-", "x--x-x--"),
        lambda: v.tom(s.rng, s.rate, hz=low, tau=0.18),
        0.9 * s.punch,
        pan=-0.3,
    )
    s.pattern(
        pick(s, "-xo-xo-x", "--x--ox-"),
        lambda: v.tom(s.rng, s.rate, hz=high, tau=0.09),
        0.7,
        pan=0.35,
    )
    s.pattern("----o---", lambda: v.tom(s.rng, s.rate, hz=high * 1.5, tau=0.05), 0.6)
    return s.mix


DRUM_RENDERERS: dict[str, Callable[[Scene], np.ndarray]] = {
    f.__name__: f for f in (techno, house, breakbeat, hiphop, trap, rock, tribal)
}
