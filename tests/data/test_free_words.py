"""Free words are read by rule: qualities, negation, order, and what cannot be checked."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES
from audioforge.data.free_words import QUALITIES, THINGS, UNCHECKED, in_order, word_table
from audioforge.data.wording import TONE_WORDS, caption, read_text, vocabulary

QUALITY_FIELDS = {name for name, _ in QUALITIES}


def qualities(text):
    return {n: v for n, v in read_text(text).fields.items() if n in QUALITY_FIELDS}


def test_captions_and_the_vocabulary_are_those_the_models_were_trained_with():
    """A change here means that the embedded tokenizer and models no longer fit."""
    texts, rng = [], np.random.default_rng(5)
    for family in FAMILIES.values():
        for held_out in (False, True):
            tones = {name: value for name, value in TONE_WORDS if rng.random() < 0.3}
            brief = Brief(family.category, family.name, bpm=97.0 if family.bpm else None, **tones)
            texts.append(caption(brief, rng, held_out=held_out))
    digests = [hashlib.sha256("\n".join(t).encode()).hexdigest() for t in (vocabulary(), texts)]
    assert [digest[:16] for digest in digests] == ["4326cbb304595526", "ee8acb2a3866828a"]


def test_no_rule_takes_a_word_that_names_a_kind_of_sound():
    ruled = {w for words in QUALITIES.values() for w in words.split()} | set(UNCHECKED)
    assert not ruled & set(vocabulary())


def test_a_word_asks_for_one_thing():
    ruled = [w for words in (*QUALITIES.values(), *THINGS.values()) for w in words.split()]
    told = {w for words in TONE_WORDS.values() for w in words}
    assert not told & set(ruled)
    assert len(ruled) == len(set(ruled))


@pytest.mark.parametrize("asked", QUALITIES, ids=str)
def test_each_word_of_the_table_asks_for_its_quality(asked):
    for word in QUALITIES[asked].split():
        assert qualities(f"a {word} sound effect") == dict([asked]), word


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("piano with reverb", {"space": "spacious"}),
        ("piano with drums", {"percussion": True}),
        ("techno drums", {}),
        ("brighter and punchier flute", {"brightness": "bright", "attack": "punchy"}),
        ("not bright, boomy drums", {"brightness": "dark"}),
        ("not too bright", {"brightness": "dark"}),
        ("it isn\u2019t distorted", {"drive": "clean"}),
        ("I don't want any drums", {"percussion": False}),
        ("no drums or reverb", {"percussion": False, "space": "dry"}),
        ("without reverb and distortion", {"space": "dry", "drive": "clean"}),
        ("drone, reverb-free", {"space": "dry"}),
        ("free of echo", {"space": "dry"}),
        ("without distorted guitars", {}),
        ("not only bright but dry", {"brightness": "bright", "space": "dry"}),
        ("bright but not too bright", {}),
        ("muffled at first glance", {"brightness": "dark"}),
        ("dark drone, bright", {"brightness": "bright"}),
    ],
)
def test_negation_and_degree_are_read_by_rule(text, fields):
    assert qualities(text) == fields


@pytest.mark.parametrize(
    ("text", "fields", "unchecked"),
    [
        ("first dark rain, then bright rain", {"family": "rain"}, ["brightness of a part"]),
        ("piano from dark to bright", {"family": "piano"}, ["brightness of a part"]),
        ("a dry piano, first soft, then punchy", {"space": "dry"}, ["attack of a part"]),
        ("rain, crunchy, turning into wind", {"category": "ambient"}, ["drive of a part"]),
        ("trailer hit, punchy, then nothing", {"attack": "punchy"}, []),
        ("wet piano then wet organ", {"space": "spacious", "category": "instruments"}, []),
        ("wind, then rain without noise", {"category": "ambient"}, ["forbidden of a part"]),
        ("90 bpm techno beat, then 120 bpm", {"family": "techno"}, ["bpm of a part"]),
    ],
)
def test_what_is_said_of_a_part_is_told_as_not_checked(text, fields, unchecked):
    told = read_text(text)
    assert fields.items() <= told.fields.items()
    assert set(unchecked) <= set(told.unchecked)
    assert not {claim.split()[0] for claim in unchecked} & set(told.fields)


def test_words_without_a_field_are_told_as_not_checked():
    told = read_text("a panned, sad, loud piano")
    assert told.unchecked == ("panned", "loud", "sad")
    assert told.fields == {"family": "piano", "category": "instruments"}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("techno beat, 120-130 bpm", "bpm", 125.0),
        ("between 120 and 130 bpm", "bpm", 125.0),
        ("96 beats per minute", "bpm", 96.0),
        ("faster than 120 bpm", "bpm", None),
        ("not 120 bpm", "bpm", None),
        ("500 ms", "seconds", 0.5),
        ("1.5 minutes of rain", "seconds", 90.0),
        ("20 minutes of rain", "seconds", None),
    ],
)
def test_numbers_are_read_with_their_units_and_bounds(text, name, value):
    assert read_text(text).fields.get(name) == value


_WORDS = st.sampled_from(
    [
        *(*word_table(TONE_WORDS), *UNCHECKED, *vocabulary()),
        *("no", "not", "without", "first", "then", "from", "to", "or", "and", "-free", "free of"),
        *(",", ".", "piano", "120 bpm", "3 s", "\u2019"),
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(_WORDS, max_size=40).map(" ".join)))
def test_any_text_is_read_into_fields_that_make_a_brief(text):
    fields = read_text(text).fields
    Brief(**{"category": "instruments", **fields})


@pytest.mark.parametrize(
    "unit",
    ["no ", "then ", "not a or ", "first from dark to bright ", "a-free ", "without the and "],
)
def test_long_texts_of_one_word_are_read(unit):
    text = (unit * 4_000)[:4_000]
    assert len(in_order(text, word_table(TONE_WORDS))[1]) <= 8
    read_text(text)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("wide organ", {"stereo": "wide"}),
        ("organ, not too wide", {"stereo": "narrow"}),
        ("techno loop, no bass, without hiss", {"forbidden": ("bass", "noise")}),
        ("one-shot impact in mono", {"one_shot": True, "stereo": "mono"}),
        ("rain without gaps", {"gapless": True}),
        ("rain with pauses", {"gapless": False}),
        ("techno without distorted bass", {}),
    ],
)
def test_form_and_unwanted_elements_are_read(text, fields):
    new = {"stereo", "forbidden", "one_shot", "gapless"}
    assert {k: v for k, v in read_text(text).fields.items() if k in new} == fields
