"""LocalLLM: what it draws, with which numbers, and what it refuses to load."""

import shutil

import numpy as np
import pytest
import torch

from audioforge.policy.drawing import Question, Sampling
from audioforge.policy.local_llm import LocalLLM, ModelFolderError, PromptError

PROMPT = (2, 40, 50, 60, 70)
OTHER = (2, 90, 91)


def answers(llm, prompt=PROMPT, **sampling):
    return llm.generate([Question(prompt, Sampling(**{"max_tokens": 12, "seed": 1, **sampling}))])[
        0
    ]


def test_the_same_seed_gives_the_same_answers_and_another_seed_others(small_llm):
    assert answers(small_llm, n=4) == answers(small_llm, n=4)
    assert answers(small_llm, n=4) != answers(small_llm, n=4, seed=2)


def test_answers_of_one_question_differ_and_the_first_do_not_depend_on_n(small_llm):
    four = answers(small_llm, n=4)
    assert len({a.token_ids for a in four}) == 4
    assert [a.token_ids for a in answers(small_llm, n=2)] == [a.token_ids for a in four[:2]]


def test_without_a_seed_answers_differ_from_call_to_call(small_llm):
    assert answers(small_llm, seed=None) != answers(small_llm, seed=None)


def test_batch_mates_do_not_change_an_answer(small_llm):
    alone = answers(small_llm, n=3)
    mates = [
        Question(OTHER, Sampling(n=5, seed=9, max_tokens=20, temperature=0.3, top_p=0.4)),
        Question(PROMPT, Sampling(n=3, seed=1, max_tokens=12)),
        Question(PROMPT * 9, Sampling(n=1, seed=3, max_tokens=5, temperature=0)),
    ]
    together = small_llm.generate(mates)[1]
    assert [a.token_ids for a in together] == [a.token_ids for a in alone]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 0.5), (0.0, 1.0)])
def test_logprobs_are_those_of_a_direct_forward_pass_at_temperature_1(
    small_llm, temperature, top_p
):
    answer = answers(small_llm, temperature=temperature, top_p=top_p)[0]
    told = torch.tensor([[*PROMPT, *answer.token_ids]])
    with torch.no_grad():
        table = torch.log_softmax(small_llm.model(told).logits[0].float(), -1)
    direct = [float(table[len(PROMPT) - 1 + i, token]) for i, token in enumerate(answer.token_ids)]
    assert answer.logprobs == pytest.approx(direct, abs=1e-4)


def test_tokens_come_as_often_as_the_model_says(small_llm):
    drawn = [
        a.token_ids[0]
        for seed in range(40)
        for a in answers(small_llm, n=64, max_tokens=1, seed=seed)
    ]
    with torch.no_grad():
        odds = torch.softmax(
            small_llm.model(torch.tensor([list(PROMPT)])).logits[0, -1], -1
        ).numpy()
    counted = np.bincount(drawn, minlength=len(odds)) / len(drawn)
    likely = np.argsort(odds)[-5:]
    assert odds[likely].sum() > 0.05
    assert counted[likely] == pytest.approx(odds[likely], abs=0.03)


def test_top_p_keeps_only_the_likeliest_tokens(small_llm):
    with torch.no_grad():
        odds = torch.softmax(small_llm.model(torch.tensor([list(PROMPT)])).logits[0, -1], -1)
    best, order = odds.sort(descending=True)
    kept = set(order[: int((best.cumsum(0) - best < 0.3).sum())].tolist())
    assert len(kept) < len(odds) / 2
    assert {a.token_ids[0] for a in answers(small_llm, n=64, max_tokens=1, top_p=0.3)} <= kept


def test_temperature_0_takes_the_likeliest_token_whatever_the_seed(small_llm):
    assert answers(small_llm, temperature=0, seed=1) == answers(small_llm, temperature=0, seed=2)


def test_the_global_random_state_is_neither_read_nor_moved(small_llm):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = answers(small_llm, n=2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert answers(small_llm, n=2) == first


def test_an_answer_ends_at_max_tokens_at_the_context_or_at_a_stop_text(small_llm):
    cut = answers(small_llm, max_tokens=3)[0]
    assert len(cut.token_ids) == 3
    assert cut.finish_reason == "length"
    long_prompt = tuple([40] * (small_llm.context - 4))
    assert len(answers(small_llm, long_prompt, max_tokens=500, n=8)[0].token_ids) <= 4
    whole = answers(small_llm, temperature=0, max_tokens=12)[0].text
    stop = whole[5:7]
    stopped = answers(small_llm, temperature=0, max_tokens=12, stop=(stop,))[0]
    assert stopped.text == whole[: whole.find(stop)]
    assert stopped.finish_reason == "stop"


def test_the_end_token_is_the_last_token_id_and_not_in_the_text(small_llm):
    ended = [
        a
        for seed in range(40)
        for a in answers(small_llm, n=64, max_tokens=40, seed=seed, temperature=1.5)
    ]
    ended = [a for a in ended if a.finish_reason == "stop"]
    assert ended
    assert all(a.token_ids[-1] in small_llm.ends and "<|end|>" not in a.text for a in ended)


def test_more_answers_than_fit_side_by_side_are_written_in_turns(small_llm):
    questions = [Question(PROMPT, Sampling(n=40, seed=s, max_tokens=2)) for s in range(4)]
    assert [len(found) for found in small_llm.generate(questions)] == [40] * 4


def test_prompt_logprobs_are_those_of_the_forward_pass(small_llm):
    entries = small_llm.prompt_logprobs(PROMPT, 2)
    with torch.no_grad():
        table = torch.log_softmax(small_llm.model(torch.tensor([list(PROMPT)])).logits[0], -1)
    assert entries[0] is None
    assert [next(iter(e)) for e in entries[1:]] == list(PROMPT[1:])
    assert [e[t] for e, t in zip(entries[1:], PROMPT[1:], strict=True)] == pytest.approx(
        [float(table[i, t]) for i, t in enumerate(PROMPT[1:])], abs=1e-5
    )


@pytest.mark.parametrize(
    ("prompt", "complaint"),
    [
        ((), "prompt must have 1 to 255 tokens, got 0"),
        ((1,) * 256, "got 256"),
        ((1, -1), "token ids must be 0 to"),
    ],
)
def test_a_prompt_that_cannot_be_answered_is_refused(small_llm, prompt, complaint):
    with pytest.raises(PromptError, match=complaint):
        answers(small_llm, prompt)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 0),
        ("n", 65),
        ("temperature", -1),
        ("top_p", 0),
        ("max_tokens", 0),
        ("seed", -1),
        ("stop", ("",)),
    ],
)
def test_sampling_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"{field} must be"):
        Sampling(**{field: value})


def test_a_folder_without_safe_weights_is_refused(small_folder, tmp_path):
    with pytest.raises(ModelFolderError, match=r"config.json is missing"):
        LocalLLM(tmp_path / "nothing")
    shutil.copytree(small_folder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(ModelFolderError, match=r"no .safetensors weights"):
        LocalLLM(tmp_path / "pickled")


def test_damaged_weights_are_refused(small_folder, tmp_path):
    shutil.copytree(small_folder, tmp_path / "torn")
    weights = tmp_path / "torn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000])
    with pytest.raises(ModelFolderError, match="cannot be loaded"):
        LocalLLM(tmp_path / "torn")
