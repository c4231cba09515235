"""Free words: the many words people use for a sound, each put on the one brief field it is about.

A table of rules, and around it negation and order. "Boomy" asks for dark, "without reverb" for dry,
"not bright" for dark: a tone has two ends, and what is ruled out at one is asked at the other. A
negated word that only describes a thing ("without distorted guitars") asks nothing. A brief holds
one value for the whole clip, so what is said of a part of it ("first dark, then bright") is told as
not checked, as are words that no field holds: loudness, pace, mood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Asked = tuple[str, str | bool]
"""A brief field and its value."""
Meaning = Callable[[Sequence[str]], Mapping[str, str]]
"""Puts words that no rule knows on words of the table; those it is not sure of are left out."""

QUALITIES: dict[Asked, str] = {
    ("brightness", "dark"): "boomy dull dim murky muddy smoky velvety subdued woolly bassy shadowy "
    "lowpassed underwater",
    ("brightness", "bright"): "shimmering shimmery glassy brilliant tinny piercing shrill icy "
    "sizzling trebly glittering twinkling gleaming shiny sparkly",
    ("space", "dry"): "deadened anechoic intimate upfront unreverberated boxy",
    ("space", "spacious"): "wet cavernous lush echoing echoey vast expansive distant drenched "
    "reverberating reverby hollow",
    ("drive", "clean"): "undistorted pristine polished transparent",
    ("drive", "distorted"): "crunchy fuzzy saturated dirty grungy growling growly raspy bitcrushed "
    "clipped abrasive grainy",
    ("attack", "punchy"): "pounding clicky plucky stabbing knocking hitting",
    ("attack", "soft"): "delicate tender swelling pillowy feathery bowed legato silky",
    ("percussion", True): "percussive hammered clattering",
    ("percussion", False): "drumless beatless",
    ("sustained", True): "droning steady continuous sustained unbroken constant humming",
    ("sustained", False): "choppy gated stuttering staccato intermittent sporadic",
    ("stereo", "wide"): "wide panoramic widescreen",
    ("stereo", "narrow"): "narrow",
}
"""Adjectives by what they ask for. None is a word of `wording.vocabulary()`."""
THINGS: dict[Asked, str] = {
    ("brightness", "bright"): "treble sparkle shimmer",
    ("space", "spacious"): "reverb reverberation echo echoes",
    ("drive", "distorted"): "distortion overdrive fuzz grit saturation clipping crunch",
    ("attack", "punchy"): "punch",
    ("percussion", True): "drums drum percussion beat beats drumming",
}
"""Nouns that ask for a quality by being there; drums, also a kind of sound, only after "with"."""
ELEMENTS = {
    **{word: "bass" for word in ("bass", "sub", "lows", "rumble")},
    **{word: "noise" for word in ("noise", "hiss", "static", "crackle")},
    **{word: "tones" for word in ("tones", "notes", "melody", "melodies", "pitch")},
}
"""Words that, ruled out, forbid an element of a brief."""
_LEVEL = ("loud", "quiet", "rich", "thick", "thin")
_PACE = ("fast", "uptempo", "downtempo")
_MOOD = ("sad", "happy", "eerie", "calm", "aggressive", "peaceful", "tense", "joyful", "epic")
UNCHECKED = ("panned", *_LEVEL, *_PACE, *_MOOD, "dreamy", "nostalgic", "vintage", "modern")
"""Words understood to describe sound, for which a brief has no field."""

_OPPOSITES = (("dark", "bright"), ("dry", "spacious"), ("clean", "distorted"), ("punchy", "soft"))
_OTHER_END: dict[str | bool, str | bool] = {
    **{a: b for pair in _OPPOSITES for a, b in (pair, pair[::-1])},
    **{True: False, False: True, "wide": "narrow", "narrow": "wide"},
}
_THING_WORDS = frozenset(word for words in THINGS.values() for word in words.split())
_NOTHING_OF = ("no", "without", "lacking", "avoid", "free of")
_NOT = (
    *_NOTHING_OF,
    "not",
    "never",
    "less",
    "nor",
    "hardly",
    "isn't",
    "aren't",
    "don't",
    "doesn't",
)
_BETWEEN = (
    *("an?", "any", "the", "too", "very", "so", "overly", "that", "much", "really", "at", "all"),
    *("be", "have", "want", "use", "add", "make", "it"),
)
_NEGATION = re.compile(
    rf"\b(?P<by>{'|'.join(_NOT)})\s{{1,3}}(?!(?:only|just|longer)\b)"
    rf"(?:(?:{'|'.join(_BETWEEN)})\s{{1,3}}){{0,4}}(?P<first>[a-z0-9]{{2,20}})\b"
    rf"(?P<more>(?:\s{{1,3}}(?:or\s{{1,3}}[a-z0-9]{{2,20}}|and\s{{1,3}}(?:{'|'.join(_THING_WORDS)}))\b)"
    r"{0,8})(?=\s{1,3}(?P<next>[a-z]{1,20})|)"
    r"|\b(?P<free>[a-z]{2,20})-free\b"
)
_WORD = re.compile(r"[a-z]+")
_ENDINGS = (("er", ""), ("er", "e"), ("ier", "y"))
_LATER = re.compile(
    r"\bfirst(?:ly)?\b|\bthen\b(?! nothing| silence)|\bafterwards\b|\bfollowed by\b|\bfinally\b"
    r"|\b(?:turning|turns|changing|changes|morphing|morphs|evolving|evolves) into\b"
    r"|\b(?:becomes|becoming|gets|getting|grows|growing)\b"
)
_FROM_TO = re.compile(r"\bfrom ([a-z]{2,20}) to ([a-z]{2,20})\b")
_EMPTY = re.compile(r"[\s,.;]*(?:nothing|silence|and\b|$)[\s,.;]*$")
_MOST_PARTS = 8


@dataclass(frozen=True)
class Negated:
    """One word that is ruled out."""

    word: str
    describes: bool = False
    """Whether it only describes the thing that is ruled out: "without distorted guitars"."""


def word_table(more: Mapping[Any, Sequence[str]]) -> dict[str, Asked]:
    """Return every word that asks for a quality, by word.

    Args:
        more: words beside the rules', such as `wording.TONE_WORDS`.
    """
    table = {
        w: asked for rules in (QUALITIES, THINGS) for asked in rules for w in rules[asked].split()
    }
    return table | {word: asked for asked, words in more.items() for word in words}


def in_order(text: str, known: Mapping[str, Asked]) -> tuple[str, list[str]]:
    """Split a text into what is said of the whole clip and what is said of parts, one by one.

    Returns:
        The text itself and no parts, unless it has words of order: "first", "then", "turning into",
        "from dark to bright". Of many parts the last ones stay together.
    """

    def spelled(match: re.Match[str]) -> str:
        here, there = match.groups()
        return f"first {here} then {there}" if {here, there} <= set(known) else match.group()

    text = _FROM_TO.sub(spelled, text)
    begin = _LATER.search(text)
    if begin is None:
        return text, []
    whole, rest = (
        (text[: begin.start()], text[begin.start() :]) if "first" in begin.group() else ("", text)
    )
    return whole, [part for part in _LATER.split(rest, _MOST_PARTS - 1) if not _EMPTY.match(part)]


def negations(text: str) -> tuple[str, list[Negated]]:
    """Take out what a text rules out.

    "No", "not", "without" and their like rule out the next word and those joined to it by "or" (for
    things by "and" too), whatever the degree ("not too bright"); so does the ending "-free".

    Returns:
        The text without them, and the words in their order.
    """
    ruled_out: list[Negated] = []

    def take(match: re.Match[str]) -> str:
        first = match["first"] or match["free"]
        more = [w for w in (match["more"] or "").split() if w not in ("or", "and")]
        describes = (
            match["by"] in _NOTHING_OF
            and match["next"] is not None
            and match["next"] not in ("and", "or", "but")
        )
        ruled_out.extend(
            Negated(word, describes and word not in _THING_WORDS) for word in (first, *more)
        )
        return " "

    return _NEGATION.sub(take, text), ruled_out


def asked_by(text: str, ruled_out: Sequence[Negated], known: Mapping[str, Asked]) -> dict[str, Any]:
    """Return the brief fields that the words of one text ask for.

    A later word overrides an earlier one. What is asked and ruled out at once ("bright but not too
    bright") is not asked.

    Args:
        text: without what it rules out.
        ruled_out: words, see `negations`.
        known: words by what they ask for, see `word_table`.
    """
    words = _WORD.findall(text)
    said = dict(
        asked
        for before, word in zip(["", *words], words, strict=False)
        if (asked := look_up(word, known)) is not None
        and (before == "with" or word not in THINGS["percussion", True].split())
    )
    unsaid: dict[str, str | bool] = {}
    for negated in ruled_out:
        asked = look_up(negated.word, known)
        if asked is not None and not negated.describes:
            unsaid[asked[0]] = _OTHER_END[asked[1]]
    clash = {name for name in said.keys() & unsaid.keys() if said[name] != unsaid[name]}
    return {name: value for name, value in (said | unsaid).items() if name not in clash}


def look_up(word: str, known: Mapping[str, Asked]) -> Asked | None:
    """Return what a word asks for, comparatives included ("brighter"); None if no rule knows it."""
    stems = (word.removesuffix(end) + new for end, new in _ENDINGS if word.endswith(end))
    return next((known[w] for w in (word, *stems) if w in known), None)


def join_parts(whole: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what holds for the whole clip.

    A quality, a form or what must be absent must be said of all parts alike. A number, a kind of
    sound or what must be heard may be said once, and is dropped where the parts differ.
    """
    joined = dict(whole)
    qualities = {*(asked[0] for asked in QUALITIES), "forbidden", "one_shot", "gapless"}
    for name in {name for part in parts for name in part}:
        told = [part[name] for part in parts if name in part]
        everywhere = len(told) == len(parts) or name not in qualities
        joined.pop(name, None)
        if everywhere and all(value == told[0] for value in told):
            joined[name] = told[0]
    return joined
