"""Wording: briefs into captions, and free text back into brief fields.

`caption` phrases a brief the way people type prompts, with synonyms and shuffled order; it makes
the training captions of the embedded models and the baseline prompts of procedural targets.
`read_text`
is the inverse: rules for tempo, key, length, negation and tone words, for users' own text and for
the `synth` backend, which takes prompts like any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from audioforge.data.brief import NOTES, Brief
from audioforge.data.families import CATEGORIES, FAMILIES, Category
from audioforge.data.free_words import (
    ELEMENTS,
    UNCHECKED,
    Asked,
    Meaning,
    asked_by,
    in_order,
    join_parts,
    look_up,
    negations,
    word_table,
)

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
    unchecked: tuple[str, ...] = ()
    """Claims understood that no field holds: "happy", or "brightness of a part"."""


_BOUND = r"(?:over|under|above|below|than|least|most|beyond)\s{1,3}"
_BPM = re.compile(
    r"\b(?:(\d{2,3})\s{0,2}(?:-|to|and)\s{0,2})?(\d{2,3}(?:\.\d{1,2})?)"
    r"\s{0,3}-?(?:bpm|beats per minute)\b|\bbpm\s{0,3}[:=]?\s{0,3}(\d{2,3})\b"
    r"|\btempo\s{0,3}(?:of\s{1,3})?(\d{2,3})\b"
)
_BOUNDED_BPM = re.compile(_BOUND + r"\d{2,3}(?:\.\d{1,2})?\s{0,3}-?(?:bpm|beats per minute)\b")
_KEY = re.compile(r"\b([a-g])\s{0,2}(#|sharp|b|flat)?\s{0,2}(major|minor|maj|min)\b")
_SECONDS = re.compile(
    r"\b(?!\d0s\b)(\d{1,4}(?:\.\d{1,3})?)\s{0,2}(s|secs?|seconds?|ms|milliseconds?|minutes?)\b"
)
_UNITS = {"s": 1.0, "ms": 0.001, "mil": 0.001, "minute": 60.0}
_FORM: dict[re.Pattern[str], tuple[str, Any]] = {
    re.compile(r"\bone[- ]shots?\b"): ("one_shot", True),
    re.compile(r"\bin mono\b"): ("stereo", "mono"),
    re.compile(r"\b(?:no|without|any) (?:gaps|pauses|silence)\b|\bgapless\b"): ("gapless", True),
    re.compile(r"\bwith (?:gaps|pauses|silences)\b"): ("gapless", False),
}
"""Phrases for the form of a clip; negations among them are part of the phrase."""
_FLATS = {"d": "C#", "e": "D#", "g": "F#", "a": "G#", "b": "A#", "c": "B", "f": "E"}
MAX_TEXT = 4_000
"""Characters read; the rest of a longer text is ignored."""


def read_text(text: str, meaning: Meaning | None = None) -> Reading:
    """Read brief fields out of free text by rule; linear time, and never raises without `meaning`.

    A later mention of tone overrides an earlier one, apart from words inside a family's name ("dark
    drone, bright"). What is ruled out is asked at the other end of its scale, see `free_words.py`.
    Of a text in parts ("first ..., then ..."), only what holds for the whole clip is asked. Nothing
    is guessed: what is not said is absent.

    Args:
        text: anything.
        meaning: puts words that no rule knows on ones that a rule knows, such as
            `word_meaning.NearestWord()`.

    Raises:
        ImportError: only from `meaning`, when its files are missing.
    """
    low = text[:MAX_TEXT].lower().replace("\u2019", "'").replace("clean mix", " ")
    known = word_table(TONE_WORDS)
    if meaning is not None:
        strange = sorted({w for w in re.findall(r"[a-z]{3,20}", low)} - _plain_words())
        strange = [word for word in strange if look_up(word, known) is None]
        known |= {word: known[near] for word, near in meaning(strange).items()}
    whole, parts = in_order(low, known)
    first, *rest = [_read_part(part, known) for part in (whole, *parts)]
    fields = join_parts(first.fields, [part.fields for part in rest])
    if "category" not in fields:
        fields.pop("family", None)
    partial = sorted({n for part in (first, *rest) for n in part.fields} - set(fields))
    return Reading(
        fields,
        tuple(word for part in (first, *rest) for word in part.negated),
        (*(w for w in UNCHECKED if _mentions(low, w)), *(f"{n} of a part" for n in partial)),
    )


@lru_cache(maxsize=1)
def _plain_words() -> frozenset[str]:
    """Words that the rules read, or read past, without a table of tones."""
    return frozenset(vocabulary()) | frozenset(UNCHECKED)


def _read_part(text: str, known: Mapping[str, Asked]) -> Reading:
    plain, ruled_out = negations(text)
    fields = _numbers(plain)
    if re.search(r"\bloop", plain):
        fields["loop"] = True
    kind, phrase = _kind_of(plain)
    fields |= kind
    fields |= asked_by(plain, ruled_out, known)
    if phrase:
        fields |= asked_by(plain.replace(phrase, " "), ruled_out, known)
    fields |= dict(asked for rule, asked in _FORM.items() if rule.search(text))
    unwanted = {ELEMENTS[n.word] for n in ruled_out if n.word in ELEMENTS and not n.describes}
    if unwanted:
        fields["forbidden"] = tuple(sorted(unwanted))
    return Reading(fields, tuple(negated.word for negated in ruled_out))


def _numbers(text: str) -> dict[str, Any]:
    """Read tempo (of a range the middle, of a bound nothing), key and length."""
    fields: dict[str, Any] = {}
    if match := _BPM.search(_BOUNDED_BPM.sub(" ", text)):
        told = [float(group) for group in match.groups() if group]
        bpm = sum(told) / len(told)
        if 30 <= bpm <= 300:
            fields["bpm"] = bpm
    if match := _KEY.search(text):
        fields["key"] = _key_name(*match.groups())
    if match := _SECONDS.search(text):
        unit = next(size for start, size in _UNITS.items() if match[2].startswith(start))
        seconds = float(match[1]) * unit
        if 0 < seconds <= 190:
            fields["seconds"] = seconds
    return fields


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


def _kind_of(text: str) -> tuple[dict[str, str], str]:
    """Name family and category, and the phrase: the longest family phrase, then the category."""
    phrases = [
        (len(w), f.name, w)
        for f in FAMILIES.values()
        for w in (*f.words, f.name)
        if _mentions(text, w)
    ]
    if phrases:
        _, family, phrase = max(phrases)
        return {"family": family, "category": FAMILIES[family].category}, phrase
    for category in CATEGORIES:
        for word in (*CATEGORY_WORDS[category], category):
            if _mentions(text, word):
                return {"category": category}, word
    return {}, ""
