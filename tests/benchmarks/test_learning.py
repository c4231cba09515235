"""The comparison of arms: paired by target, fair intervals, and an alarm that rings."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audioforge.data.targets import curated

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def room():
    """Where the benchmarks find one another."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path.pop(0)


@pytest.fixture(scope="module")
def figures(room):
    import learning_figures

    return learning_figures


@pytest.fixture(scope="module")
def runs(room):
    import learning_runs

    return learning_runs


@pytest.fixture(scope="module")
def learning(room):
    import learning

    return learning


@pytest.fixture
def heard(figures):
    """Make an arm: two answers to each target, of these rewards and verdicts."""

    def arm(rewards, judge):
        def one(reward, verdict):
            return figures.Heard("{}", reward, verdict, 8, 3.0, "euler", "a bell", True, None)

        return [[one(r, v), one(r, v)] for r, v in zip(rewards, judge, strict=True)]

    return arm


def test_gains_are_paired_by_target_so_that_hard_targets_do_not_widen_the_interval(figures, heard):
    hard = np.linspace(0.1, 0.8, 24)
    start = heard(hard, [0.5] * 24)
    ends = [heard(hard + 0.1, [0.6] * 24), heard(hard + 0.1, [0.6] * 24)]
    told = figures.compared(start, ends, {"presets": heard(hard + 0.05, [0.5] * 24)})
    assert told["gain"] == pytest.approx(0.1)
    assert told["gain_ci"] == pytest.approx([0.1, 0.1])
    assert told["gain_over"]["presets"]["gain"] == pytest.approx(0.05)
    assert told["end_ci"][1] - told["end_ci"][0] > 0.1
    assert not told["alarm"]


def test_a_reward_that_rises_while_the_judge_falls_rings_the_alarm(figures, heard):
    start = heard([0.4] * 8, [0.5] * 8)
    assert figures.compared(start, [heard([0.5] * 8, [0.4] * 8)], {})["alarm"]
    assert not figures.compared(start, [heard([0.3] * 8, [0.4] * 8)], {})["alarm"]


def test_seeds_that_disagree_widen_the_interval(figures):
    agree = np.tile(np.linspace(0, 1, 24), (3, 1))
    apart = agree + np.array([[-0.3], [0.0], [0.3]])
    width = {name: np.diff(figures.interval(rows)) for name, rows in {1: agree, 2: apart}.items()}
    assert width[2] > 1.3 * width[1]


def test_ablations_differ_from_what_they_are_compared_with_in_what_they_say(runs):
    both, others = runs.BOTH, runs.ABLATIONS
    words = others["words"]
    assert both.stages == [others["settings"], both]
    assert both.environment == others["masked"].environment
    assert (others["groups_of_4"].group, others["groups_of_4"].environment) == (
        4,
        words.environment,
    )
    paid, free = (set(others[name].environment) for name in ("settings", "settings_free"))
    assert paid - free == {"--env.cost_steps", "0.05"}
    assert free < paid
    assert set(others["masked"].environment) - set(words.environment) == {"--env.decides", "prompt"}
    assert len({both.name, *(one.name for one in others.values())}) == len(others) + 1


def test_a_stage_starts_from_the_model_of_the_stage_before(runs, monkeypatch, tmp_path):
    plans = []

    def learn(plan):
        plans.append(plan)
        model = plan.out / "train" / "model"
        model.mkdir(parents=True)
        (model / "config.json").touch()

    monkeypatch.setattr(runs, "learn", learn)
    short = runs.BOTH.short()
    model = short.train(tmp_path, 2)
    assert [plan.steps for plan in plans] == [1, 1]
    assert [plan.model for plan in plans] == [
        runs.EMBEDDED_FOLDER,
        tmp_path / "seed2" / "settings" / "train" / "model",
    ]
    assert model == short.train(tmp_path, 2)
    assert len(plans) == 2


def test_an_ablation_is_judged_by_what_it_gained_over_the_start(figures, heard):
    start = heard([0.1, 0.2], [0.5, 0.5])
    told = figures.ablated(start, [heard([0.2, 0.3], [0, 1]), heard([0.4, 0.5], [1, 1])])
    assert told["gain"] == pytest.approx(0.2)
    assert told["gain_by_seed"] == pytest.approx([0.1, 0.3])
    assert told["judge_end"] == pytest.approx(0.75)
    assert told["arm"]["reward"] == pytest.approx(0.35)


def test_the_share_of_clips_with_few_steps_is_told(figures, heard):
    (row,) = heard([0.5], [0.5])
    few = [*row, replace(row[0], steps=2), replace(row[0], steps=None)]
    assert figures.summary([few])["few_steps"] == pytest.approx(1 / 3)
    assert figures.summary([[few[-1]]])["few_steps"] is None


def test_a_policy_is_heard_again_only_when_it_or_what_judges_it_has_changed(
    learning, heard, monkeypatch, tmp_path
):
    asked = []

    class Hall:
        engine = type("Engine", (), {"capabilities": None, "weights_sha256": "one"})

        def __init__(self):
            self.identity = {"scorer": "one"}

        def hear(self, targets, answers, decides):
            asked.append(decides)
            return heard([0.5] * len(targets), [0.5] * len(targets))

    monkeypatch.setattr(learning, "policy", lambda folder, can: lambda targets, n: [])
    hall, targets = Hall(), curated("train")[:1]
    arms = learning.Arms(hall, targets, 2, tmp_path / "arms")
    weights = tmp_path / "model.safetensors"
    for content in (b"before", b"before", b"after"):
        weights.write_bytes(content)
        assert arms.policy(tmp_path)[0][0].reward == 0.5
    arms.policy(tmp_path, "prompt")
    assert asked == ["both", "both", "prompt"]
    hall.identity = {"scorer": "another"}
    learning.Arms(hall, targets, 2, tmp_path / "arms").policy(tmp_path, "prompt")
    learning.Arms(hall, curated("train")[1:2], 2, tmp_path / "arms").policy(tmp_path, "prompt")
    assert asked == ["both", "both", "prompt", "prompt", "prompt"]


def test_an_ablation_that_is_none_is_refused_by_name(runs):
    assert [one.name for one in runs.asked_for("masked, settings")] == ["masked", "settings"]
    assert runs.asked_for("") == []
    with pytest.raises(SystemExit, match="groups_of_4; got words_only"):
        runs.asked_for("masked,words_only")


def test_the_table_has_every_arm_worst_first_and_what_training_gained(room):
    from learning_table import write_table
    from rich.console import Console

    told = json.loads((ROOT / "benchmarks/results/learning-cpu.json").read_text())
    console = Console(record=True, width=160, file=io.StringIO())
    write_table(told, console)
    lines = [line for line in console.export_text().splitlines() if line.startswith("│")]
    names = [line.split("│")[1].strip() for line in lines]
    assert set(names) == {*told["arms"], *told["ablations"]}
    assert (names[0], names[-1]) == ("random", "oracle")
    (end,) = (line for line in lines if line.split()[1] == "end")
    assert f"+{told['gain']:.3f} ({told['gain_ci'][0]:.3f} to " in end


def test_targets_without_a_verdict_do_not_count(figures, heard):
    start = heard([0.4] * 16, [None, *[0.5] * 15])
    told = figures.compared(start, [heard([0.5] * 16, [None, *[0.7] * 15])], {})
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
    for gained in told["ablations"].values():
        assert gained["gain"] == rounded(gained["arm"]["reward"] - told["start"])
    for name, over in told["gain_over"].items():
        assert over["gain"] == rounded(told["end"] - told[name])
        assert over["ci"][0] <= over["gain"] <= over["ci"][1]
