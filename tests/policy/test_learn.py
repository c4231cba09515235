"""The whole training on one machine: four real processes, from the shipped policy."""

import json

import pytest
import torch

from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.policy.learn import LearnError, Plan, learn
from audioforge.policy.local_llm import LocalLLM

QUICK = ["--env.model", "synth", "--env.max_answer_tokens", "120"]
pytestmark = pytest.mark.skipif(not EMBEDDED_FOLDER.is_dir(), reason="no embedded policy")


def plan(folder, **more):
    return Plan(
        out=folder,
        steps=1,
        group_size=4,
        batch_size=8,
        threads=1,
        environments=more.pop("environments", [QUICK]),
        **more,
    )


def test_one_step_through_the_real_api_changes_the_policy_and_leaves_every_record(tmp_path):
    model = LocalLLM(learn(plan(tmp_path)), "cpu").model
    start = LocalLLM(EMBEDDED_FOLDER, "cpu").model
    pairs = zip(model.parameters(), start.parameters(), strict=True)
    assert any(not torch.equal(ours, theirs) for ours, theirs in pairs)
    line = json.loads((tmp_path / "train" / "train.jsonl").read_text())
    assert line["step"] == 1
    assert line["ratio"] == pytest.approx(1, abs=0.01)  # learnt from what the server drew
    rollouts = (tmp_path / "serve" / "rollouts.jsonl").read_text().splitlines()
    assert len(rollouts) >= 8
    ended = {name: (tmp_path / "logs" / f"{name}.log").read_text() for name in ("trainer", "serve")}
    assert "model:" in ended["trainer"]
    assert "Traceback" not in ended["serve"]


def test_two_environments_on_one_api_train_one_policy_also_with_several_turns(tmp_path):
    half = [*QUICK, "--env.min_batch_allocation", "0.5", "--env.decides"]
    talk = ["--env.turns", "2", "--env.curriculum", "true"]
    learn(plan(tmp_path, environments=[[*half, "prompt"], [*half, "parameters", *talk]]))
    one, two = (
        [json.loads(line) for line in (tmp_path / name / "rollouts.jsonl").read_text().splitlines()]
        for name in ("serve", "serve_1")
    )
    assert any("the recommended settings were used" in answer["notes"] for answer in one)
    assert any("the target's baseline prompt was used" in answer["notes"] for answer in two)
    assert any("turn" in answer for answer in two)
    line = json.loads((tmp_path / "train" / "train.jsonl").read_text())
    assert line["step"] == 1
    assert line["ratio"] == pytest.approx(1, abs=0.01)


def test_a_process_that_ends_early_is_told_with_its_last_words(tmp_path):
    with pytest.raises(LearnError, match=r"trainer ended early.*rate must be in"):
        learn(plan(tmp_path, trainer=["--rate", "7"]))


def test_batches_that_groups_cannot_fill_are_refused(tmp_path):
    with pytest.raises(ValueError, match="whole groups"):
        Plan(out=tmp_path, group_size=8, batch_size=12)
