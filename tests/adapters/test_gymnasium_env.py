"""Gymnasium's own checks, seeds, vectors in one pass, and clips that were lost."""

import json
import math
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import audioforge.adapters.gymnasium_env  # noqa: F401 - registers
from audioforge.generation.request import Failure
from audioforge.generation.synth_backend import SynthBackend


@pytest.fixture
def make(quick):
    made = []

    def make(kind=gymnasium.make, **given):
        made.append(kind("AudioForge-v0", **quick, **given))
        return made[-1]

    yield make
    for env in made:
        env.close()


def test_it_passes_gymnasiums_checker_without_a_warning(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(render_mode="rgb_array").unwrapped)


def test_an_episode_is_one_answer_with_a_verdict_and_its_reasons(make, say, tmp_path):
    env = make(out=str(tmp_path))
    seen, facts = env.reset(seed=3)
    assert facts["target"].split("-")[1] == "train"
    assert seen["description"] in seen["user"]
    assert '"steps"' in seen["system"]
    _, reward, terminated, truncated, info = env.step(say())
    assert (terminated, truncated) == (True, False)
    assert 0 < reward <= 1
    assert info["outcome"] == "scored"
    assert (tmp_path / info["clip_path"]).is_file()
    assert info["checks"][0]["words"]
    assert "audio_quality" in info["parts"]
    json.dumps(info, allow_nan=False)


def test_an_answer_without_an_action_is_worth_0_and_says_why(make):
    env = make()
    env.reset(seed=1)
    _, reward, terminated, _, info = env.step("I would rather not.")
    assert (reward, terminated, info["outcome"]) == (0.0, True, "unparsable")
    assert info["reason"] == "no JSON object in the answer"


def test_a_step_without_a_reset_is_refused(make, say):
    env = make().unwrapped
    env.reset(seed=0)
    env.step(say())
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(say())


def test_the_same_seed_gives_the_same_targets_and_clips(make, say):
    one, other = make(), make()
    told = []
    for env in (one, other):
        first = env.reset(seed=5)[0], env.step(say())[4]["clip_sha256"]
        second = env.reset()[0], env.step(say())[4]["clip_sha256"]
        told.append((first, second))
    assert told[0] == told[1]
    assert told[0][0][1] != told[0][1][1]


def test_a_target_can_be_chosen_and_a_split_too(make):
    env = make(split="eval")
    names = {env.reset(options={"target": place})[1]["target"] for place in range(3)}
    assert names == {"drums-eval-0", "sfx-eval-0", "ambient-eval-0"}


def test_drawn_actions_are_actions_of_the_generator(make):
    env = make()
    space = env.action_space
    space.seed(0)
    for _ in range(50):
        drawn = space.sample()
        assert drawn in space
        assert json.loads(drawn)["sampler"] in env.unwrapped.desk.capabilities.samplers
    assert "\u00fc\n{}" in space
    assert "x" * 20_000 not in space


def test_the_picture_is_dark_before_a_clip_and_shows_one_after(make, say):
    env = make(render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.step(say())
    after = env.render()
    assert before.shape == after.shape
    assert after.dtype == np.uint8
    assert before.max() == 0
    assert after.max() > 100


class Lost(SynthBackend):
    """A generator that breaks."""

    def generate(self, requests):
        return [Failure(request, "memory", "out of memory") for request in requests]


def test_a_clip_we_lost_truncates_without_a_verdict(make, say, monkeypatch):
    monkeypatch.setattr("audioforge.generation.synth_backend.SynthBackend", Lost)
    env = make(run_seed=77).unwrapped
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(say())
    assert math.isnan(reward)
    assert (terminated, truncated) == (False, True)
    assert "out of memory" in info["reason"]


def test_a_vector_makes_all_its_clips_in_one_pass(make, say):
    envs = make(gymnasium.make_vec, num_envs=4)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    seen, _ = envs.reset(seed=9)
    assert len(seen["user"]) == 4
    engine = envs.envs[0].desk._session.studio.engine
    before = engine.metrics()
    answers = [say(), "nothing", say(prompt="rain"), say(prompt="bell")]
    new, rewards, terminated, truncated, infos = envs.step(answers)
    after = engine.metrics()
    assert after.passes - before.passes == 1
    assert after.clips - before.clips == 3
    assert terminated.all()
    assert not truncated.any()
    assert rewards[1] == 0.0
    assert list(infos["final_info"]["outcome"]) == ["scored", "unparsable", "scored", "scored"]
    assert infos["final_obs"][0]["user"] == seen["user"][0]
    assert new in envs.observation_space


def test_episodes_side_by_side_are_those_of_single_ones(make, say):
    envs, env = make(gymnasium.make_vec, num_envs=2), make()
    seen, _ = envs.reset(seed=20)
    _, rewards, *_ = envs.step([say(), say()])
    for place in range(2):
        assert env.reset(seed=20 + place)[0]["user"] == seen["user"][place]
        assert env.step(say())[1] == pytest.approx(rewards[place], abs=1e-5)


@pytest.mark.parametrize(("mode", "more"), [("sync", {}), ("async", {"context": "spawn"})])
def test_gymnasiums_own_vectors_work_too(make, say, mode, more):
    envs = make(gymnasium.make_vec, num_envs=2, vectorization_mode=mode, vector_kwargs=more)
    envs.reset(seed=1)
    _, _, terminated, _, infos = envs.step([say(), "nothing"])
    assert terminated.all()
    assert list(infos["outcome"]) == ["scored", "unparsable"]


@pytest.mark.parametrize(
    ("given", "words"), [({"modle": "x"}, "modle"), ({"render_mode": "ansi"}, "rgb_array")]
)
def test_a_wrong_setting_is_said(make, given, words):
    with pytest.raises(ValueError, match=words):
        make(**given)
