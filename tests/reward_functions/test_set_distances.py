"""Set distances against their definitions, and what must not matter."""

import numpy as np
import pytest

from audioforge.reward_functions.set_distances import (
    KIND_WIDTH,
    MOST,
    diversity,
    frechet,
    mmd,
    vendi,
)

rng = np.random.default_rng(4)
A, B = rng.standard_normal((60, 5)), rng.standard_normal((40, 5)) + 1.0
ALIKE = rng.standard_normal((50, 5))


def test_mmd_is_the_unbiased_estimate_written_out():
    told = mmd(A, B)

    def k(x, y):
        return np.exp(-((x - y) ** 2).sum() / (2 * told.bandwidth**2))

    within_a = np.mean([k(x, y) for i, x in enumerate(A) for j, y in enumerate(A) if i != j])
    within_b = np.mean([k(x, y) for i, x in enumerate(B) for j, y in enumerate(B) if i != j])
    across = np.mean([k(x, y) for x in A for y in B])
    assert told.squared == pytest.approx(within_a + within_b - 2 * across, abs=1e-12)


def test_mmd_tells_different_sets_apart_and_not_like_ones():
    assert mmd(A, B).p_value <= 0.002
    assert mmd(A, ALIKE).p_value > 0.05
    assert abs(mmd(A, ALIKE).squared) < 0.1 * mmd(A, B).squared


def test_mmd_of_like_sets_is_zero_on_average():
    draws = np.random.default_rng(0).standard_normal((40, 2, 15, 3))
    assert abs(np.mean([mmd(a, b).squared for a, b in draws])) < 0.01


def test_the_order_of_clips_and_of_sets_does_not_matter():
    assert mmd(A[::-1], B).squared == pytest.approx(mmd(A, B).squared, abs=1e-12)
    assert mmd(B, A).squared == pytest.approx(mmd(A, B).squared, abs=1e-12)
    big = np.random.default_rng(1).standard_normal((80, 5))
    assert frechet(A, big) == pytest.approx(frechet(big, A), rel=1e-9)
    assert vendi(A[::-1]) == pytest.approx(vendi(A))


def test_pairs_are_not_held_against_each_other():
    nudged = A + 0.3
    noise = A + 0.05 * np.random.default_rng(2).standard_normal(A.shape)
    assert mmd(A, nudged, paired=True).p_value <= 0.002
    assert mmd(A, nudged).p_value > mmd(A, nudged, paired=True).p_value
    assert mmd(A, noise, paired=True).p_value > 0.02
    with pytest.raises(ValueError, match="paired sets must have the same size, got 60 and 40"):
        mmd(A, B, paired=True)


def test_frechet_distance_of_gaussians_is_the_closed_form():
    draw = np.random.default_rng(3)
    a, b = draw.standard_normal((100_000, 2)), draw.standard_normal((100_000, 2)) * [1, 3] + [2, 0]
    assert frechet(a, b) == pytest.approx(2**2 + (3 - 1) ** 2, rel=0.03)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_is_not_available_below_full_rank():
    assert frechet(A[:5], A) is None
    assert frechet(A[:6], A) is not None


def test_vendi_counts_kinds():
    far = 50 * KIND_WIDTH * np.eye(7)
    assert vendi(far) == pytest.approx(7)
    assert vendi(np.repeat(far, 5, axis=0)) == pytest.approx(7)
    assert vendi(np.zeros((9, 3))) == pytest.approx(1)
    with pytest.raises(ValueError, match="at least one clip"):
        vendi(np.zeros((0, 3)))


def test_diversity_compares_sets_of_the_same_size():
    few, many = 50 * np.eye(30)[:4], 50 * np.eye(30)
    told = diversity(few, many)
    assert (told.clips, told.a, told.b) == (4, pytest.approx(4), pytest.approx(4))
    assert diversity(few[:0], many) is None


def test_too_few_clips_and_identical_clips_have_an_answer():
    assert mmd(A[:1], B) is None
    same = np.ones((3, 4))
    assert mmd(same, same).squared == pytest.approx(0)
    assert mmd(same, same).p_value == 1


def test_large_sets_are_thinned_the_same_way_every_time():
    large = np.random.default_rng(5).standard_normal((MOST + 200, 2))
    assert mmd(large, A[:, :2]) == mmd(large, A[:, :2])
