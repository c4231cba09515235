"""Captions say what a brief asks, and reading free text finds it again."""

import numpy as np
import pytest

from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES
from audioforge.data.wording import caption, read_text, vocabulary


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_caption_reads_back_as_its_brief(name, held_out):
    family = FAMILIES[name]
    rng = np.random.default_rng(1)
    fields = {"brightness": "dark", "attack": "soft"}
    fields |= {"bpm": 97.0} if family.bpm else {}
    fields |= {"key": "F# minor"} if family.tonal and not held_out else {}
    for _ in range(5):
        text = caption(Brief(family.category, name, **fields), rng, held_out=held_out)
        told = read_text(text).fields
        assert told["family"] == name, text
        for field in ("bpm", "key"):
            if field in fields:
                assert told[field] == fields[field], text


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("128 BPM techno drum loop, 4 s", {"bpm": 128.0, "seconds": 4.0, "family": "techno"}),
        ("tempo of 90, boom bap beat", {"bpm": 90.0, "family": "hiphop"}),
        ("organ chord in Bb minor", {"key": "A# minor", "family": "organ"}),
        ("crisp rain ambience", {"brightness": "bright", "category": "ambient"}),
        ("80s disco house groove", {"family": "house"}),
        ("5000 bpm noise", {}),
        ("", {}),
    ],
)
def test_free_text_is_read_by_rule(text, fields):
    told = read_text(text).fields
    for name, value in fields.items():
        assert told[name] == value
    if "seconds" not in fields:
        assert "seconds" not in told
    if "bpm" not in fields:
        assert "bpm" not in told


def test_negated_words_are_forbidden_and_not_asked():
    told = read_text("dark drone, no drums, without distorted guitars")
    assert told.negated == ("drums", "distorted")
    assert told.fields["percussion"] is False
    assert "drive" not in told.fields


@pytest.mark.parametrize("text", ["a" * 100_000, "1" * 50_000, "bpm " * 20_000, "no " * 20_000])
def test_hostile_text_is_read_without_harm(text):
    read_text(text)


def test_the_vocabulary_holds_every_word_of_a_caption():
    words, rng = set(vocabulary()), np.random.default_rng(2)
    for family in FAMILIES.values():
        text = caption(Brief(family.category, family.name), rng).replace(",", " ")
        assert set(text.replace("-", " ").split()) <= words
