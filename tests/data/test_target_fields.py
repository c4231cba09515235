"""Form and elements in users' targets: compiled, stored, shown, refused with what must hold."""

import json
from pathlib import Path

import pytest

from audioforge.data.field_rules import FieldError
from audioforge.data.target_fields import compile_target
from audioforge.rollouts.report_view import asked_words

ASKED = {
    "loudness_lufs": [-20, -10],
    "loudness_range_lu": [0, 5],
    "stereo": "wide",
    "one_shot": False,
    "gapless": True,
    "required": ["bass", "bass"],
    "forbidden": ["noise"],
}


def target(**parameters):
    entry = {"target_description": "a groove", "category": "drums", "parameters": parameters}
    return compile_target(entry, Path())


def test_form_and_elements_are_compiled_and_come_back_from_json():
    made = target(**ASKED)
    assert made.brief.loudness_lufs == (-20.0, -10.0)
    assert made.brief.required == ("bass",)
    stored = json.loads(json.dumps(made.to_json()))
    assert compile_target(stored, Path()).brief == made.brief
    words = asked_words(stored)
    assert {"wide", "-20 to -10 LUFS", "several events", "gapless", "no noise"} <= set(words)


@pytest.mark.parametrize(
    ("parameters", "must"),
    [
        ({"loudness_lufs": [-5, -10]}, "rise from its first to its last number"),
        ({"loudness_lufs": 3}, "be a list of two numbers"),
        ({"loudness_lufs": [-90, -10]}, "be a number from -70 to 0"),
        ({"required": ["drums"]}, "be one of bass, treble, tones, noise"),
        ({"forbidden": []}, "be a list of some of bass"),
        ({"required": ["bass"], "forbidden": ["bass"]}, "not hold what is required"),
    ],
)
def test_what_cannot_be_is_refused_in_words(parameters, must):
    with pytest.raises(FieldError, match=must):
        target(**parameters)
