"""Training clips of tiny-musicgen: notes, intervals, chords, drum loops and phrases, with captions.

Tonal clips hold one sound for the whole clip, played by the teacher's voices; drum loops and
phrases are the teacher's own, from a beat on. A clip is a function of (seed, index).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audioforge.data.brief import KEYS, NOTES, Brief
from audioforge.data.families import FAMILIES, in_category
from audioforge.generation import synth_voices as v
from audioforge.generation.tiny.clips import SAMPLE_RATE, cached, render_mono

FRAMES = 51_200
"""Samples of a clip: 3.2 s at 16 kHz."""
SECONDS = FRAMES / SAMPLE_RATE
BPM_RANGE = (70, 175)
"""Tempi are whole numbers in this half-open range."""
INTERVALS = (
    "minor second",
    "major second",
    "minor third",
    "major third",
    "perfect fourth",
    "tritone",
    "perfect fifth",
    "minor sixth",
    "major sixth",
    "minor seventh",
    "major seventh",
    "octave",
)
"""Names of the distances of 1 to 12 semitones."""
CHORDS = {
    "major": (0, 4, 7),
    "minor": (0, 3, 7),
    "diminished": (0, 3, 6),
    "augmented": (0, 4, 8),
}
PHRASES = ("bassline", "arpeggio")
LOOPS = ("techno", "house")
"""Drums that the decoder is taught: those with a hit on every beat."""
_LOOPS = 7
"""Sets their random numbers apart."""
KINDS = {"note": 0.27, "interval": 0.1, "chord": 0.18, "drums": 0.35, "phrase": 0.1}
"""Kinds of clip and their shares."""
_VOICES = {"note": 5, "interval": 3, "chord": 4}
"""How many of VOICES play each tonal kind, from the first on."""
_VARIANTS = 4
"""Noise bursts and phases each voice has per pitch."""
_PEAK = 0.7


@dataclass(frozen=True)
class Question:
    """What a clip holds and its captions may say."""

    kind: str
    root: int | None = None
    """Pitch class of the note, of the lower note, of the chord or of the key; 0 is C."""
    voice: str = ""
    """One of VOICES, or a family of drums or phrases."""
    quality: str = ""
    """Interval or chord, or the scale of a phrase."""
    octave: int = 4
    bpm: int | None = None


def draw(seed: int, index: int) -> Question:
    """Draw clip `index` of the training set `seed`."""
    rng = np.random.default_rng([seed, index])
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    root, bpm = int(rng.integers(12)), int(rng.integers(*BPM_RANGE))
    if kind == "drums":
        family = rng.choice([f.name for f in in_category("drums")])
        return Question(kind, voice=str(family), bpm=bpm)
    if kind == "phrase":
        key = str(rng.choice(KEYS)).split()
        return Question(kind, NOTES.index(key[0]), str(rng.choice(PHRASES)), key[1], bpm=bpm)
    voice = list(VOICES)[int(rng.integers(_VOICES[kind]))]
    if kind == "note":
        return Question(kind, root, voice, octave=int(rng.integers(3, 5)))
    quality = str(rng.choice(INTERVALS if kind == "interval" else list(CHORDS)))
    return Question(kind, root, voice, quality, octave=4 if kind == "interval" else 3)


def draw_loop(seed: int, index: int) -> Question:
    """Draw loop `index` of the decoder's further drum loops."""
    rng = np.random.default_rng([seed, _LOOPS, index])
    return Question("drums", voice=str(rng.choice(LOOPS)), bpm=int(rng.integers(*BPM_RANGE)))


def semitones(question: Question) -> tuple[int, ...]:
    """Return the notes of a tonal clip in semitones above its root."""
    if question.kind == "chord":
        return CHORDS[question.quality]
    if question.kind == "interval":
        return 0, INTERVALS.index(question.quality) + 1
    return (0,)


def render_question(question: Question, seed: int) -> np.ndarray:
    """Render a clip at 16 kHz mono: int16, shape [FRAMES]."""
    if question.kind in VOICES_OF_TEACHER:
        return render_mono(_brief(question), seed, FRAMES)
    rng = np.random.default_rng(seed)
    root = (question.root or 0) + 12 * (question.octave + 1)
    wave = np.zeros(FRAMES)
    for step in semitones(question):
        wave += _note(question.voice, root + step, int(rng.integers(_VARIANTS)))
    fade = np.minimum(1.0, np.arange(FRAMES)[::-1] / (0.02 * SAMPLE_RATE))
    wave = wave * fade * _PEAK * rng.uniform(0.8, 1.2) / np.abs(wave).max()
    return np.round(wave * 32_767).astype(np.int16)


def _brief(question: Question) -> Brief:
    """Return what the teacher is asked for a drum loop or a phrase."""
    family = FAMILIES[question.voice]
    return Brief(
        family.category,
        family.name,
        bpm=None if question.bpm is None else float(question.bpm),
        key=None if question.root is None else f"{NOTES[question.root]} {question.quality}",
        seconds=SECONDS,
    )


def _note(voice: str, midi: int, variant: int) -> np.ndarray:
    rng = np.random.default_rng([midi, variant])
    made = VOICES[voice](rng, 440.0 * 2 ** ((midi - 69) / 12))
    wave = np.zeros(FRAMES)
    wave[: made.size] = made[:FRAMES]
    return wave


def _piano(rng: np.random.Generator, hz: float) -> np.ndarray:
    return v.struck(hz, SECONDS, SAMPLE_RATE, tau=1.6)


def _organ(rng: np.random.Generator, hz: float) -> np.ndarray:
    return v.organ(hz, SECONDS, SAMPLE_RATE)


def _flute(rng: np.random.Generator, hz: float) -> np.ndarray:
    return v.flute(rng, hz, SECONDS, SAMPLE_RATE)


def _lead(rng: np.random.Generator, hz: float) -> np.ndarray:
    wave = v.detuned(rng, hz, SECONDS, SAMPLE_RATE, spread=0.003, voices=2)
    shape = v.adsr(SECONDS, SAMPLE_RATE, attack=0.02, release=0.06)
    return v.band(wave, "lowpass", 2_000, SAMPLE_RATE) * shape[: wave.size]


def _guitar(rng: np.random.Generator, hz: float) -> np.ndarray:
    """Pluck at four times the rate, so that a period of whole samples is in tune."""
    string = v.pluck(rng, hz, SECONDS, 4 * SAMPLE_RATE, ring=0.999)
    return v.band(string, "highpass", 80.0, 4 * SAMPLE_RATE)[::4]  # it rings at 0 Hz, too


VOICES = {"piano": _piano, "organ": _organ, "flute": _flute, "lead": _lead, "guitar": _guitar}
"""Players of one note: voice(rng, hz) gives up to FRAMES samples."""
VOICES_OF_TEACHER = ("drums", "phrase")
"""Kinds that the teacher renders whole."""

TEMPLATES = {
    "note": (
        "{root} note, {voice}",
        "{voice} note, {root}",
        "{voice} playing {root}",
        "single {root} note on {voice}",
        "{level} {root} note, {voice}",
        "{root}, {level} {voice} note",
        "{root} note",
    ),
    "interval": (
        "{quality} on {root}, {voice}",
        "{voice}, {quality} on {root}",
        "{quality} above {root}, {voice}",
        "interval of {quality} from {root} on {voice}",
    ),
    "chord": (
        "{root} {quality} chord, {voice}",
        "{voice} chord, {root} {quality}",
        "{root} {quality}, {voice}",
        "{voice} playing {root} {quality} chord",
        "{root} {quality} chord",
    ),
    "phrase": (
        "{words} in {root} {quality} at {bpm} bpm",
        "{bpm} bpm {words}, {root} {quality}",
        "{words}, {bpm} bpm, {root} {quality}",
        "{root} {quality} {words} at {bpm} bpm",
    ),
    "drums": (
        "{words} at {bpm} bpm",
        "{bpm} bpm {words}",
        "{words}, {bpm} bpm",
        "{words} loop at {bpm} bpm",
        "{words} with tempo {bpm}",
    ),
}
_HELD_OUT = {
    "note": "{voice} sound with {root}",
    "interval": "{voice} playing {quality} from {root}",
    "chord": "single {quality} chord of {root} on {voice}",
    "phrase": "{words} with tempo {bpm} in {root} {quality}",
    "drums": "loop of {words} with {bpm} bpm",
}
LEVELS = {3: "low", 4: "high"}
_FLAT_OF = {1: "d flat", 3: "e flat", 6: "g flat", 8: "a flat", 10: "b flat"}


def words_for(question: Question, rng: np.random.Generator, *, held_out: bool = False) -> str:
    """Phrase a clip, lower case; `held_out` uses the templates that training never sees."""
    options = TEMPLATES[question.kind]
    template = _HELD_OUT[question.kind] if held_out else options[int(rng.integers(len(options)))]
    family = FAMILIES.get(question.voice) if question.kind in VOICES_OF_TEACHER else None
    return template.format(
        root="" if question.root is None else note_name(question.root, rng),
        voice=question.voice,
        quality=question.quality,
        level=LEVELS[question.octave],
        bpm=question.bpm,
        words=family.words[int(rng.integers(len(family.words)))] if family else "",
    )


def note_name(pitch_class: int, rng: np.random.Generator) -> str:
    """Name a pitch class in one of its spellings: "c#", "c sharp" or "d flat"."""
    name = NOTES[pitch_class].lower()
    if "#" not in name:
        return name
    spellings = (name, name.replace("#", " sharp"), _FLAT_OF[pitch_class])
    return spellings[int(rng.integers(3))]


def _render_index(job: tuple[int, int]) -> np.ndarray:
    seed, index = job
    return render_question(draw(seed, index), seed * 1_000_003 + index)


def load_or_render(folder: Path, seed: int, count: int, workers: int = 2) -> np.ndarray:
    """Return int16 clips, shape [count, FRAMES], memory-mapped from the cache in `folder`."""
    return cached(folder / f"musicgen-clips-{seed}-{count}", _render_index, seed, count, workers)


def _render_loop(job: tuple[int, int]) -> np.ndarray:
    seed, index = job
    return render_question(draw_loop(seed, index), seed * 1_000_003 + 500_000 + index)


def load_or_render_loops(folder: Path, seed: int, count: int, workers: int = 2) -> np.ndarray:
    """Return int16 drum loops, shape [count, FRAMES], cached like `load_or_render`."""
    return cached(folder / f"musicgen-loops-{seed}-{count}", _render_loop, seed, count, workers)
