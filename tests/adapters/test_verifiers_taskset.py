"""verifiers v1: the taskset's own contract, and vf-eval against our policy server."""

import asyncio
import json

import pytest

pytest.importorskip("verifiers.v1", reason="an environment of its own: make test-verifiers")

from audioforge.adapters.verifiers_taskset import LostClip, SoundTaskset, SoundTasksetConfig
from audioforge.generation.request import Failure
from audioforge.generation.synth_backend import SynthBackend


class Reply:
    """What a task reads and writes of a trace."""

    def __init__(self, text):
        self.last_reply, self.info, self.metrics = text, {}, {}
        self.record_metrics = self.metrics.update


def tasks(**given):
    return list(SoundTaskset(SoundTasksetConfig(id="audioforge_sounds", **given)))


def test_a_task_holds_a_target_and_what_a_model_is_told(quick):
    loaded = tasks(**quick, split="eval")
    assert [task.data.idx for task in loaded] == [0, 1, 2]
    assert {task.data.id for task in loaded} == {"drums-eval-0", "sfx-eval-0", "ambient-eval-0"}
    assert loaded[0].data.description in loaded[0].data.prompt
    assert '"steps"' in loaded[0].data.system_prompt
    assert [task.key for task in loaded] == [task.data.id for task in loaded]


def test_answers_are_rewarded_with_parts_as_metrics(quick, say):
    task = tasks(**quick)[0]
    good, bad = Reply(say()), Reply("nothing")

    async def both():
        return await asyncio.gather(task.audioforge(good), task.audioforge(bad))

    rewards = asyncio.run(both())
    assert 0 <= rewards[0] <= 1
    assert rewards[1] == 0.0
    assert (good.metrics["format_rate"], bad.metrics["format_rate"]) == (1.0, 0.0)
    assert "prompt_alignment" in good.metrics
    assert bad.info["audioforge"]["reason"] == "no JSON object in the answer"
    json.dumps(good.info)


class Lost(SynthBackend):
    """A generator that breaks."""

    def generate(self, requests):
        return [Failure(request, "memory", "out of memory") for request in requests]


def test_a_clip_we_lost_is_an_error_and_not_a_reward(quick, say, monkeypatch):
    monkeypatch.setattr("audioforge.generation.synth_backend.SynthBackend", Lost)
    task = tasks(**quick, categories="sfx")[0]
    with pytest.raises(LostClip, match="out of memory"):
        asyncio.run(task.audioforge(Reply(say())))


def test_vf_eval_runs_offline_against_our_policy_server(short_targets, tmp_path):
    from examples.verifiers_eval import evaluate

    lines = evaluate(tmp_path, "--env.taskset.targets-file", short_targets)
    assert [line["ok"] for line in lines] == [True] * 4
    for (trace,) in (line["traces"] for line in lines):
        assert 0 <= trace["rewards"]["audioforge"]["score"] <= 1
        assert trace["metrics"]["format_rate"] in (0.0, 1.0)
        assert trace["info"]["audioforge"]["outcome"] in ("scored", "unparsable")
    assert any(line["traces"][0]["metrics"]["format_rate"] for line in lines)
