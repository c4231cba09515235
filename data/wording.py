"""Wording: briefs into captions, and free text back into brief fields.

`caption` phrases a brief the way people type prompts, with synonyms and shuffled order; it makes
the training captions of the embedded models and the baseline prompts of procedural targets.
`read_text`
is the inverse: rules for tempo, key, length, negation and tone words, for users' own text and for
the `synth` backend, which takes prompts like any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from audioforge.data.brief import NOTES, Brief
from audioforge.data.families import CATEGORIES, FAMILIES, Category

CATEGORY_WORDS: dict[Category, tuple[str, ...]] = {
    "drums": ("drum loop", "drums", "beat", "percussion"),
    "instruments": ("instrument note", "instrument", "single instrument"),
    "sfx": ("sound effect", "sfx", "effect"),
    "ambient": ("ambience", "ambient texture", "soundscape"),
    "phrases": ("musical phrase", "music loop", "phrase"),
}
TONE_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("brightness", "dark"): ("dark", "muffled", "warm", "mellow"),
    ("brightness", "bright"): ("bright", "crisp", "airy", "sparkling"),
    ("space", "dry"): ("dry", "close"),
    ("space", "spacious"): ("spacious", "reverberant", "roomy"),
    ("drive", "clean"): ("clean", "pure"),
    ("drive", "distorted"): ("distorted", "gritty", "overdriven"),
    ("attack", "punchy"): ("punchy", "tight", "snappy"),
    ("attack", "soft"): ("soft", "gentle"),
}
FILLERS = (
    "high quality",
    "studio recording",
    "professional",
    "clean mix",
    "stereo",
    "loopable",
    "full",
)

_TEMPLATES = (
    "{tone}{words}",
    "{tone}{words}{comma_bpm}{in_key}",
    "{bpm_}{tone}{words}{in_key}",
    "a {tone}{words}{at_bpm}{in_key}",
    "{words}{comma_tone}{comma_bpm}{comma_key}",
    "{key_}{tone}{words}{at_bpm}",
)
_HELD_OUT_TEMPLATES = (
    "please make {words} sounding {plain_tone}, tempo {bpm}",
    "sound of {words}{in_key}, {plain_tone} and loopable{at_bpm}",
    "{bpm_}{in_key_first}{words}, {plain_tone}",
)


def caption(brief: Brief, rng: np.random.Generator, *, held_out: bool = False) -> str:
    """Phrase a brief as a prompt, lower case.

    Args:
        brief: what to say; every asked field is said, apart from length and loop.
        rng: chooses synonyms, template and an occasional filler word.
        held_out: use the templates that training never sees.
    """
    words = _choose(
        rng, FAMILIES[brief.family].words if brief.family else CATEGORY_WORDS[brief.category]
    )
    tones = [
        _choose(rng, TONE_WORDS[name, value])
        for name, value in brief.asked().items()
        if (name, value) in TONE_WORDS
    ]
    rng.shuffle(tones)
    bpm = f"{brief.bpm:.0f} bpm" if brief.bpm else ""
    key = brief.key.lower() if brief.key else ""
    parts = {
        "words": words,
        "tone": "".join(f"{t} " for t in tones),
        "plain_tone": " ".join(tones) or "natural",
        "comma_tone": "".join(f", {t}" for t in tones),
        "bpm": bpm or "free",
        "bpm_": f"{bpm} " if bpm else "",
        "at_bpm": f" at {bpm}" if bpm else "",
        "comma_bpm": f", {bpm}" if bpm else "",
        "in_key": f" in {key}" if key else "",
        "in_key_first": f"{key} " if key else "",
        "key_": f"{key} " if key else "",
        "comma_key": f", {key}" if key else "",
    }
    text = _choose(
        rng, _HELD_OUT_TEMPLATES if held_out else _complete_templates(bpm, tones, key)
    ).format(**parts)
    if not held_out and rng.random() < 0.15:
        text += ", " + _choose(rng, FILLERS)
    return text


def _complete_templates(bpm: str, tones: list[str], key: str) -> list[str]:
    """Return the templates that say everything there is to say."""

    def says(template: str, *slots: str) -> bool:
        return any("{" + slot + "}" in template for slot in slots)

    return [
        t
        for t in _TEMPLATES
        if (not bpm or says(t, "bpm_", "at_bpm", "comma_bpm"))
        and (not tones or says(t, "tone", "comma_tone"))
        and (not key or says(t, "in_key", "key_", "comma_key"))
    ]


def _choose(rng: np.random.Generator, options: tuple[str, ...] | list[str]) -> str:
    return options[int(rng.integers(len(options)))]


def vocabulary() -> list[str]:
    """Return every word a caption can contain, sorted: what the embedded tokenizer must know."""
    texts = [w for f in FAMILIES.values() for w in f.words]
    texts += [w for group in (*CATEGORY_WORDS.values(), *TONE_WORDS.values()) for w in group]
    texts += [*FILLERS, *_TEMPLATES, "bpm major minor sharp"]
    texts += [" ".join(NOTES).replace("#", " ")]
    words = {
        w for text in texts for w in re.findall(r"[a-z0-9]+", re.sub(r"\{\w+\}", " ", text.lower()))
    }
    return sorted(words | {str(n) for n in range(10)})


@dataclass(frozen=True)
class Reading:
    """What a text was understood to ask for."""

    fields: dict[str, Any] = field(default_factory=dict)
    """Brief fields by name; those not mentioned are absent."""
    negated: tuple[str, ...] = ()
    """Words the text forbids ("no drums", "without reverb")."""


_BPM = re.compile(
    r"\b(\d{2,3}(?:\.\d{1,2})?)\s{0,3}-?bpm\b|\bbpm\s{0,3}[:=]?\s{0,3}(\d{2,3})\b|\btempo\s{0,3}(?:of\s{1,3})?(\d{2,3})\b"
)
_KEY = re.compile(r"\b([a-g])\s{0,2}(#|sharp|b|flat)?\s{0,2}(major|minor|maj|min)\b")
_SECONDS = re.compile(r"\b(?!\d0s\b)(\d{1,3}(?:\.\d{1,3})?)\s{0,2}(?:s|sec|secs|seconds?)\b")
_NEGATION = re.compile(
    r"\b(?:no|not|without|never|avoid)\s{1,3}(?:an?\s{1,3}|any\s{1,3})?([a-z0-9]{2,20})"
)
_FLATS = {"d": "C#", "e": "D#", "g": "F#", "a": "G#", "b": "A#", "c": "B", "f": "E"}
MAX_TEXT = 4_000
"""Characters read; the rest of a longer text is ignored."""


def read_text(text: str) -> Reading:
    """Read brief fields out of free text by rule; linear time, never raises.

    A later mention of tone overrides an earlier one; a word after a negation counts as forbidden
    and not as asked. Nothing is guessed: what is not said is absent.
    """
    low = text[:MAX_TEXT].lower()
    negated = tuple(m.group(1) for m in _NEGATION.finditer(low))
    plain = _NEGATION.sub(" ", low).replace("clean mix", " ")
    fields: dict[str, Any] = {}
    if match := _BPM.search(plain):
        bpm = float(next(g for g in match.groups() if g))
        if 30 <= bpm <= 300:
            fields["bpm"] = bpm
    if match := _KEY.search(plain):
        fields["key"] = _key_name(*match.groups())
    if (match := _SECONDS.search(plain)) and 0 < float(match.group(1)) <= 190:
        fields["seconds"] = float(match.group(1))
    if re.search(r"\bloop", plain):
        fields["loop"] = True
    for (name, value), words in TONE_WORDS.items():
        if any(_mentions(plain, word) for word in words):
            fields[name] = value
    fields |= _kind_of(plain)
    if {"drums", "drum", "percussion", "beats"} & set(negated):
        fields["percussion"] = False
    return Reading(fields, negated)


def tempo_of(text: str) -> float:
    """Return the beats per minute a text asks for, 0 when it names none."""
    return float(read_text(text).fields.get("bpm", 0.0))


def _mentions(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text) is not None


def _key_name(note: str, accidental: str | None, mode: str) -> str:
    if accidental in ("#", "sharp"):
        tonic = NOTES[(NOTES.index(note.upper()) + 1) % 12]
    else:
        tonic = _FLATS[note] if accidental in ("b", "flat") else note.upper()
    return f"{tonic} {'major' if mode.startswith('maj') else 'minor'}"


def _kind_of(text: str) -> dict[str, str]:
    """Name family and category: the longest family phrase wins, then the category."""
    phrases = [
        (len(w), f.name)
        for f in FAMILIES.values()
        for w in (*f.words, f.name)
        if _mentions(text, w)
    ]
    if phrases:
        family = max(phrases)[1]
        return {"family": family, "category": FAMILIES[family].category}
    for category in CATEGORIES:
        if any(_mentions(text, w) for w in (*CATEGORY_WORDS[category], category)):
            return {"category": category}
    return {}
