"""The curated targets: complete, consistent with their words, and honestly split."""

import json
import re
from itertools import product

import pytest

from audioforge.data import targets
from audioforge.data.families import CATEGORIES, FAMILIES
from audioforge.data.target_fields import (
    SAMPLERS,
    TARGET_FIELDS,
    certain,
    compile_target,
    difficulty_of,
)
from audioforge.data.wording import TONE_WORDS, read_text

CURATED = targets.curated()
IDS = [t.id for t in CURATED]
every_target = pytest.mark.parametrize("target", CURATED, ids=IDS)


def words(text):
    return set(re.findall(r"[a-z]+", text.lower()))


def overlap(a, b):
    return len(words(a) & words(b)) / len(words(a) | words(b))


def same_request(a, b):
    """Whether two briefs ask for the same apart from length, loop and 3 % of tempo."""
    facts = [
        {k: v for k, v in x.asked().items() if k not in ("seconds", "loop", "bpm")} for x in (a, b)
    ]
    return facts[0] == facts[1] and (a.bpm or 1) == pytest.approx(b.bpm or 1, rel=0.03)


def test_there_are_enough_targets_in_every_category_family_and_split():
    assert len(CURATED) >= 120
    assert len(targets.curated("eval")) >= 30
    assert {t.category for t in CURATED} == set(CATEGORIES)
    for split in ("train", "eval"):
        assert {t.brief.family for t in targets.curated(split)} == set(FAMILIES)
    assert {t.difficulty for t in CURATED} == {"easy", "medium", "hard"}
    assert len(targets.curated("train")) + len(targets.curated("eval")) == len(CURATED)


def test_no_text_is_used_twice():
    texts = [t.target_description for t in CURATED] + [t.baseline_prompt for t in CURATED]
    assert len(set(texts)) == len(texts)
    assert len(set(IDS)) == len(IDS)


def test_descriptions_do_not_follow_one_template():
    shapes = {
        re.sub(r"[a-z]+", "w", re.sub(r"[\d.]+", "0", t.target_description.lower()))
        for t in CURATED
    }
    openings = {" ".join(t.target_description.lower().split()[:2]) for t in CURATED}
    assert len(shapes) > 0.8 * len(CURATED)
    assert len(openings) > 0.7 * len(CURATED)


def test_no_eval_target_is_nearly_a_train_target():
    for held_out, seen in product(targets.curated("eval"), targets.curated("train")):
        assert overlap(held_out.target_description, seen.target_description) < 0.5, (
            held_out.id,
            seen.id,
        )
        assert not same_request(held_out.brief, seen.brief), (held_out.id, seen.id)


@every_target
def test_words_and_parameters_say_the_same(target):
    text = read_text(target.target_description)
    heard = text.fields
    assert heard.get("family", target.brief.family) == target.brief.family
    for name in ("seconds", "bpm", "key", "brightness", "space", "drive", "attack"):
        assert heard.get(name) == getattr(target.brief, name), name
    low = target.target_description.lower()
    for (name, value), spoken in TONE_WORDS.items():
        if any(re.search(rf"\b{word}\b", low) for word in spoken):
            assert getattr(target.brief, name) == value, name


def test_nearly_all_descriptions_name_their_family():
    unnamed = [t.id for t in CURATED if "family" not in read_text(t.target_description).fields]
    assert len(unnamed) <= 0.1 * len(CURATED)


@every_target
def test_facts_are_those_of_the_family(target):
    family = FAMILIES[target.subcategory]
    assert target.category == family.category
    assert target.brief.family == family.name
    assert target.difficulty == difficulty_of(target.brief)
    assert 1.0 <= target.brief.seconds <= 4.0
    assert (target.brief.bpm is not None) == (family.bpm is not None)
    if target.brief.bpm:
        assert 70 <= target.brief.bpm <= 174
    assert target.brief.key is None or family.tonal
    assert certain(target.category, family.name).items() <= target.brief.asked().items()
    assert target.suitable_sampler in SAMPLERS


@every_target
def test_a_loop_that_is_asked_for_is_whole_bars(target):
    if target.brief.loop:
        bars = target.brief.bpm * target.brief.seconds / 240
        assert bars == pytest.approx(round(bars), abs=1e-3)


@every_target
def test_the_style_set_is_the_familys_with_the_named_file_first(target):
    assert len(target.reference_files) >= 4
    assert all(f"/{target.category}/{target.subcategory}-" in f for f in target.reference_files)


@every_target
def test_to_json_compiles_back_to_the_same_target(target, tmp_path):
    entry = json.loads(json.dumps(target.to_json()))
    assert compile_target(entry, tmp_path) == target


def test_the_file_has_the_promised_fields_and_no_others():
    for entry in json.loads(targets.STYLES_FILE.read_text("utf-8")):
        assert set(entry) == set(TARGET_FIELDS) - {"read_description"}
        assert set(entry["metadata"]) == {
            "suitable_sampler",
            "recommended_steps",
            "typical_cfg_scale",
        }
        assert {"seconds_total", "tone_characteristics"} <= set(entry["parameters"])


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match=r"split must be one of .*, got 'test'"):
        targets.curated("test")  # pyright: ignore[reportArgumentType]
