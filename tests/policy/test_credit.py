"""Which tokens of an answer are trained on, where only a part of it counts."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from audioforge.policy.credit import credited
from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.rollouts.outgoing import MASKED, Encoded

ANSWER = (
    '{"prompt": "a \\"steps\\": 3 bell", "seconds_total": 4, "steps": 12, "cfg_scale": 3.5, '
    '"sampler": "euler"}'
)
ASKED = [5, 6, 7]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)


def told(tokenizer, text: str) -> tuple[Encoded, int]:
    ids = tokenizer.encode(text, add_special_tokens=False)
    tokens, masks = [*ASKED, *ids], [MASKED] * len(ASKED) + ids
    return Encoded(tokens, masks, [1.0] * len(ASKED) + [-0.5] * len(ids)), len(ids)


def trained_text(tokenizer, encoded: Encoded) -> str:
    return tokenizer.decode([mask for mask in encoded.masks if mask != MASKED])


def test_with_prompts_alone_the_values_of_settings_are_masked_and_their_names_are_not(tokenizer):
    encoded, drawn = told(tokenizer, ANSWER)
    left = trained_text(tokenizer, credited(encoded, drawn, tokenizer, "prompt"))
    assert '"prompt": "a \\"steps\\": 3 bell", "seconds_total": 4, "steps":' in left
    assert all(value not in left for value in ("12", "3.5", "euler"))
    assert all(name in left for name in ("cfg_scale", "sampler", "}"))


def test_with_parameters_alone_the_words_are_masked_and_the_settings_are_not(tokenizer):
    encoded, drawn = told(tokenizer, ANSWER)
    left = trained_text(tokenizer, credited(encoded, drawn, tokenizer, "parameters"))
    assert "bell" not in left
    assert all(part in left for part in ("prompt", "4", "12", "3.5", "euler"))


@pytest.mark.parametrize("decides", ["prompt", "parameters"])
def test_an_answer_that_is_no_action_is_trained_on_whole(tokenizer, decides):
    encoded, drawn = told(tokenizer, ANSWER[:-1])
    assert credited(encoded, drawn, tokenizer, decides) is encoded


def test_where_all_counts_nothing_is_masked(tokenizer):
    encoded, drawn = told(tokenizer, ANSWER)
    assert credited(encoded, drawn, tokenizer, "both") is encoded


def test_tokens_and_log_probabilities_stay_and_earlier_turns_are_not_touched(tokenizer):
    first, _ = told(tokenizer, ANSWER)
    ids = tokenizer.encode(ANSWER, add_special_tokens=False)
    assert first.logprobs is not None
    whole = Encoded(first.tokens + ids, first.masks + ids, first.logprobs + [-0.5] * len(ids))
    made = credited(whole, len(ids), tokenizer, "prompt")
    assert (made.tokens, made.logprobs) == (whole.tokens, whole.logprobs)
    assert made.masks[: len(first.masks)] == first.masks
    assert made.masks != whole.masks
