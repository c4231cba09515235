"""Presets: complete, checked on load, and ordered by cost."""

import copy
import json

import pytest

from audioforge.data import presets as presets_module
from audioforge.data.families import CATEGORIES
from audioforge.data.field_rules import FieldError
from audioforge.data.presets import (
    PRESET_NAMES,
    Preset,
    parse_presets,
    presets,
    presets_text,
    with_presets,
)

SHIPPED = json.loads(presets_module.PRESETS_FILE.read_text("utf-8"))


@pytest.mark.parametrize("category", CATEGORIES)
def test_draft_is_cheaper_than_balanced_is_cheaper_than_quality(category):
    cost = [evaluations(presets()[category][name]) for name in PRESET_NAMES]
    assert cost == sorted(set(cost))


def evaluations(preset):
    """Of the model: guidance takes two a step."""
    return preset.steps * (1 if preset.cfg_scale == 1 else 2)


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_measured_preset_says_on_what_and_its_interval_holds_its_reward(category):
    for preset in presets()[category].values():
        told = (preset.reward, preset.interval, preset.clips, preset.measured_by)
        assert all(told) or not any(told)
        if preset.reward and preset.interval:
            low, high = preset.interval
            assert low <= preset.reward <= high


def test_presets_are_valid_without_measurements_and_an_unfit_one_is_named():
    content = copy.deepcopy(SHIPPED)
    plain = {"steps": 4, "cfg_scale": 1.0, "sampler": "euler", "why": "a start"}
    content["presets"]["sfx"]["draft"] = plain
    assert parse_presets(content)["sfx"]["draft"] == Preset(4, 1.0, "euler", "a start")
    content["presets"]["sfx"]["draft"] = plain | {"interval": [0.6, 0.5]}
    with pytest.raises(FieldError, match=r"presets\.sfx\.draft\.interval must rise"):
        parse_presets(content)


def test_one_category_can_be_replaced_and_the_file_reads_back():
    measured = Preset(4, 1.0, "euler", "a start", 0.5, (0.4, 0.6), 20, "a command")
    named = dict(presets()["drums"]) | {"draft": measured}
    content = with_presets(SHIPPED, "drums", named, "new notes")
    again = json.loads(presets_text(content))
    assert again == content
    assert parse_presets(again)["drums"] == named
    assert parse_presets(again)["sfx"] == presets()["sfx"]
    assert again["notes"] == "new notes"


def test_the_shipped_file_is_written_as_the_command_writes_it():
    assert presets_module.PRESETS_FILE.read_text("utf-8") == presets_text(SHIPPED)


def test_a_preset_that_could_not_be_read_back_is_not_written():
    named = dict(presets()["drums"]) | {"draft": Preset(4, 1.0, "v-ddim", "not of presets")}
    with pytest.raises(FieldError, match=r"presets\.drums\.draft\.sampler"):
        with_presets(SHIPPED, "drums", named)


def test_presets_cannot_be_changed_by_a_caller():
    with pytest.raises(TypeError):
        presets()["drums"] = {}  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("steps", 0, r"presets.sfx.draft.steps must be a whole number from 1 to 500, got 0"),
        ("steps", True, r"presets.sfx.draft.steps must be a whole number"),
        (
            "cfg_scale",
            float("inf"),
            r"presets.sfx.draft.cfg_scale must be a number from 0 to 30, got inf",
        ),
        ("sampler", "eular", r"did you mean 'euler'\?, got 'eular'"),
        ("why", "", r"presets.sfx.draft.why must be text"),
        ("stepz", 3, r"did you mean 'steps'"),
    ],
)
def test_a_broken_preset_names_the_field(place, value, message):
    content = copy.deepcopy(SHIPPED)
    content["presets"]["sfx"]["draft"][place] = value
    with pytest.raises(FieldError, match=message):
        parse_presets(content)


@pytest.mark.parametrize("missing", ["sfx", "ambient"])
def test_a_missing_category_is_named(missing):
    content = copy.deepcopy(SHIPPED)
    del content["presets"][missing]
    with pytest.raises(FieldError, match=f"presets.{missing} must be a mapping of fields"):
        parse_presets(content)
