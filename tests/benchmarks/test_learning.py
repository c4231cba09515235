"""The comparison of arms: paired by target, fair intervals, and an alarm that rings."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def learning():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import learning

        return learning
    finally:
        sys.path.pop(0)


@pytest.fixture
def heard(learning):
    """Make an arm: two answers to each target, of these rewards and verdicts."""

    def arm(rewards, judge):
        def one(reward, verdict):
            return learning.Heard("{}", reward, verdict, 8, 3.0, "euler", "a bell", True, None)

        return [[one(r, v), one(r, v)] for r, v in zip(rewards, judge, strict=True)]

    return arm


def test_gains_are_paired_by_target_so_that_hard_targets_do_not_widen_the_interval(learning, heard):
    hard = np.linspace(0.1, 0.8, 24)
    start = heard(hard, [0.5] * 24)
    ends = [heard(hard + 0.1, [0.6] * 24), heard(hard + 0.1, [0.6] * 24)]
    told = learning.compared(start, ends, {"presets": heard(hard + 0.05, [0.5] * 24)})
    assert told["gain"] == pytest.approx(0.1)
    assert told["gain_ci"] == pytest.approx([0.1, 0.1])
    assert told["gain_over"]["presets"]["gain"] == pytest.approx(0.05)
    assert told["end_ci"][1] - told["end_ci"][0] > 0.1
    assert not told["alarm"]


def test_a_reward_that_rises_while_the_judge_falls_rings_the_alarm(learning, heard):
    start = heard([0.4] * 8, [0.5] * 8)
    assert learning.compared(start, [heard([0.5] * 8, [0.4] * 8)], {})["alarm"]
    assert not learning.compared(start, [heard([0.3] * 8, [0.4] * 8)], {})["alarm"]


def test_seeds_that_disagree_widen_the_interval(learning):
    agree = np.tile(np.linspace(0, 1, 24), (3, 1))
    apart = agree + np.array([[-0.3], [0.0], [0.3]])
    width = {name: np.diff(learning.interval(rows)) for name, rows in {1: agree, 2: apart}.items()}
    assert width[2] > 1.3 * width[1]


def test_ablations_differ_from_what_they_are_compared_with_in_what_they_say(learning):
    words, others = learning.WORDS, learning.ABLATIONS
    assert (others["groups_of_4"].group, others["groups_of_4"].environment) == (
        4,
        words.environment,
    )
    paid, free = (set(others[name].environment) for name in ("settings", "settings_free"))
    assert paid - free == {"--env.cost_steps", "0.05"}
    assert free < paid
    assert set(others["masked"].environment) - set(words.environment) == {"--env.decides", "prompt"}
    assert len({words.name, *(one.name for one in others.values())}) == len(others) + 1


def test_the_seeds_of_an_ablation_are_put_together_by_target(learning, heard, tmp_path):
    class Known:
        hall = type("Hall", (), {"engine": type("Engine", (), {"capabilities": None})})

        def heard(self, name, arm):
            return heard([0.1, 0.2], [0, 1]) if name == "a0" else heard([0.3, 0.4], [0, 1])

    rows = learning.over_seeds(Known(), "a", [tmp_path, tmp_path])
    assert [[one.reward for one in row] for row in rows] == [
        [0.1, 0.1, 0.3, 0.3],
        [0.2, 0.2, 0.4, 0.4],
    ]


def test_targets_without_a_verdict_do_not_count(learning, heard):
    start = heard([0.4] * 16, [None, *[0.5] * 15])
    told = learning.compared(start, [heard([0.5] * 16, [None, *[0.7] * 15])], {})
    assert told["judge_end"] == pytest.approx(0.7)
    assert told["judge_start"] == pytest.approx(0.5)


def rounded(value):
    return pytest.approx(value, abs=2e-4)


def test_the_committed_figures_follow_from_one_another():
    told = json.loads((ROOT / "benchmarks/results/learning-cpu.json").read_text())
    assert told["gain"] == rounded(told["end"] - told["start"])
    assert told["gain"] == rounded(np.mean(told["gain_by_seed"]))
    assert told["gain_ci"][0] <= told["gain"] <= told["gain_ci"][1]
    assert told["alarm"] == (told["gain"] > 0 > told["judge_end"] - told["judge_start"])
    for name, over in told["gain_over"].items():
        assert over["gain"] == rounded(told["end"] - told[name])
        assert over["ci"][0] <= over["gain"] <= over["ci"][1]
