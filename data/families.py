"""Families: the kinds of sound AudioForge names, in the words people use for them.

A family is what the teacher (`generation/synth.py`) can render, what a caption asks for and what a
style target is compared with. Everything that must agree on a word for a sound reads this table.

A family's first word is its canonical name in prompts; the rest are synonyms. Tempo ranges are in
BPM and give where the style is at home, not what is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Category = Literal["drums", "instruments", "sfx", "ambient", "phrases"]
CATEGORIES: tuple[Category, ...] = ("drums", "instruments", "sfx", "ambient", "phrases")


@dataclass(frozen=True)
class Family:
    """One kind of sound and the facts every room agrees on."""

    name: str
    category: Category
    words: tuple[str, ...]
    """Phrases that name it, canonical first, lower case."""
    bpm: tuple[int, int] | None = None
    """Home tempo range; None for sounds without a pulse."""
    tonal: bool = False
    """Whether a key or root note can be asked for."""
    percussive: bool = False
    """Whether drums or struck sounds are its substance."""


_ALL = (
    Family(
        "techno",
        "drums",
        ("techno drum loop", "four on the floor techno beat", "techno beat"),
        (124, 140),
        percussive=True,
    ),
    Family(
        "house",
        "drums",
        ("house drum loop", "house beat", "disco house groove"),
        (116, 128),
        percussive=True,
    ),
    Family(
        "breakbeat",
        "drums",
        ("breakbeat drum loop", "broken beat", "jungle break"),
        (130, 174),
        percussive=True,
    ),
    Family(
        "hiphop",
        "drums",
        ("hip hop drum loop", "boom bap beat", "hip hop beat"),
        (80, 100),
        percussive=True,
    ),
    Family(
        "trap",
        "drums",
        ("trap drum loop", "trap beat", "808 trap drums"),
        (130, 150),
        percussive=True,
    ),
    Family(
        "rock",
        "drums",
        ("rock drum loop", "acoustic rock drums", "rock beat"),
        (100, 140),
        percussive=True,
    ),
    Family(
        "tribal",
        "drums",
        ("tribal percussion loop", "hand drum groove", "conga and tom loop"),
        (90, 125),
        percussive=True,
    ),
    Family("bass", "instruments", ("synth bass note", "deep bass tone", "sub bass"), tonal=True),
    Family(
        "guitar",
        "instruments",
        ("plucked guitar", "acoustic guitar strum", "guitar pluck"),
        tonal=True,
    ),
    Family("piano", "instruments", ("piano chord", "grand piano", "piano"), tonal=True),
    Family("organ", "instruments", ("organ chord", "church organ", "hammond organ"), tonal=True),
    Family("flute", "instruments", ("flute note", "breathy flute", "solo flute"), tonal=True),
    Family("bell", "instruments", ("bell tone", "tubular bell", "metallic chime"), tonal=True),
    Family("lead", "instruments", ("synth lead", "saw lead", "supersaw lead"), tonal=True),
    Family("riser", "sfx", ("noise riser", "rising sweep", "build up riser")),
    Family("impact", "sfx", ("cinematic impact", "deep boom hit", "trailer hit"), percussive=True),
    Family("laser", "sfx", ("laser zaps", "sci-fi laser", "retro zap sound")),
    Family("siren", "sfx", ("alarm siren", "wailing siren", "warning siren")),
    Family("wind", "ambient", ("howling wind", "wind ambience", "gusty wind")),
    Family("rain", "ambient", ("rain ambience", "falling rain", "rain on leaves")),
    Family("drone", "ambient", ("dark drone", "evolving drone", "ambient drone pad"), tonal=True),
    Family("waves", "ambient", ("ocean waves", "sea waves", "waves on a beach")),
    Family(
        "arpeggio",
        "phrases",
        ("synth arpeggio", "arpeggiated synth", "sequenced arpeggio"),
        (100, 140),
        tonal=True,
    ),
    Family(
        "bassline",
        "phrases",
        ("synth bassline", "bass line", "acid bassline"),
        (100, 140),
        tonal=True,
    ),
    Family(
        "melody",
        "phrases",
        ("plucked melody", "music box melody", "marimba melody"),
        (80, 120),
        tonal=True,
    ),
    Family(
        "chords",
        "phrases",
        ("chord progression", "pad chord progression", "slow synth chords"),
        (70, 110),
        tonal=True,
    ),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}


def in_category(category: Category) -> list[Family]:
    """Return the families of one category, in table order."""
    return [family for family in _ALL if family.category == category]
