"""Presets: complete, checked on load, and ordered by cost."""

import copy
import json

import pytest

from audioforge.data import presets as presets_module
from audioforge.data.families import CATEGORIES
from audioforge.data.field_rules import FieldError
from audioforge.data.presets import PRESET_NAMES, parse_presets, presets

SHIPPED = json.loads(presets_module._FILE.read_text("utf-8"))


@pytest.mark.parametrize("category", CATEGORIES)
def test_draft_is_cheaper_than_balanced_is_cheaper_than_quality(category):
    steps = [presets()[category][name].steps for name in PRESET_NAMES]
    assert steps == sorted(set(steps))


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
