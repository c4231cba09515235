"""From targets to recommended settings: fair cases, figures that were not chosen for, resumable."""

import json
from dataclasses import replace

import numpy as np
import pytest

from audioforge.data.presets import presets
from audioforge.data.targets import curated
from audioforge.generation.engine import Engine
from audioforge.generation.request import Clip, Failure
from audioforge.generation.synth_backend import SynthBackend
from audioforge.rollouts.errors import RunError
from audioforge.rollouts.measure import Measure
from audioforge.rollouts.measurements import Journal
from audioforge.rollouts.optimize import (
    PRESET_FIELDS,
    OptimizeConfig,
    optimize,
    space_of,
    train_targets,
)
from audioforge.rollouts.recommend import ACCEPTABLE, interval, recommend
from audioforge.utils.audio_processing import Audio
from audioforge.utils.parameter_optimizer import Job, Outcome, Plan, Tried, search

PLAYS = replace(
    SynthBackend.capabilities,
    steps=(1, 50),
    cfg_scale=(1.0, 8.0),
    samplers=("euler", "dpmpp", "pingpong"),
    sigma_max=(0.1, 1.0),
)


class Louder:
    """A backend whose clips peak higher with more steps; "pingpong" is silent."""

    capabilities = PLAYS
    weights_sha256 = "louder"

    def __init__(self, fails=False):
        self.requests, self.fails = [], fails

    def generate(self, requests):
        self.requests += requests
        return [self.one(request) for request in requests]

    def one(self, request):
        if self.fails:
            return Failure(request, "crash", "out of luck")
        luck = 0.05 * np.random.default_rng(request.seed).random()
        peak = 0.9 * (1 - np.exp(-request.steps / 6)) + luck
        peak = 0.0 if request.sampler == "pingpong" else peak
        return Clip(request, Audio(np.full((1, 8), peak, np.float32), 8_000), 0.01)


@pytest.fixture
def engine_of():
    return Engine.in_process


@pytest.fixture
def config():
    return OptimizeConfig(category="sfx", seed=3, trials=16, clips=10)


@pytest.fixture
def short(monkeypatch, judge):
    """The plain judge, without the references it does not listen to."""
    monkeypatch.setattr("audioforge.rollouts.guarded._reference", lambda path: None)
    return judge


def test_only_train_targets_and_their_own_prompts_are_used(config, engine_of, short, tmp_path):
    backend = Louder()
    optimize(config, engine_of(backend), short, tmp_path)
    train = {t.baseline_prompt for t in curated("train") if t.category == "sfx"}
    assert {request.prompt for request in backend.requests} <= train
    assert not train & {t.baseline_prompt for t in curated("eval")}


def test_what_is_told_was_measured_on_clips_that_chose_nothing(config, engine_of, short, tmp_path):
    backend = Louder()
    found = optimize(config, engine_of(backend), short, tmp_path)
    seeds = [request.seed for request in backend.requests]
    verdict = set(seeds[-10 * (len(found.recommended) + len(found.before)) :])
    assert len(verdict) == 10
    assert not verdict & set(seeds[: -10 * (len(found.recommended) + len(found.before))])
    for one in (*found.recommended.values(), *found.before.values()):
        assert len(one.outcome.rewards) == 10
    choice = {tuple(one.outcome.rewards) for one in found.choice}
    assert not choice & {one.outcome.rewards for one in found.recommended.values()}


def test_all_settings_meet_the_same_cases(engine_of, short, config):
    backend = Louder()
    targets = train_targets(config)
    settings = [{"steps": 4}, {"steps": 9}]
    Measure(engine_of(backend), short, targets)([Job(setting, 1, 4) for setting in settings])
    told = [
        {(r.prompt, r.seconds, r.seed) for r in backend.requests if r.steps == setting["steps"]}
        for setting in settings
    ]
    assert told[0] == told[1]
    assert len(told[0]) == 3
    assert {prompt for prompt, _, _ in told[0]} == {t.baseline_prompt for t in targets[1:4]}


def test_the_presets_in_force_are_tried_and_measured_beside(config, engine_of, short, tmp_path):
    config = replace(config, only=PRESET_FIELDS)
    found = optimize(config, engine_of(Louder()), short, tmp_path)
    old = {n: {f: getattr(p, f) for f in PRESET_FIELDS} for n, p in presets()["sfx"].items()}
    assert {name: dict(one.setting) for name, one in found.before.items()} == old
    assert [dict(one.setting) for one in found.tried][:3] == list(old.values())


def test_silence_is_given_up_early_and_never_recommended(config, engine_of, short, tmp_path):
    found = optimize(config, engine_of(Louder()), short, tmp_path)
    silent = [one for one in found.tried if one.setting["sampler"] == "pingpong"]
    assert silent
    assert all(one.pruned.startswith("2 of 2 rejected: gates shut") for one in silent)
    assert "pingpong" not in {one.setting["sampler"] for one in found.recommended.values()}


def test_a_charge_for_steps_recommends_cheaper_quality(config, engine_of, short, tmp_path):
    best = {}
    for weight in (0.0, 0.9):
        found = optimize(
            replace(config, cost_weight=weight), engine_of(Louder()), short, tmp_path / str(weight)
        )
        best[weight] = found.recommended["quality"].cost
    assert best[0.9] < best[0.0]


def test_a_search_that_was_stopped_goes_on_and_ends_as_if_it_had_not(
    config, engine_of, short, tmp_path, monkeypatch
):
    whole, part, again = Louder(), Louder(), Louder()
    expected = optimize(config, engine_of(whole), short, tmp_path / "whole")
    calls, measured = [], Measure.__call__

    def stopped(self, jobs):
        calls.append(jobs)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measured(self, jobs)

    with monkeypatch.context() as patch:
        patch.setattr(Measure, "__call__", stopped)
        with pytest.raises(KeyboardInterrupt):
            optimize(config, engine_of(part), short, tmp_path / "part")
    assert optimize(config, engine_of(again), short, tmp_path / "part") == expected
    assert part.requests
    assert len(part.requests) + len(again.requests) == len(whole.requests)
    nothing_left = engine_of(Louder(fails=True))
    assert optimize(config, nothing_left, short, tmp_path / "part") == expected


def test_a_generator_that_only_fails_ends_the_search(config, engine_of, short, tmp_path):
    with pytest.raises(RunError, match="no clip could be made, the last one because: out of luck"):
        optimize(config, engine_of(Louder(fails=True)), short, tmp_path)


def test_a_reward_that_breaks_ends_the_search_instead_of_counting_as_0(
    config, engine_of, short, tmp_path
):
    short.report = lambda audio: None
    with pytest.raises(RunError, match="scoring failed"):
        optimize(config, engine_of(Louder()), short, tmp_path)


def doubled(jobs):
    return [Outcome((0.5,) * (job.last - job.first), 1.0) for job in jobs]


def test_a_line_torn_by_a_crash_is_measured_again(tmp_path):
    path, jobs = tmp_path / "x.jsonl", [Job({"a": 1}, 0, 2), Job({"a": 2}, 0, 2)]
    Journal(path, {"seed": 0}).remembering(doubled)(jobs)
    path.write_bytes(path.read_bytes()[:-9])
    asked = []

    def counted(missing):
        asked.extend(missing)
        return doubled(missing)

    assert Journal(path, {"seed": 0}).remembering(counted)(jobs) == doubled(jobs)
    assert asked == jobs[1:]
    assert len(path.read_text().splitlines()) == 3


def test_a_journal_of_another_search_is_refused(tmp_path):
    Journal(tmp_path / "x.jsonl", {"seed": 0})
    with pytest.raises(ValueError, match="belongs to another search"):
        Journal(tmp_path / "x.jsonl", {"seed": 1})


def test_a_space_holds_what_a_backend_declares():
    assert set(space_of(PLAYS)) == {"steps", "cfg_scale", "sampler", "sigma_max"}
    assert set(space_of(PLAYS, PRESET_FIELDS)) == set(PRESET_FIELDS)
    token = replace(PLAYS, steps=(1, 1), samplers=("sample",), sigma_max=None, tokens=True)
    assert set(space_of(token)) == {"cfg_scale", "temperature", "top_k", "top_p"}
    with pytest.raises(ValueError, match="synth has no setting to search over"):
        space_of(SynthBackend.capabilities)


@pytest.mark.parametrize("can", [PLAYS, replace(PLAYS, tokens=True)])
def test_every_setting_of_a_space_is_one_the_backend_takes(can):
    from audioforge.generation.backend import problem_of
    from audioforge.generation.request import GenerationRequest

    for one in search(space_of(can), doubled, Plan(trials=24)):
        assert problem_of(GenerationRequest("x", 1.0, 0, **one.setting), can) is None


def test_a_file_without_train_targets_is_refused(tmp_path):
    held_out = [t.to_json() for t in curated("eval") if t.category == "sfx"]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(held_out))
    with pytest.raises(ValueError, match="targets of the train split"):
        train_targets(OptimizeConfig(category="sfx", targets=str(path)))


def points(*pairs):
    return [Tried({"cost": cost}, Outcome((reward,), cost)) for cost, reward in pairs]


def test_quality_is_best_draft_is_the_cheapest_acceptable_and_the_knee_lies_between():
    found = recommend(points((1, 0.2), (4, 0.55), (8, 0.59), (50, 0.6), (60, 0.5)))
    assert {name: one.cost for name, one in found.items()} == {
        "draft": 4,
        "balanced": 8,
        "quality": 50,
    }
    assert list(found) == ["draft", "balanced", "quality"]
    assert found["draft"].reward >= ACCEPTABLE * found["quality"].reward


@pytest.mark.parametrize(
    ("pairs", "costs"),
    [
        ([(4, 0.6)], [4, 4, 4]),
        ([(1, 0.1), (4, 0.6)], [4, 4, 4]),
        ([(2, 0.59), (4, 0.6)], [2, 4, 4]),
    ],
)
def test_on_a_short_front_names_share_the_setting_of_the_quality(pairs, costs):
    assert [one.cost for one in recommend(points(*pairs)).values()] == costs


def test_an_interval_is_that_of_the_mean_and_shrinks_with_the_clips():
    rng = np.random.default_rng(0)
    few, many = rng.normal(0.5, 0.1, 16), rng.normal(0.5, 0.1, 1_600)
    for values in (few, many):
        low, high = interval(values)
        width = 2 * 1.96 * values.std() / np.sqrt(len(values))
        assert low < values.mean() < high
        assert high - low == pytest.approx(width, rel=0.25)
    assert interval([0.3, 0.3]) == pytest.approx((0.3, 0.3))
