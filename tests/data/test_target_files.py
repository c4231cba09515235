"""Users' targets files: what is read, and what a broken one says."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audioforge.data import target_files
from audioforge.data.references import reference_files
from audioforge.data.target_fields import PARAMETERS, TARGET_FIELDS
from audioforge.data.targets import TargetFileError, check_targets, load_targets
from audioforge.utils.audio_processing import Audio, encode

MINIMAL = {
    "target_description": "128 BPM techno drum loop, punchy kick, crisp hats, 3 s",
    "category": "drums",
}
GOOD_JSON = """[
  {"id": "one", "category": "drums", "target_description": "techno beat, 128 bpm",
   "parameters": {"target_bpm": 130, "seconds_total": 2}},
  {"id": "two", "category": "ambient", "target_description": "wind",
   "reference_file": [], "metadata": {"suitable_sampler": "euler"}}
]
"""
GOOD_YAML = """- id: one
  category: drums
  target_description: techno beat, 128 bpm
  parameters:
    target_bpm: 130
    seconds_total: 2
- id: two
  category: ambient
  target_description: wind
  reference_file: []
  metadata: {suitable_sampler: euler}
"""


def write(tmp_path, text, suffix=".json"):
    path = tmp_path / f"targets{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_sound(path):
    tone = np.sin(np.arange(16_000) / 10, dtype=np.float32)[None]
    path.write_bytes(encode(Audio(0.5 * tone, 16_000), "WAV"))


def entries(tmp_path, *values):
    return write(tmp_path, "\n".join(json.dumps(v) for v in values), ".jsonl")


def problem(path):
    with pytest.raises(TargetFileError) as caught:
        load_targets(path)
    return caught.value


def test_a_description_and_a_category_are_enough(tmp_path):
    (target,) = load_targets(entries(tmp_path, MINIMAL))
    brief = target.brief
    assert (brief.family, brief.bpm, brief.seconds) == ("techno", 128.0, 3.0)
    assert (brief.attack, brief.brightness) == ("punchy", "bright")
    assert (brief.percussion, brief.sustained) == (True, False)
    assert brief.loop is None
    assert target.id.startswith("drums-")
    assert (target.difficulty, target.split, target.subcategory) == ("hard", "train", "techno")
    assert target.reference_files == tuple(map(str, reference_files("drums", "techno")))
    assert target.baseline_prompt == "techno drum loop"


def test_explicit_parameters_win_and_null_means_not_asked(tmp_path):
    parameters = {"target_bpm": 90, "attack": None, "percussion": None, "key": "A minor"}
    (target,) = load_targets(entries(tmp_path, MINIMAL | {"parameters": parameters}))
    asked = target.brief.asked()
    assert asked["bpm"] == 90
    assert asked["key"] == "A minor"
    assert "attack" not in asked
    assert "percussion" not in asked
    assert asked["brightness"] == "bright"


def test_reading_the_description_can_be_switched_off(tmp_path):
    (target,) = load_targets(entries(tmp_path, MINIMAL | {"read_description": False}))
    assert target.brief.asked() == {"category": "drums", "seconds": 4.0}


def test_tone_words_become_checks_and_unknown_ones_only_describe(tmp_path):
    parameters = {"tone_characteristics": ["Muffled", "lunar"]}
    (target,) = load_targets(
        entries(
            tmp_path, {"category": "sfx", "target_description": "zap", "parameters": parameters}
        )
    )
    assert target.brief.brightness == "dark"
    assert target.tone_characteristics == ("Muffled", "lunar")


def test_a_word_for_a_sound_of_another_category_is_not_taken(tmp_path):
    (target,) = load_targets(
        entries(tmp_path, {"category": "ambient", "target_description": "slow piano"})
    )
    assert target.brief.family is None
    assert target.subcategory == "ambient"


def test_a_decade_is_not_a_length(tmp_path):
    (target,) = load_targets(
        entries(tmp_path, {"category": "phrases", "target_description": "80s synth melody"})
    )
    assert target.brief.seconds == 4.0


@pytest.mark.parametrize(
    ("text", "suffix"), [(GOOD_JSON, ".json"), (GOOD_YAML, ".yaml"), (GOOD_YAML, ".YML")]
)
def test_json_and_yaml_say_the_same(tmp_path, text, suffix):
    one, two = load_targets(write(tmp_path, text, suffix))
    assert (one.id, one.brief.bpm, one.brief.seconds) == ("one", 130.0, 2.0)
    assert (two.id, two.reference_files, two.suitable_sampler) == ("two", (), "euler")


def test_one_target_needs_no_list_and_windows_files_are_read(tmp_path):
    text = "\ufeff" + json.dumps(MINIMAL, indent=1).replace("\n", "\r\n")
    assert len(load_targets(write(tmp_path, text))) == 1
    rows = f"{json.dumps(MINIMAL)}\r\n\r\n{json.dumps(MINIMAL | {'id': 'b'})}\r\n"
    assert len(load_targets(write(tmp_path, rows, ".jsonl"))) == 2


def test_a_reference_beside_the_file_is_found_and_ours_stand_for_their_set(tmp_path):
    write_sound(tmp_path / "mine.wav")
    ours = "evaluation_references/drums/house-2.flac"
    one, two = load_targets(
        entries(
            tmp_path,
            MINIMAL | {"id": "a", "reference_file": "mine.wav"},
            MINIMAL | {"id": "b", "reference_file": ours},
        )
    )
    assert one.reference_files == (str((tmp_path / "mine.wav").resolve()),)
    assert len(two.reference_files) == 4
    assert two.reference_files[0].endswith("house-2.flac")


def test_user_targets_survive_a_round_trip(tmp_path):
    write_sound(tmp_path / "mine.wav")
    values = [
        MINIMAL
        | {
            "subcategory": "my own thing",
            "parameters": {"brightness": None, "tone_characteristics": ["crisp"]},
        },
        {
            "category": "ambient",
            "target_description": "bright wind, no drums",
            "reference_file": ["mine.wav"],
        },
        {
            "category": "phrases",
            "target_description": "a tune in B flat minor",
            "reference_file": [],
        },
        {"category": "drums", "target_description": "any drums at all"},
    ]
    first = load_targets(entries(tmp_path, *values))
    second = load_targets(entries(tmp_path, *(t.to_json() for t in first)))
    assert second == first
    assert first[0].brief.brightness is None
    assert first[1].brief.percussion is False
    assert first[2].brief.key == "A# minor"


def test_a_reference_that_is_not_sound_is_refused_by_name(tmp_path):
    (tmp_path / "mine.wav").write_bytes(b"RIFF but not sound")
    error = problem(entries(tmp_path, MINIMAL | {"reference_file": "mine.wav"}))
    assert (error.field, error.must) == ("reference_file", "be a sound file of at most 60 s")
    assert error.came == "'mine.wav'"


BREAKS = [
    ({"target_bpm": "fast"}, "parameters.target_bpm", "be a number from 30 to 300", "'fast'"),
    ({"target_bpm": True}, "parameters.target_bpm", "be a number from 30 to 300", "True"),
    ({"target_bpm": 1e308}, "parameters.target_bpm", "be a number from 30 to 300", "1e+308"),
    ({"seconds_total": 0}, "parameters.seconds_total", "be a number from 0.1 to 190", "0"),
    ({"seconds_total": None}, "parameters.seconds_total", "be a number of seconds", "None"),
    ({"key": "H minor"}, "parameters.key", "be one of", "'H minor'"),
    ({"bpm": 120}, "parameters.bpm", "did you mean 'target_bpm'", "'bpm'"),
    ({"loop": "yes"}, "parameters.loop", "be true or false", "'yes'"),
    ({"family": "piano"}, "parameters.family", "be a family of category 'drums'", "'piano'"),
    ({"tone_characteristics": "dark"}, "parameters.tone_characteristics", "be a list", "'dark'"),
    (
        {"tone_characteristics": ["dark", "crisp"]},
        "parameters.tone_characteristics",
        "agree on brightness",
        "'crisp'",
    ),
    (
        {"tone_characteristics": ["dark"], "brightness": "bright"},
        "parameters.tone_characteristics",
        "agree",
        "'dark'",
    ),
    ({"tone_characteristics": [3]}, "parameters.tone_characteristics[0]", "be text", "3"),
]


@pytest.mark.parametrize(("parameters", "field", "must", "came"), BREAKS)
def test_a_bad_parameter_names_line_field_rule_and_value(tmp_path, parameters, field, must, came):
    error = problem(entries(tmp_path, MINIMAL, MINIMAL | {"id": "x", "parameters": parameters}))
    assert (error.line, error.field, error.came) == (2, field, came)
    assert must in error.must
    assert str(error).startswith(f"{tmp_path / 'targets.jsonl'}, line 2: field {field} must ")


@pytest.mark.parametrize(
    ("change", "field", "must"),
    [
        ({"category": "music"}, "category", "be one of drums, instruments"),
        ({"category": None}, "category", "be given"),
        ({"target_description": ""}, "target_description", "be text of 1 to 1000"),
        ({"target_description": "x" * 1001}, "target_description", "be text of 1 to 1000"),
        ({"target_description": "bell \x07"}, "target_description", "hold no control"),
        ({"target_description": "\ud800"}, "target_description", "hold no control"),
        ({"id": "Has Space"}, "id", "match"),
        ({"id": "a\n"}, "id", "match"),
        ({"id": 7}, "id", "match"),
        ({"split": "test"}, "split", "be one of train, eval"),
        ({"difficulty": "impossible"}, "difficulty", "be one of easy, medium, hard"),
        ({"reference_file": "nowhere.wav"}, "reference_file", "be a file"),
        ({"reference_file": "x" * 400}, "reference_file", "be a file"),
        ({"reference_file": "a\u0000b"}, "reference_file", "hold no control"),
        ({"parameters": []}, "parameters", "be a mapping"),
        (
            {"metadata": {"recommended_steps": 2.5}},
            "metadata.recommended_steps",
            "be a whole number",
        ),
        ({"colour": "red"}, "colour", "be a known field"),
        ({"co\nlour": "red"}, "'co\\nlour'", "be a known field"),
        ({"metadata": {"recommended_steps": 10**400}}, "metadata.recommended_steps", "be a whole"),
    ],
)
def test_a_bad_field_is_named(tmp_path, change, field, must):
    error = problem(entries(tmp_path, MINIMAL | change))
    assert (error.line, error.field) == (1, field)
    assert must in error.must


def test_json_and_yaml_problems_point_at_the_line_of_the_field(tmp_path):
    assert problem(write(tmp_path, GOOD_JSON.replace("130", '"fast"'))).line == 3
    assert problem(write(tmp_path, GOOD_YAML.replace("130", "fast"), ".yaml")).line == 5
    assert problem(write(tmp_path, GOOD_YAML.replace("euler", "Euler!"), ".yaml")).line == 11


def test_all_problems_are_listed_and_the_first_is_raised(tmp_path):
    path = entries(tmp_path, MINIMAL | {"category": "x"}, MINIMAL, MINIMAL | {"split": "y"})
    good, problems = check_targets(path)
    assert len(good) == 1
    assert [(p.line, p.field) for p in problems] == [(1, "category"), (3, "split")]
    assert "(1 more problem in the file)" in str(problem(path))


def test_an_id_is_used_once(tmp_path):
    error = problem(entries(tmp_path, MINIMAL | {"id": "a"}, MINIMAL | {"id": "a"}))
    assert (error.line, error.field) == (2, "id")
    assert "taken by line 1" in error.came


@pytest.mark.parametrize(
    ("text", "suffix", "line", "must"),
    [
        ("", ".json", 1, "be JSON"),
        ("[]", ".json", 0, "hold at least one target"),
        ("", ".jsonl", 0, "hold at least one target"),
        ("# nothing", ".yaml", 0, "hold at least one target"),
        ('[\n{"a": 1},\n]', ".json", 3, "have no comma after the last target"),
        ('[\n{"a": 1}\n{"a": 1}]', ".json", 3, "have ',' or ']'"),
        ('[\n{"a" 1}]', ".json", 2, "be JSON"),
        ("[\n{}", ".json", 2, "have ',' or ']'"),
        ('{}\n"more"', ".json", 2, "end after the last target"),
        ('[{"id": "a", "id": "b"}]', ".json", 1, "be plain JSON"),
        ('[{"id": NaN}]', ".json", 1, "be plain JSON"),
        ('[{"id": ' + "9" * 5000 + "}]", ".json", 1, "be plain JSON"),
        ("\n[" + "[" * 100_000, ".json", 2, "be nested"),
        ('{}\n{"a": 1} {"a": 1}', ".jsonl", 2, "hold one JSON object per line"),
        ('{}\n\n{"a": ', ".jsonl", 3, "be JSON"),
        ("- a: 1\n  b: [", ".yaml", 2, "be YAML"),
        ("- a: 1\n- &x {b: 1}\n- *x", ".yaml", 2, "be YAML without anchors"),
        ("- !!python/object:os.system {}", ".yaml", 1, "be YAML without anchors, aliases and tags"),
        ("- id: a\n  id: b", ".yaml", 2, "give each field once"),
        ("- id: 2024-99-99", ".yaml", 1, "hold plain YAML values"),
        ("[" * 3_000, ".yaml", 0, "be nested"),
        ("- a\x00", ".yaml", 0, "be YAML"),
        (b'[{"id": "\xff"}]', ".json", 1, "be UTF-8 text"),
        ("a", ".txt", 0, "end in .json"),
    ],
)
def test_text_that_is_not_the_format_names_the_line(tmp_path, text, suffix, line, must):
    _, problems = check_targets(write(tmp_path, text, suffix))
    assert problems[-1].line == line
    assert must in problems[-1].must


def test_a_missing_file_a_folder_and_a_huge_file_are_one_line_each(tmp_path):
    assert "got no such file" in str(problem(tmp_path / "none.json"))
    (tmp_path / "folder.yaml").mkdir()
    assert "got a folder" in str(problem(tmp_path / "folder.yaml"))
    limit = target_files.MAX_BYTES[".yaml"]
    assert f"at most {limit} bytes" in str(problem(write(tmp_path, "#" * (limit + 1), ".yaml")))


def test_a_number_too_long_to_write_is_still_a_plain_problem(tmp_path):
    text = GOOD_YAML.replace("130", "0x" + "f" * 20_000)
    assert problem(write(tmp_path, text, ".yaml")).came == "a number of thousands of digits"


def test_tabs_emoji_and_unusual_spaces_are_ordinary_text(tmp_path):
    text = "soft\tbell \N{BELL}, calme\u00a0et doux \U0001f469\u200d\U0001f3a4"
    (target,) = load_targets(
        entries(tmp_path, {"category": "instruments", "target_description": text})
    )
    assert target.target_description == text
    assert target.brief.family == "bell"


def test_an_alias_bomb_is_refused_at_once(tmp_path):
    rows = ['- a: &a ["x","x","x"]'] + [f"- b{i}: &b{i} [*a,*a,*a]" for i in range(40)]
    assert "anchors" in str(problem(write(tmp_path, "\n".join(rows), ".yaml")))


def test_problems_are_bounded(tmp_path):
    path = write(tmp_path, "\n".join(["{}"] * 5_000), ".jsonl")
    assert len(check_targets(path)[1]) == target_files.MAX_PROBLEMS


SEEDS = {
    ".json": GOOD_JSON,
    ".yaml": GOOD_YAML,
    ".jsonl": "\n".join(json.dumps(e) for e in json.loads(GOOD_JSON)),
}


@settings(
    max_examples=300, deadline=2_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    suffix=st.sampled_from(sorted(SEEDS)),
    edits=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 12), st.binary(max_size=8)), max_size=6
    ),
)
def test_a_file_with_random_damage_is_read_or_refused_and_nothing_else(tmp_path, suffix, edits):
    content = SEEDS[suffix].encode()
    for place, cut, added in edits:
        content = content[:place] + added + content[place + cut :]
    good, problems = check_targets(write(tmp_path, content, suffix))
    assert good or problems
    assert all("\n" not in str(p).replace(str(tmp_path), "") for p in problems)


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
_values = st.recursive(
    _scalars,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=8), v, max_size=3),
    max_leaves=8,
)
_fields = st.sampled_from([*TARGET_FIELDS, "bpm", ""])
_parameters = st.dictionaries(st.sampled_from([*PARAMETERS, "x"]), _values)


@settings(
    max_examples=300, deadline=2_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    odd=st.dictionaries(_fields, _values, max_size=5), parameters=_parameters, minimal=st.booleans()
)
def test_any_json_value_is_read_or_refused_and_nothing_else(tmp_path, odd, parameters, minimal):
    entry = (MINIMAL | {"parameters": parameters} if minimal else {}) | odd
    good, problems = check_targets(
        write(tmp_path, json.dumps([entry]).encode("utf-8", "surrogatepass"))
    )
    assert len(good) + len(problems) == 1


@settings(
    max_examples=200, deadline=2_000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=200))
def test_any_text_as_a_description_makes_a_target_or_a_problem(tmp_path, text):
    good, problems = check_targets(
        entries(tmp_path, {"target_description": text, "category": "phrases"})
    )
    assert len(good) + len(problems) == 1
    for target in good:
        assert target.target_description == text


def test_many_targets_load_and_many_problems_are_cut_short(tmp_path):
    rows = [MINIMAL | {"id": f"t{i}"} for i in range(5_000)]
    assert len(load_targets(write(tmp_path, json.dumps(rows, indent=1)))) == 5_000
    path = write(tmp_path, json.dumps([{**row, "id": "same"} for row in rows]))
    assert len(check_targets(path)[1]) == target_files.MAX_PROBLEMS
