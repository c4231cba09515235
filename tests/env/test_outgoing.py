"""The gate: a group leaves whole, plain and finite, or not at all."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from audioforge.data import targets
from audioforge.rollouts.outgoing import MASKED, Encoded, Limits, encode_answer, outgoing_group
from audioforge.rollouts.record import Group, Origin, Rollout

TARGET = targets.sample(0, 0)
MESSAGES = [{"role": "user", "content": "a warm pad"}]


def group_of(*rewards):
    rollouts = tuple(
        Rollout(
            id=f"g0-r{i}",
            group=0,
            index=i,
            group_size=len(rewards),
            target=TARGET.to_json(),
            messages=tuple(MESSAGES),
            text=f"answer {i}",
            finish_reason="stop",
            reward=reward,
            seeds={"run": 0, "clip": i},
            timings={},
            origin=Origin("fake", "synth", "w"),
        )
        for i, reward in enumerate(rewards)
    )
    return Group(TARGET, 0, MESSAGES, rollouts, {}, {})


def encoded(count, length=6, logprobs=True):
    tokens = list(range(length))
    masks = [MASKED] * 3 + tokens[3:]
    return [
        Encoded(list(tokens), list(masks), [-0.5] * length if logprobs else None)
        for _ in range(count)
    ]


def sent(rewards, sequences=None, **limits):
    sequences = encoded(len(rewards)) if sequences is None else sequences
    return outgoing_group(group_of(*rewards), sequences, Limits(len(rewards), **limits))


def test_a_group_leaves_with_everything_a_trainer_reads():
    payload, reason = sent([0.1, 0.2, 0.3, 0.4])
    assert reason == ""
    assert payload["scores"] == [0.1, 0.2, 0.3, 0.4]
    assert [
        len(payload[name])
        for name in ("tokens", "masks", "messages", "overrides", "inference_logprobs")
    ] == [4] * 5
    assert payload["messages"][2] == [*MESSAGES, {"role": "assistant", "content": "answer 2"}]
    assert all(isinstance(override, dict) for override in payload["overrides"])


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, np.float32("nan")])
@pytest.mark.parametrize("where", ["score", "logprob"])
def test_a_number_that_is_not_finite_never_leaves(poison, where):
    sequences = encoded(4)
    if where == "logprob":
        sequences[1].logprobs[4] = poison
    payload, reason = sent([0.1, poison if where == "score" else 0.2, 0.3, 0.4], sequences)
    assert payload is None
    assert reason.startswith("not plain and finite")


def test_numpy_numbers_become_plain_ones():
    sequences = [
        Encoded(
            [np.int64(t) for t in s.tokens], [np.int32(m) for m in s.masks], [np.float32(-0.5)] * 6
        )
        for s in encoded(4)
    ]
    payload, _ = sent([np.float64(0.1), np.float32(0.5), 0.3, 1], sequences)
    kinds = {type(x) for name in ("tokens", "masks") for row in payload[name] for x in row}
    assert kinds == {int}
    assert {type(score) for score in payload["scores"]} == {float}
    json.dumps(payload, allow_nan=False)


def test_what_json_does_not_know_never_leaves():
    sequences = encoded(4)
    sequences[0] = Encoded([*range(5), b"x"], sequences[0].masks, sequences[0].logprobs)
    assert sent([0.1, 0.2, 0.3, 0.4], sequences).payload is None


def test_a_dropped_rollout_keeps_its_place_and_teaches_nothing():
    payload, _ = sent([0.2, None, 0.4, 0.6])
    assert payload["scores"] == pytest.approx([0.2, 0.4, 0.4, 0.6])
    assert payload["overrides"][1]["set_advantage_to_zero"] is True
    assert all("set_advantage_to_zero" not in payload["overrides"][i] for i in (0, 2, 3))


@pytest.mark.parametrize("rewards", [[0.2, None, None, None], [None] * 4, [None, 0.5]])
def test_a_group_with_too_few_verdicts_is_withheld(rewards):
    assert sent(rewards).reason.startswith("dropped")


def test_a_group_of_another_size_is_withheld():
    assert outgoing_group(group_of(0.1, 0.2), encoded(2), Limits(4)).reason.startswith("size")
    assert outgoing_group(group_of(0.1, 0.2), encoded(1), Limits(2)).reason.startswith("size")


def test_equal_scores_are_withheld_only_when_the_trainer_drops_them():
    assert sent([0.5] * 4, distinct=True).reason.startswith("equal")
    assert sent([0.5, None, 0.5, 0.5], distinct=True).reason.startswith("equal")
    assert sent([0.5] * 4).payload is not None


def test_a_sequence_at_the_limit_is_too_long_and_one_below_is_not():
    assert sent([0.1, 0.2], encoded(2, length=8), max_tokens=8).reason.startswith("long: 8 tokens")
    assert sent([0.1, 0.2], encoded(2, length=7), max_tokens=8).payload is not None


def test_logprobs_leave_for_all_or_for_none():
    assert (
        "inference_logprobs"
        not in sent([0.1, 0.2], [*encoded(1), *encoded(1, logprobs=False)]).payload
    )


def test_sequences_of_unequal_parts_are_withheld():
    crooked = [Encoded([1, 2, 3], [MASKED, 2], None)] * 2
    assert sent([0.1, 0.2], crooked).reason.startswith("shape")
    silent = [Encoded([1, 2], [MASKED, MASKED], None)] * 2
    assert sent([0.1, 0.2], silent).reason.startswith("empty")


def test_every_call_gives_a_fresh_object():
    group, sequences, limits = group_of(0.1, 0.2), encoded(2), Limits(2)
    first, second = (outgoing_group(group, sequences, limits).payload for _ in range(2))
    first["group_overrides"] = None  # Atropos writes into what it is given
    first["tokens"][0].append(99)
    first["messages"][0].clear()
    assert second == outgoing_group(group, sequences, limits).payload
    assert sequences[0].tokens == list(range(6))
    assert MESSAGES == [{"role": "user", "content": "a warm pad"}]


def test_an_answer_is_tokenised_to_a_flat_list_with_its_prompt_masked(tokenizer):
    tokens, masks, logprobs = encode_answer(tokenizer, MESSAGES, '{"prompt": "x"}')
    assert len(tokens) > 10  # transformers 5 would give a dict, whose length is 2
    assert all(type(token) is int for token in tokens)
    assert logprobs is None
    answer = [token for token, mask in zip(tokens, masks, strict=True) if mask != MASKED]
    assert tokenizer.decode(answer, skip_special_tokens=True) == '{"prompt": "x"}'
    assert all(mask in (MASKED, token) for token, mask in zip(tokens, masks, strict=True))


def test_a_template_that_gives_no_ids_is_refused():
    class Odd:
        def apply_chat_template(self, *_, **__):
            return {"input_ids": [1]}

    with pytest.raises(ValueError, match="must give a list of token ids, got dict"):
        encode_answer(Odd(), MESSAGES, "x")
