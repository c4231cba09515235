"""The parser takes any text, prefers the last valid object, and lists everything it repaired."""

import json

import pytest

from audioforge.generation.request import MAX_PROMPT
from audioforge.rollouts.parser import MAX_DEPTH, MAX_OBJECT, MAX_READ, parse_action
from audioforge.rollouts.repairs import ALIASES, FATAL, SAMPLER_ALIASES

GOOD = '{"prompt": "dark drone", "steps": 8, "cfg_scale": 1.5}'


def kinds(text: str) -> list[str]:
    return [issue.kind for issue in parse_action(text).issues]


def action_of(text: str) -> dict:
    action = parse_action(text).action
    assert action is not None, parse_action(text).reason
    return action.model_dump(exclude_none=True)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n``` hope you like it {{smile}}",
        f"<think>maybe a bell? no.</think>\n{GOOD}",
        f"the template opened the tag</think>{GOOD}",
        f'Sure! Here it is:\n\n{GOOD}\n\nI chose 8 steps because {{x}} is "good".',
        f"[{GOOD}]",
        f'a stray {{"brace before: {GOOD}',
    ],
    ids=[
        "bare",
        "fenced",
        "prose after",
        "reasoning",
        "tag opened by template",
        "prose",
        "list",
        "stray brace",
    ],
)
def test_the_object_is_found_wherever_it_stands_without_any_repair(text):
    assert action_of(text) == {"prompt": "dark drone", "steps": 8, "cfg_scale": 1.5}
    assert kinds(text) == []


def test_the_last_valid_object_wins_and_the_drafts_are_mentioned():
    text = '{"prompt": "first"} then {"prompt": "second"} then {"prompt": 3}'
    assert action_of(text) == {"prompt": "second"}
    assert kinds(text) == ["several_objects"]


def test_an_object_in_the_reasoning_is_a_draft():
    parsed = parse_action('<think>{"prompt": "draft"}</think> I would rather not.')
    assert parsed.action is None
    assert "no JSON object" in parsed.reason or "no complete JSON object" in parsed.reason


def test_reasoning_that_never_ends_holds_no_answer():
    assert kinds(f"<think>{GOOD}") == ["unfinished_reasoning"]


def test_a_closing_tag_inside_the_prompt_is_part_of_the_prompt():
    assert action_of('{"prompt": "a </think> b"}') == {"prompt": "a </think> b"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("no idea", "no_object"),
        ('{"prompt": "cut off", "st', "no_object"),
        ("{'prompt': 'python'}", "no_object"),
        ('{prompt: "bare name"}', "no_object"),
        ('{"prompt": "x" /* comment */}', "no_object"),
        ("{}", "no_prompt"),
        ('{"steps": 8}', "no_prompt"),
        ('{"prompt": null}', "bad_prompt"),
        ('{"prompt": ["a", "b"]}', "bad_prompt"),
        ('{"prompt": "  "}', "bad_prompt"),
        (json.dumps({"prompt": "x" * (MAX_PROMPT + 1)}), "bad_prompt"),
        (json.dumps({"prompt": "x" * MAX_OBJECT}), "no_object"),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, "no_prompt"),
        ('{"prompt": ' + "[" * 5_000 + "]" * 5_000 + "}", "no_object"),
    ],
)
def test_what_is_no_action_says_why(text, kind):
    parsed = parse_action(text)
    assert parsed.action is None
    assert parsed.issues[-1].kind == kind
    assert parsed.reason


def test_an_object_is_read_down_to_the_depth_limit_and_no_deeper():
    def nested(levels: int) -> str:
        return '{"prompt": "x", "extra": ' + "[" * levels + "]" * levels + "}"

    assert action_of(nested(MAX_DEPTH - 1)) == {"prompt": "x"}
    assert kinds(nested(MAX_DEPTH)) == ["no_object"]


def test_the_prompt_is_never_cut():
    assert parse_action(json.dumps({"prompt": "x" * MAX_PROMPT})).action is not None
    assert (
        "at most 1000 characters, got 1001"
        in parse_action(json.dumps({"prompt": "x" * 1001})).reason
    )


@pytest.mark.parametrize(
    ("field", "given", "kept", "kind"),
    [
        ("steps", "12", 12, "number_as_text"),
        ("cfg_scale", " 2.5 ", 2.5, "number_as_text"),
        ("steps", 8.0, 8, "rounded"),
        ("steps", 8.4, 8, "rounded"),
        ("steps", 0, 1, "clamped"),
        ("steps", 10**6, 500, "clamped"),
        ("cfg_scale", -3, 0, "clamped"),
        ("seconds_total", 1e9, 190, "clamped"),
        ("seconds_total", 0, None, "dropped"),
        ("seed", -1, None, "dropped"),
        ("steps", True, None, "dropped"),
        ("steps", "many", None, "dropped"),
        ("steps", {"n": 8}, None, "dropped"),
        ("sampler", "DPM++ 2M", "dpmpp", "sampler_alias"),
        ("sampler", "Ping-Pong", "pingpong", "sampler_alias"),
        ("sampler", 4, None, "dropped"),
        ("negative_prompt", "n" * 1001, None, "dropped"),
        ("steering", {"warm": 1, "wide": "much"}, {"warm": 1.0}, "dropped"),
        ("steering", [1, 2], None, "dropped"),
    ],
)
def test_a_repair_of_a_field_is_listed(field, given, kept, kind):
    parsed = parse_action(json.dumps({"prompt": "x", field: given}))
    assert parsed.action is not None
    assert getattr(parsed.action, field) == kept
    assert [(issue.kind, issue.field) for issue in parsed.issues] == [(kind, field)]


@pytest.mark.parametrize(
    "literal", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5_000, "-" + "9" * 400]
)
def test_numbers_that_are_not_finite_are_left_out(literal):
    parsed = parse_action(f'{{"prompt": "x", "cfg_scale": {literal}}}')
    assert parsed.action is not None
    assert parsed.action.cfg_scale is None
    assert [issue.kind for issue in parsed.issues] == ["dropped"]


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_other_names_of_a_field_are_known(alias):
    value = {"negative_prompt": "hiss", "sampler": "euler"}.get(ALIASES[alias], 4)
    parsed = parse_action(json.dumps({"prompt": "x", alias: value}))
    assert parsed.action is not None
    assert getattr(parsed.action, ALIASES[alias]) == value
    assert [issue.kind for issue in parsed.issues] == ["renamed"]


@pytest.mark.parametrize("alias", sorted(SAMPLER_ALIASES))
def test_other_names_of_a_sampler_are_known(alias):
    assert (
        action_of(json.dumps({"prompt": "x", "sampler": alias}))["sampler"]
        == SAMPLER_ALIASES[alias]
    )


def test_our_own_name_beats_another_one():
    assert action_of('{"prompt": "x", "steps": 4, "num_steps": 9}')["steps"] == 4
    assert kinds('{"prompt": "x", "steps": 4, "num_steps": 9}') == ["unknown_field"]


def test_null_means_left_out_and_is_no_repair():
    assert action_of('{"prompt": "x", "seed": null, "negative_prompt": null}') == {"prompt": "x"}
    assert kinds('{"prompt": "x", "seed": null}') == []


def test_unknown_fields_are_listed_up_to_a_point():
    text = json.dumps({"prompt": "x"} | {f"field{n}": n for n in range(20)})
    assert kinds(text) == ["unknown_field"] * 9
    assert "12 more" in parse_action(text).issues[-1].message


def test_a_name_that_comes_twice_counts_last_and_is_listed():
    assert action_of('{"prompt": "a", "prompt": "b"}') == {"prompt": "b"}
    assert kinds('{"prompt": "a", "prompt": "b"}') == ["repeated_name"]


def test_typographic_quotes_and_trailing_commas_are_mended_only_if_nothing_else_is_valid():
    assert action_of('{“prompt”: “a, b”, "steps": 4,}') == {"prompt": "a, b", "steps": 4}
    assert kinds('{“prompt”: “a”, "steps": 4,}') == ["smart_quotes", "trailing_comma"]
    assert action_of('{"prompt": "keeps ,} and “quotes”",}') == {"prompt": "keeps ,} and “quotes”"}
    assert action_of('{"prompt": "good"} {"prompt": "broken",}') == {"prompt": "good"}


def test_a_wrapped_action_is_unwrapped_once():
    assert action_of('{"name": "make", "arguments": {"prompt": "x", "steps": 2}}') == {
        "prompt": "x",
        "steps": 2,
    }
    assert kinds('{"action": {"prompt": "x"}}') == ["unwrapped"]
    assert kinds('{"a": {"prompt": "x"}, "b": {"prompt": "y"}}') == ["no_prompt"]


def test_unprintable_characters_never_reach_the_action():
    parsed = parse_action('{"prompt": "a\\u0000b\\ud800c\nd", "steering": {"\\udfff": 1}}')
    assert parsed.action is not None
    assert parsed.action.prompt == "a b\ufffdc d"
    assert "cleaned" in [issue.kind for issue in parsed.issues]
    json.dumps(parsed.action.model_dump(), ensure_ascii=False).encode()


def test_only_the_end_of_a_long_answer_is_read_and_that_is_said():
    text = "thinking aloud, " * 10_000 + GOOD
    assert len(text) > MAX_READ
    assert action_of(text)["prompt"] == "dark drone"
    assert kinds(text) == ["cut"]
    assert parse_action(GOOD + " " * MAX_READ).action is None


@pytest.mark.parametrize("value", [None, 7, b"{}", ["a"]])
def test_what_is_not_text_is_an_issue_and_no_error(value):
    assert [issue.kind for issue in parse_action(value).issues] == ["not_text"]


def test_a_fatal_issue_and_an_action_exclude_each_other():
    for text in (GOOD, "{}", "", '{"prompt": 1, "steps": "x"}', '{"prompt": "x", "steps": "x"}'):
        parsed = parse_action(text)
        assert (parsed.action is None) == any(issue.kind in FATAL for issue in parsed.issues)
        assert (parsed.action is None) == bool(parsed.reason)
