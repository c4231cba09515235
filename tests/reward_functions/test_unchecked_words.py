"""Claims of a text that nothing can hear are shown and weigh nothing."""

import math

import numpy as np

from audioforge.reward_functions import score


def test_claims_nothing_can_hear_are_shown_as_not_checked_and_weigh_nothing():
    sound = np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32)
    plain, more = score(sound, "rain"), score(sound, "sad rain, first bright, then dark")
    told = [c for c in more.checks if c.name == "word"]
    assert [c.asked for c in told] == ["sad", "brightness of a part"]
    assert all(math.isnan(c.score) and c.confidence == 0 and c.passed is None for c in told)
    assert more.total == plain.total


def test_the_meaning_of_words_is_used_only_when_given():
    sound = np.random.default_rng(0).normal(0, 0.1, 44_100).astype(np.float32)
    assert "brightness" not in {c.name for c in score(sound, "twinkly rain").checks}
    given = score(sound, "twinkly rain", meaning=lambda words: {"twinkly": "bright"})
    assert "brightness" in {c.name for c in given.checks}
