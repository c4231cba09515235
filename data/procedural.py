"""Procedural targets: an endless, deterministic stream with known ground truth.

`sample(seed, index)` draws a brief, then words for it that `data.wording.read_text` reads back to
the same brief. Train and eval are disjoint: the split is decided by a hash of what is asked, so no
brief is ever in both, and their sentences come from different frames.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any

import numpy as np

from audioforge.data.brief import KEYS, Brief
from audioforge.data.families import FAMILIES, Family
from audioforge.data.presets import presets
from audioforge.data.references import reference_files
from audioforge.data.target_fields import SPLITS, Split, Target, certain, difficulty_of
from audioforge.data.wording import TONE_WORDS, caption, read_text

BPM_RANGE = (70, 174)
MAX_SECONDS = 4.0
_EVAL_SHARE = 0.2
"""Share of all briefs that belong to eval."""
_MAX_ASKED = 4
"""Most of tempo, key and tones asked at once."""

_VOWEL = re.compile(r"\ba (?=[aeiou])")
_FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "{bpm_}{tones_}{words}{in_key}, {length}",
        "{Tones_}{words}{at_bpm}{in_key}, {length}",
        "I need a {tones_}{words}{in_key}{at_bpm}, about {length}",
        "{Words}{in_key}{at_bpm}, {length}{should_be}",
        "Make {length} of {words}{in_key}{at_bpm}{should_be}",
        "{Words} for a game{at_bpm}{in_key}{should_be}; {length}",
        "{length}: {tones_}{words}{at_bpm}{in_key}",
        "Something like a {tones_}{words}{in_key}{at_bpm}, {length} long",
    ),
    "eval": (
        "Give me a {tones_}{words}, {length}{in_key}{at_bpm}",
        "We are looking for {words}{in_key}{should_be}; {length}{at_bpm}",
        "{Words}, {length}, nothing else{at_bpm}{in_key}{should_be}",
        "A film editor asks for {length} of {tones_}{words}{in_key}{at_bpm}",
    ),
}


def sample(seed: int, index: int, split: Split = "train") -> Target:
    """Draw one target; the same arguments give the same target, on any machine.

    Args:
        seed: of the stream, 0 or more.
        index: place in the stream, 0 or more; there is no end.
        split: "train" or "eval".

    Raises:
        ValueError: a negative number or an unknown split.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be 0 or more, got {seed} and {index}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    rng = np.random.default_rng([SPLITS.index(split), seed, index])
    brief = _draw(rng)
    while split_of(brief) != split:
        brief = _draw(rng)
    brief = replace(brief, **_length(brief, rng))
    description, tones = _describe(brief, split, rng)
    return _target(f"sampled-{split}-{seed}-{index}", split, brief, (description, *tones))


def split_of(brief: Brief) -> Split:
    """Return the split a brief belongs to, by what is asked apart from length and loop."""
    asked = (
        brief.family,
        brief.bpm,
        brief.key,
        brief.brightness,
        brief.space,
        brief.drive,
        brief.attack,
    )
    place = int.from_bytes(hashlib.sha256(repr(asked).encode()).digest()[:4], "big")
    return "eval" if place < _EVAL_SHARE * 2**32 else "train"


def _target(name: str, split: Split, brief: Brief, texts: tuple[str, ...]) -> Target:
    family = FAMILIES[brief.family or ""]
    usual = presets()[brief.category]["balanced"]
    return Target(
        id=name,
        category=brief.category,
        subcategory=family.name,
        target_description=texts[0],
        brief=brief,
        baseline_prompt=family.words[0],
        difficulty=difficulty_of(brief),
        split=split,
        reference_files=tuple(map(str, reference_files(brief.category, family.name))),
        tone_characteristics=texts[1:],
        suitable_sampler=usual.sampler,
        recommended_steps=usual.steps,
        typical_cfg_scale=usual.cfg_scale,
    )


def _draw(rng: np.random.Generator) -> Brief:
    """Draw what is asked; length and loop follow once the split is known."""
    families = list(FAMILIES.values())
    family = families[int(rng.integers(len(families)))]
    fields: dict[str, Any] = {}
    if family.bpm and rng.random() < 0.85:
        fields["bpm"] = float(rng.integers(*_tempo_range(family, rng), endpoint=True))
    if family.tonal and rng.random() < 0.5:
        fields["key"] = KEYS[int(rng.integers(len(KEYS)))]
    for name in rng.permutation(["brightness", "space", "drive", "attack"]):
        if len(fields) < _MAX_ASKED and rng.random() < 0.3:
            values = [value for tone, value in TONE_WORDS if tone == name]
            fields[str(name)] = values[int(rng.integers(len(values)))]
    fields |= certain(family.category, family.name)
    return Brief(family.category, family.name, **fields)


def _tempo_range(family: Family, rng: np.random.Generator) -> tuple[int, int]:
    """Return the family's home range, or now and then any tempo."""
    at_home = family.bpm is not None and rng.random() < 0.7
    return family.bpm if at_home and family.bpm else BPM_RANGE


def _length(brief: Brief, rng: np.random.Generator) -> dict[str, Any]:
    """Draw the length: mostly the longest, whole bars when it is to loop, two beats at least."""
    if brief.bpm and rng.random() < 0.2:
        bar = 240.0 / brief.bpm
        bars = max(int(MAX_SECONDS / bar), 1)
        return {"loop": True, "seconds": round(bar * bars, 3)}
    if rng.random() < 0.6:
        return {"seconds": MAX_SECONDS}
    shortest = 2.0 if brief.bpm else 1.0
    return {"seconds": float(rng.integers(int(2 * shortest), int(2 * MAX_SECONDS))) / 2}


def _describe(brief: Brief, split: Split, rng: np.random.Generator) -> tuple[str, list[str]]:
    """Phrase a brief so that it reads back to itself; return the text and its tone words."""
    for _ in range(20):
        text, tones = _sentence(brief, split, rng)
        if split == "train" and rng.random() < 0.25:
            text, tones = (f"{caption(brief, rng)}, {brief.seconds:g} s{_loop_words(brief)}", [])
        if _reads_back(text, brief):
            return text, tones or _tone_words_in(text, brief)
    raise AssertionError(f"no wording reads back to {brief}")


def _sentence(brief: Brief, split: Split, rng: np.random.Generator) -> tuple[str, list[str]]:
    def choose(options: tuple[str, ...]) -> str:
        return options[int(rng.integers(len(options)))]

    words = choose(FAMILIES[brief.family or ""].words)
    tones = [
        choose(spoken)
        for (name, value), spoken in TONE_WORDS.items()
        if getattr(brief, name) == value
    ]
    rng.shuffle(tones)
    frame = choose(_FRAMES[split])
    listed = ", ".join(tones)
    key = f"{brief.key}" if brief.key else ""
    slots = {
        "words": words,
        "Words": words[0].upper() + words[1:],
        "tones_": f"{listed} " if tones else "",
        "Tones_": f"{listed[0].upper()}{listed[1:]} " if tones else "",
        "should_be": f", it should sound {' and '.join(tones)}" if tones else "",
        "bpm_": f"{brief.bpm:.0f} BPM " if brief.bpm else "",
        "at_bpm": choose((" at {} BPM", ", {} BPM", ", tempo {}")).format(f"{brief.bpm:.0f}")
        if brief.bpm
        else "",
        "in_key": choose((" in {}", ", {}")).format(key) if key else "",
        "length": f"{brief.seconds:g} {choose(('s', 'seconds', 'sec'))}",
    }
    if tones and not any("{" + slot + "}" in frame for slot in ("tones_", "Tones_", "should_be")):
        frame += "{should_be}"
    text = _VOWEL.sub("an ", frame.format(**slots) + _loop_words(brief))
    return text, tones


def _loop_words(brief: Brief) -> str:
    return ", seamless loop" if brief.loop else ""


def _reads_back(text: str, brief: Brief) -> bool:
    """Whether the rules read exactly what the brief asks; "loop" alone may name a kind of sound."""
    judged = ("family", "seconds", "bpm", "key", "brightness", "space", "drive", "attack")
    fields = read_text(text).fields
    return all(fields.get(name) == getattr(brief, name) for name in judged)


def _tone_words_in(text: str, brief: Brief) -> list[str]:
    spoken = text.lower().replace(",", " ").split()
    return [
        word
        for (name, value), words in TONE_WORDS.items()
        if getattr(brief, name) == value
        for word in words
        if word in spoken
    ]
