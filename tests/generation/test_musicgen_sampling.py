"""Drawing tokens: transformers' thresholds, the right distribution, everyone their own."""

import pytest
import torch
from transformers import TopKLogitsWarper, TopPLogitsWarper

from audioforge.generation.musicgen_sampling import STEPS_AHEAD, Draws, Taste

CPU = torch.device("cpu")


def taste(seed=0, temperature=1.0, top_k=0, top_p=1.0):
    return Taste(temperature, top_k, top_p, torch.Generator().manual_seed(seed))


def logits(items, codebooks=4, vocabulary=64):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(items, codebooks, vocabulary, generator=generator) * 2


MIXED = [(1.0, 0, 1.0), (0.5, 5, 1.0), (1.3, 0, 0.6), (0.8, 20, 0.9), (1.0, 500, 0.01), (2.0, 1, 1)]


def test_what_may_be_drawn_is_what_transformers_leaves():
    scores = logits(len(MIXED))
    left = scores.clone()
    tastes = [taste(0, *one) for one in MIXED]
    Draws(tastes, 4, 64, CPU).draw(left, 0)
    for own, kept, (temperature, top_k, top_p) in zip(scores, left, MIXED, strict=True):
        upstream = own / temperature
        if top_k:
            upstream = TopKLogitsWarper(top_k)(None, upstream)
        if top_p < 1:
            upstream = TopPLogitsWarper(top_p)(None, upstream)
        assert torch.equal(kept.isfinite(), upstream.isfinite())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_their_probability_says(temperature):
    scores, count = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5]), 40_000
    tokens, _ = Draws([taste(3, temperature)], count, 5, CPU).draw(
        scores.expand(1, count, 5).clone(), 0
    )
    shares = tokens[0].bincount(minlength=5) / count
    expected = (scores / temperature).softmax(0)
    assert torch.allclose(shares, expected, atol=4 * (0.25 / count) ** 0.5)


def test_temperature_zero_takes_the_likeliest_token_and_draws_nothing():
    cold = taste(0, 0.0, top_p=0.5)
    before = cold.generator.get_state()
    scores = logits(1)
    tokens, _ = Draws([cold], 4, 64, CPU).draw(scores.clone(), 0)
    assert torch.equal(tokens, scores.argmax(-1))
    assert torch.equal(cold.generator.get_state(), before)


def test_an_item_draws_the_same_alone_and_when_others_leave():
    scores = logits(len(MIXED))
    together = Draws([taste(i, *one) for i, one in enumerate(MIXED)], 4, 64, CPU)
    alone = Draws([taste(0, *MIXED[0])], 4, 64, CPU)
    for step in range(2 * STEPS_AHEAD + 1):
        there = len(MIXED) - step % len(MIXED)
        tokens, _ = together.draw(scores[:there].clone(), step)
        own, _ = alone.draw(scores[:1].clone(), step)
        assert torch.equal(tokens[0], own[0])


def test_noise_is_new_at_every_step():
    draws = Draws([taste()], 4, 64, CPU)
    flat = torch.zeros(1, 4, 64)
    seen = [tuple(draws.draw(flat.clone(), s)[0].flatten().tolist()) for s in range(40)]
    assert len(set(seen)) == 40


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_told_of_the_item_that_has_them(broken):
    scores = logits(3)
    scores[1, 2, 10] = broken
    _, finite = Draws([taste(i) for i in range(3)], 4, 64, CPU).draw(scores, 0)
    assert finite.tolist() == [True, False, True]
