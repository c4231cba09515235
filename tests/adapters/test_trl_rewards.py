"""TRL: one real GRPO step on the embedded models, and what the reward function gives."""

import json

import pytest

from audioforge.adapters.trl_rewards import SoundReward, answer_text, prompt_dataset
from audioforge.generation.request import Failure
from audioforge.generation.synth_backend import SynthBackend
from audioforge.rollouts.desk import Desk
from audioforge.rollouts.settings import EnvSettings


@pytest.fixture
def desk(quick):
    desk = Desk(EnvSettings(**quick))
    yield desk
    desk.close()


def test_prompts_are_what_the_environment_asks_with_a_target_per_row(desk):
    rows = prompt_dataset(desk, 4)
    assert rows.num_rows == 4
    assert rows[0]["prompt"] == desk.messages(desk.target_at(0))
    assert rows[3]["target_id"] == rows[0]["target_id"]
    assert json.loads(rows[1]["target"])["id"] == rows[1]["target_id"]


def test_completions_to_one_target_are_one_group_in_any_order(desk, say):
    rows = prompt_dataset(desk, 2)
    told = [rows[place]["target"] for place in (0, 1, 0, 1)]
    texts = [say(), say(prompt="rain"), "nothing", say(prompt="wind")]
    as_messages = [[{"role": "assistant", "content": text}] for text in texts]
    metrics, extra = {}, {}
    rewards = SoundReward(desk)(
        [[]] * 4, as_messages, told, log_metric=metrics.__setitem__, log_extra=extra.__setitem__
    )
    assert rewards[2] == 0.0
    assert all(0 <= reward <= 1 for reward in rewards)
    assert rewards == SoundReward(desk)([""] * 4, texts, told, target_id=["x"] * 4)
    assert metrics["format_rate"] == 0.75
    assert "part/audio_quality" in metrics
    assert extra["outcome"] == ["scored", "scored", "unparsable", "scored"]


class Lost(SynthBackend):
    """Loses the clips whose prompt says so."""

    def generate(self, requests):
        made = super().generate(requests)
        return [
            Failure(request, "memory", "out of memory") if "lose" in request.prompt else clip
            for request, clip in zip(requests, made, strict=True)
        ]


def test_a_rollout_we_lost_is_none_and_never_0(quick, say, monkeypatch):
    monkeypatch.setattr("audioforge.generation.synth_backend.SynthBackend", Lost)
    desk = Desk(EnvSettings(**quick))
    told = [prompt_dataset(desk, 1)[0]["target"]] * 2
    rewards = SoundReward(desk)(["", ""], [say(prompt="lose it"), say()], told)
    desk.close()
    assert rewards[0] is None
    assert rewards[1] is not None


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("plain", "plain"),
        ([{"role": "assistant", "content": "said"}], "said"),
        ([{"role": "tool", "content": "x"}, {"role": "assistant", "content": "last"}], "last"),
        ([{"role": "assistant", "content": [{"type": "text", "text": "part"}]}], "part"),
        ([{"role": "assistant", "content": None}], ""),
        ([], ""),
    ],
)
def test_the_text_of_any_completion_is_found(completion, text):
    assert answer_text(completion) == text


@pytest.mark.slow
def test_a_grpo_step_learns_from_our_reward(short_targets, tmp_path):
    pytest.importorskip("trl", reason='pip install "audioforge[trl]"')
    from examples.trl_grpo import train

    logs, before, after = train(
        {"model": "tiny-stable-audio", "targets_file": short_targets}, tmp_path, steps=1, answers=4
    )
    (step,) = [line for line in logs if "reward" in line]
    assert 0 < step["rewards/audioforge/mean"] <= 1
    assert step["reward_std"] > 0
    assert step["grad_norm"] > 0
    assert "part/prompt_alignment" in step
    assert any((before[name] != after[name]).any() for name in before)
