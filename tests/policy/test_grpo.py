"""GRPO's loss against plain forward passes, against upstream's, and against what it promises."""

import copy

import pytest
import torch
from grpo_groups import ANSWERS, PROMPT, answer_logprobs, group

from audioforge.policy.grpo import (
    BatchError,
    Objective,
    answer_distributions,
    drift,
    group_batch,
    group_loss,
    of_answers,
)
from audioforge.policy.learner import Learner, Training
from audioforge.policy.local_llm import LocalLLM
from audioforge.rollouts.outgoing import MASKED

PROMPT_MASKS = [MASKED] * len(PROMPT)


@pytest.fixture
def llm(small_folder):
    return LocalLLM(small_folder, "cpu")


@torch.no_grad()
def test_a_shared_prompt_gives_the_log_probabilities_of_whole_sequences(llm):
    batch = group_batch(group(llm.model))
    assert batch.prompt.tolist() == [PROMPT]
    assert torch.allclose(answer_logprobs(llm.model, batch) * batch.learnt, batch.drawn, atol=1e-5)


def test_before_the_first_step_the_ratio_is_one_and_nothing_is_clipped(llm):
    batch = group_batch(group(llm.model))
    loss = group_loss(answer_logprobs(llm.model, batch), batch, Objective())
    assert loss.clipped == 0
    assert loss.ratio == pytest.approx(batch.tokens, rel=1e-4)
    assert loss.kl == pytest.approx(0, abs=1e-6)


def test_the_loss_is_upstreams_where_answers_are_equally_long(llm):
    upstream = pytest.importorskip("example_trainer.training")
    answers = [[7, 8, 1], [30, 31, 1], [7, 60, 1]]
    told = group(llm.model, answers)
    moved = copy.deepcopy(llm.model)
    with torch.no_grad():
        for weight in moved.parameters():
            weight.mul_(1.03)
    batch = group_batch(told)
    ours = group_loss(answer_logprobs(moved, batch), batch, Objective(0.2, 0.2))
    tokens = torch.tensor(told["tokens"])
    theirs, _ = upstream.compute_grpo_loss(
        moved,
        tokens[:, :-1].contiguous(),
        torch.tensor(told["masks"])[:, 1:].contiguous(),
        batch.advantages,
        torch.ones(3, 1, 1),
        gradient_accumulation_steps=1,
        inference_logprobs=torch.tensor(told["inference_logprobs"])[:, 1:].contiguous(),
        clip_eps=0.2,
    )
    assert ours.total.item() / batch.tokens == pytest.approx(theirs.item(), abs=1e-5)


def test_learning_makes_the_better_answer_likelier_and_the_worse_one_rarer(llm):
    told = group(llm.model)
    before = answer_logprobs(llm.model, group_batch(told)).detach()
    Learner(llm, Training(updates=1, rate=1e-3, warmup=1)).learn([told], 0)
    batch = group_batch(told)
    change = ((answer_logprobs(llm.model, batch).detach() - before) * batch.learnt).sum(1)
    assert change[0] > 0 > change[1]


def test_a_ratio_beyond_its_bound_no_longer_pulls(llm):
    batch = group_batch(group(llm.model, scores=(1.0, 0.0, 0.0)))
    now = (batch.drawn + 1.0).requires_grad_(True)  # a ratio of e, above 1.28
    group_loss(now, batch, Objective()).total.backward()
    better, worse = now.grad[0][batch.learnt[0]], now.grad[1][batch.learnt[1]]
    assert torch.all(better == 0)
    assert torch.all(worse > 0)  # what got likelier though it is worse is pushed down


def test_a_lost_rollout_moves_nothing(llm):
    overrides = [{}, {}, {"set_advantage_to_zero": True}]
    batch = group_batch(group(llm.model, overrides=overrides))
    assert batch.advantages[2] == 0
    assert batch.advantages[0] > 0 > batch.advantages[1]


def test_the_pull_back_to_the_start_grows_with_the_distance(llm):
    batch = group_batch(group(llm.model, scores=(0.5, 0.5, 0.5)))
    pulls = [
        group_loss(batch.drawn - away, batch, Objective(kl=0.1), batch.drawn).total.item()
        for away in (0.0, 0.1, 0.3)
    ]
    assert pulls[0] == pytest.approx(0, abs=1e-6)
    assert pulls[0] < pulls[1] < pulls[2]


def masked(told):
    """The same group, with the first token of every answer put aside."""
    return told | {"masks": [[*PROMPT_MASKS, MASKED, *answer[1:]] for answer in ANSWERS]}


@torch.no_grad()
def test_the_drift_of_what_does_not_count_is_the_divergence_of_whole_distributions(llm):
    batch = group_batch(masked(group(llm.model)))
    assert batch.held.sum() == len(ANSWERS)
    assert not (batch.held & batch.learnt).any()
    moved = copy.deepcopy(llm.model)
    for weight in moved.parameters():
        weight.mul_(1.03)
    start, now = (answer_distributions(model, batch) for model in (llm.model, moved))
    assert drift(start, start, batch).item() == pytest.approx(0, abs=1e-5)
    first = [torch.distributions.Categorical(logits=told[:, 0]) for told in (start, now)]
    wanted = torch.distributions.kl_divergence(*first).sum().item()
    assert drift(now, start, batch).item() == pytest.approx(wanted, rel=1e-3)


def test_held_tokens_stay_nearer_to_the_start_and_the_others_learn_all_the_same(llm):
    told, far, better = masked(group(llm.model)), {}, {}
    for hold in (0.0, 10.0):
        learner = Learner(
            LocalLLM(llm.folder, "cpu"),
            Training(updates=1, rate=1e-3, warmup=1, objective=Objective(hold=hold)),
        )
        batch = group_batch(told)
        start = answer_distributions(learner.model, batch).detach()
        for step in range(6):
            learner.learn([told], step)
        now = answer_distributions(learner.model, batch).detach()
        far[hold] = drift(now, start, batch).item()
        change = ((of_answers(now, batch) - of_answers(start, batch)) * batch.learnt).sum(1)
        better[hold] = (change[0] - change[1]).item()
    assert far[10.0] < 0.5 * far[0.0]
    assert better[10.0] > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inference_logprobs": None}, "inference_logprobs"),
        ({"scores": [1.0, 0.0]}, "must fit"),
        ({"scores": [1.0, float("nan"), 0.0]}, "finite"),
        ({"inference_logprobs": [[1.0] * 5 + [float("-inf")] * n for n in (3, 5, 3)]}, "finite"),
        ({"masks": [PROMPT + answer for answer in ANSWERS]}, "share a prompt"),
    ],
)
def test_a_group_that_cannot_be_learnt_from_is_refused(llm, change, words):
    with pytest.raises(BatchError, match=words):
        group_batch(group(llm.model) | change)


@pytest.mark.parametrize(
    "settings", [{"clip_low": 1.0}, {"clip_high": 0}, {"kl": -1}, {"hold": -1}]
)
def test_settings_without_sense_are_refused(settings):
    with pytest.raises(ValueError, match="must be in"):
        Objective(**settings)
