"""The procedural source: deterministic, truthful, and split without leaks."""

from collections import Counter

import pytest

from audioforge.data import targets
from audioforge.data.families import FAMILIES
from audioforge.data.procedural import split_of
from audioforge.data.target_fields import compile_target
from audioforge.data.wording import read_text

TRAIN = [targets.sample(7, i) for i in range(600)]
EVAL = [targets.sample(7, i, "eval") for i in range(600)]


def test_the_same_arguments_give_the_same_target_in_any_order():
    assert [targets.sample(7, i) for i in reversed(range(20))] == TRAIN[:20][::-1]
    assert targets.sample(8, 0) != TRAIN[0]
    assert targets.sample(2**63, 10**12).id.startswith("sampled-train-")


def test_a_known_target_stays_what_it_is_across_machines():
    target = targets.sample(0, 3)
    assert target.target_description == "Hand drum groove, 3.5 sec, it should sound sparkling"
    assert target.brief.brightness == "bright"


@pytest.mark.parametrize("target", TRAIN[:150] + EVAL[:150], ids=lambda t: t.id)
def test_the_words_read_back_to_the_ground_truth(target):
    heard = read_text(target.target_description).fields
    for name in (
        "family",
        "category",
        "seconds",
        "bpm",
        "key",
        "brightness",
        "space",
        "drive",
        "attack",
    ):
        assert heard.get(name) == getattr(target.brief, name), name


def test_train_and_eval_never_ask_for_the_same():
    assert {split_of(t.brief) for t in TRAIN} == {"train"}
    assert {split_of(t.brief) for t in EVAL} == {"eval"}
    train_texts = {t.target_description for t in TRAIN}
    assert not train_texts & {t.target_description for t in EVAL}


def test_every_family_difficulty_and_option_turns_up():
    assert {t.brief.family for t in TRAIN} == set(FAMILIES)
    assert set(Counter(t.difficulty for t in TRAIN)) == {"easy", "medium", "hard"}
    for name in ("bpm", "key", "loop", "brightness", "space", "drive", "attack"):
        assert sum(name in t.brief.asked() for t in TRAIN) > 20, name


def test_lengths_and_tempi_stay_within_what_the_embedded_model_makes():
    for target in TRAIN + EVAL:
        brief = target.brief
        assert 1.0 <= brief.seconds <= 4.0
        if brief.bpm:
            assert 70 <= brief.bpm <= 174
            assert brief.seconds * brief.bpm / 60 >= 2
        if brief.loop:
            assert brief.bpm
            bars = brief.bpm * brief.seconds / 240
            assert bars == pytest.approx(round(bars), abs=2e-3)


def test_a_sampled_target_survives_json(tmp_path):
    for target in TRAIN[:50]:
        assert compile_target(target.to_json(), tmp_path) == target


@pytest.mark.parametrize("arguments", [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(arguments):
    with pytest.raises(ValueError, match="seed and index must be 0 or more"):
        targets.sample(*arguments)


def test_an_unknown_split_is_refused_by_name():
    with pytest.raises(ValueError, match=r"split must be one of .* got 'test'"):
        targets.sample(0, 0, "test")  # pyright: ignore[reportArgumentType]
