"""Inputs of the red team: 46 numbered clips that a gameable reward would pay, and their marks.

Four kinds of mark. NOTHING: at most 0.05. REJECT: at most 0.25. BELOW_P25: below the 25th
percentile of real music. UNPAID: not above the median of real music or, where the clip it was made
from lies higher, not 0.05 above that clip; most of these are odd to read rather than bad to hear.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audioforge.reward_functions import redteam_signals as signals
from audioforge.utils.audio_processing import Audio, read_audio, repeat, resample, trim

NOTHING, REJECT, BELOW_P25, UNPAID = "nothing", "reject", "below p25", "unpaid"
MARKS = {NOTHING: 0.05, REJECT: 0.25}
"""Marks that are numbers; the others come from real music."""
_ENDINGS = {".flac", ".wav", ".ogg", ".mp3"}


@dataclass(frozen=True)
class Bases:
    """What altered inputs are made from."""

    clip: Audio
    """8 s of music, stereo, at least 44.1 kHz."""
    other: Audio
    """Another piece, of the same rate and channels."""


@dataclass(frozen=True)
class Input:
    """One kind of clip that must not be paid."""

    name: str
    mark: str
    make: Callable[[Bases], tuple[Audio, ...]]
    """Makes the clips of this kind; the best paid of them counts."""
    altered: bool = False
    """Whether it is made from music, and so depends on the base clip."""
    copies: bool = False
    """Whether it is judged with the clip it was made from among the references."""


def made(name: str, mark: str, make: Callable[[], Audio]) -> Input:
    """Declare a clip made from nothing."""
    return Input(name, mark, lambda bases: (make(),))


def altered(name: str, mark: str, make: Callable[[Audio], Audio], copies: bool = False) -> Input:
    """Declare a clip made from music."""
    return Input(name, mark, lambda bases: (make(bases.clip),), altered=True, copies=copies)


def _samples(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Audio], Audio]:
    return lambda base: Audio(change(base.samples), base.sample_rate)


def _integers(base: Audio) -> Audio:
    """16-bit PCM whose loudest sample is the most negative number there is."""
    at = np.unravel_index(np.abs(base.samples).argmax(), base.samples.shape)
    scaled = base.samples / -base.samples[at]
    return Audio(np.round(scaled * 32_768).clip(-32_768, 32_767) / 32_768, base.sample_rate)


INPUTS: tuple[Input, ...] = (
    made("digital silence", NOTHING, signals.silence),
    made("near silence", NOTHING, lambda: signals.white(3e-5)),
    made("sine", REJECT, signals.sine),
    made("one burst in near silence", REJECT, signals.burst),
    made("white noise, same on both sides", REJECT, signals.white),
    made("white noise, unlike sides", REJECT, lambda: signals.white(same=False)),
    made("pink noise", REJECT, signals.pink),
    made("noise gated at 120 BPM", REJECT, signals.gated_noise),
    made("click track", REJECT, signals.click_track),
    made("kick only", BELOW_P25, signals.kicks),
    made("triad drone", REJECT, signals.triad),
    made("detuned saw drone", BELOW_P25, signals.saw_drone),
    made("log sweep", REJECT, signals.sweep),
    made("single impulse", NOTHING, signals.impulse),
    made("tone staircase", REJECT, signals.chromatic),
    altered("loudness inflation", BELOW_P25, lambda b: signals.limited(b, 18)),
    altered("square-wave song", REJECT, _samples(lambda x: 0.5 * np.sign(x))),
    altered("copy of the reference", BELOW_P25, lambda b: b, copies=True),
    altered("copy, noise at -60 dB", BELOW_P25, lambda b: signals.with_noise(b, 60), copies=True),
    altered("copy, a semitone up", BELOW_P25, signals.resampled_copy, copies=True),
    altered("copy, reversed", BELOW_P25, _samples(lambda x: x[:, ::-1]), copies=True),
    altered(
        "23 ms frame repeated", REJECT, lambda b: signals.frame_repeated(b, 1024 / b.sample_rate)
    ),
    altered("half a second looped", BELOW_P25, lambda b: signals.frame_repeated(b, 0.5)),
    altered("right is minus left", REJECT, lambda b: signals.channels(b, 1, -1)),
    altered("left only", BELOW_P25, lambda b: signals.channels(b, 1, 0)),
    altered("Haas fake stereo", BELOW_P25, signals.haas),
    altered("20 kHz tone over music", REJECT, signals.with_tone),
    made("DC 0.8", NOTHING, lambda: Audio(np.full((2, 8 * signals.RATE), 0.8), signals.RATE)),
    altered("spectrally matched noise", BELOW_P25, signals.phases_randomised),
    made("random beeps on eighths", BELOW_P25, signals.beeps),
    altered("2 s, then silence", BELOW_P25, lambda b: signals.with_dropped(b, 0.25)),
    Input(
        "two songs spliced every 0.25 s",
        BELOW_P25,
        lambda bases: (signals.spliced(bases.clip, bases.other),),
        altered=True,
    ),
    made("empty", NOTHING, lambda: Audio(np.zeros((2, 0)), signals.RATE)),
    altered("NaN and inf samples", NOTHING, signals.broken),
    altered("10 ms", NOTHING, _samples(lambda x: x[:, :441])),
    altered("one channel NaN", NOTHING, signals.one_side_nan),
    altered("denormal level", NOTHING, _samples(lambda x: x * np.float32(1e-39))),
    Input(
        "8 kHz and 192 kHz copies",
        UNPAID,
        lambda bases: tuple(resample(bases.clip, rate) for rate in (8_000, 192_000)),
        altered=True,
    ),
    altered("six channels", UNPAID, _samples(lambda x: np.tile(x, (3, 1)))),
    altered("integers at negative full scale", UNPAID, _integers),
    altered("beyond full scale", UNPAID, _samples(lambda x: 4 * x / np.abs(x).max())),
    altered("shuffled seconds", UNPAID, signals.shuffled),
    altered("10 dB slow gain ramp", UNPAID, signals.ramped),
    altered("talked over", UNPAID, signals.talked_over),
    altered("bit-crushed with dither", UNPAID, signals.crushed),
    altered(
        "clipped, then low-passed", UNPAID, lambda b: signals.lowpassed(signals.limited(b, 12), 9e3)
    ),
)
"""The numbered list: number 1 stands first."""


def music(folder: Path) -> list[tuple[str, Audio]]:
    """Read the music of a folder as (name, 8 s clip).

    With a `manifest.json` (as in `calibrate.py`) music is what it calls so, and loops with a
    reliable tempo; without one, every sound file in the folder and below. Shorter clips repeat.

    Raises:
        ValueError: there is no music, or a file cannot be read.
    """
    manifest = folder / "manifest.json"
    if manifest.is_file():
        clips = json.loads(manifest.read_text(encoding="utf-8"))["clips"]
        paths = [
            folder / c["file"]
            for c in clips
            if c["category"] == "music" or (c["category"] == "loop" and c["bpm_reliable"])
        ]
        looped = {folder / c["file"] for c in clips if c["category"] == "loop"}
    else:
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _ENDINGS)
        looped = set(paths)
    if not paths:
        raise ValueError(f"{folder} must hold music, found none; give a folder of sound files")
    return [(p.stem, fitted(read_audio(p), p in looped)) for p in paths]


def fitted(clip: Audio, looped: bool = True) -> Audio:
    """Cut a clip to 8 s; a loop that is shorter repeats."""
    fill = repeat if looped and clip.samples.size else trim
    return fill(clip, signals.SECONDS)


def as_base(clip: Audio) -> Audio:
    """Bring a clip to stereo at 44.1 kHz, 8 s, for altering."""
    wide = resample(fitted(clip), signals.RATE)
    return Audio(np.tile(wide.samples, (2, 1))[:2], signals.RATE) if wide.channels == 1 else wide


def bases(clips: Sequence[Audio], index: int) -> Bases:
    """Choose one clip to alter, and the one halfway round the list as the other piece."""
    return Bases(as_base(clips[index]), as_base(clips[(index + len(clips) // 2) % len(clips)]))
