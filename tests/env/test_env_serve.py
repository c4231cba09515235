"""serve against a real run-api, with a scripted trainer: the whole way, over HTTP."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from audioforge.policy.learn import free_port
from audioforge.rollouts.outgoing import MASKED

ROOT = Path(__file__).parents[2]
PATIENCE_S = 400.0
"""For a child to end on a busy machine."""


def call(url: str, body: dict | None = None):
    sent = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, sent, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@contextlib.contextmanager
def run_api(child, folder: Path, port: int):
    """A real run-api on loopback, which can be killed."""
    words = [sys.executable, "-m", "atroposlib.cli.run_api", "--host", "127.0.0.1"]
    with child([*words, "--port", str(port)], folder / f"api-{time.time()}.log") as process:
        for _ in range(300):
            with contextlib.suppress(OSError):
                call(f"http://127.0.0.1:{port}")
                break
            time.sleep(0.1)
        yield process


@pytest.fixture
def api(tmp_path, child):
    """A real run-api on loopback."""
    port = free_port()
    with run_api(child, tmp_path, port):
        yield f"http://127.0.0.1:{port}"


def register(api: str, **changes) -> None:
    told = {"wandb_group": "g", "wandb_project": "p", "batch_size": 8, "max_token_len": 2_048}
    told |= {
        "checkpoint_dir": "ckpt",
        "save_checkpoint_interval": 2,
        "starting_step": 0,
        "num_steps": 3,
    }
    call(f"{api}/register", told | changes)


def batches(api: str, count: int, process: subprocess.Popen, seconds: float = PATIENCE_S) -> list:
    """Be the trainer: fetch `count` batches."""
    got, until = [], time.monotonic() + seconds
    while len(got) < count and time.monotonic() < until and process.poll() is None:
        batch = call(f"{api}/batch")["batch"]
        got += [batch] if batch else []
        time.sleep(0.2)
    return got


SERVE = [sys.executable, str(ROOT / "audioforge_env.py"), "serve", "--openai.server_type", "vllm"]


def test_a_trainer_gets_batches_of_whole_groups(llm, flags, api, tmp_path, lines, child):
    llm.delay = 0.05
    register(api)
    words = [*SERVE, *flags, "--env.rollout_server_url", api]
    words += ["--env.steps_per_eval", "2", "--env.eval_targets", "2"]
    with child(words, tmp_path / "env.log") as process:
        got = batches(api, 3, process)
        process.wait(PATIENCE_S)
    told = (tmp_path / "env.log").read_text()
    assert len(got) == 3, told
    assert process.returncode == 0, told  # total_steps came from the trainer
    for batch in got:
        assert sum(len(group["scores"]) for group in batch) == 8
        for group in batch:
            assert (
                len(group["tokens"]) == len(group["masks"]) == len(group["inference_logprobs"]) == 4
            )
            assert len(set(group["scores"])) > 1
            assert all(0 <= score <= 1 for score in group["scores"])
            assert all(override["rollout"] for override in group["overrides"])
            for tokens, masks in zip(group["tokens"], group["masks"], strict=True):
                answer = [t for t, mask in zip(tokens, masks, strict=True) if mask != MASKED]
                assert json.loads(llm.tokenizer.decode(answer, skip_special_tokens=True))["prompt"]
    rollouts = lines(tmp_path / "run" / "rollouts.jsonl")
    assert len({line["id"] for line in rollouts}) == len(
        rollouts
    )  # cancelled work is not done twice
    sent = {
        override["rollout"] for batch in got for group in batch for override in group["overrides"]
    }
    assert sent <= {line["id"] for line in rollouts}
    assert (tmp_path / "run" / "metrics.jsonl").exists()
    assert told.splitlines()[0].startswith("waiting for a trainer")
    assert "Traceback" not in told
    assert "Warning" not in told


def indices(got: list) -> list[int]:
    """The groups of these batches, by index."""
    return sorted(group["generation_params"]["group"] for batch in got for group in batch)


def settled(folder: Path) -> dict[str, list[int]]:
    """What became of each group, by outcome; checks that it is settled once."""
    told: dict[str, list[int]] = {}
    for line in (folder / "outcomes.jsonl").read_text().splitlines():
        line = json.loads(line)
        if line["outcome"] in ("sent", "withheld", "unconfirmed"):
            told.setdefault(line["outcome"], []).append(line["group"])
    every = [group for groups in told.values() for group in groups]
    assert len(set(every)) == len(every)
    return told


def recorded(folder: Path) -> set[int]:
    """The groups in the run folder; checks that each is there once."""
    ids = [json.loads(line)["id"] for line in (folder / "rollouts.jsonl").read_text().splitlines()]
    assert len(set(ids)) == len(ids)
    return {int(name[1:6]) for name in ids}


def kept(folder: Path) -> set[int]:
    """The groups whose answers wait: on a busy machine the last are not made before the end."""
    return {int(path.stem) for path in (folder / "outbox").iterdir()}


def queued(api: str) -> int:
    return call(f"{api}/status")["queue_size"]


def test_a_restarted_api_is_joined_again_and_no_group_is_lost_or_sent_twice(
    llm, flags, tmp_path, child
):
    llm.delay = 0.1
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = [*SERVE, *flags, "--env.rollout_server_url", url]
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(run_api(child, tmp_path, port))
        register(url, num_steps=50)
        process = stack.enter_context(child(words, tmp_path / "env.log"))
        got = batches(url, 2, process)
        first.kill()
        first.wait()
        time.sleep(2.0)
        assert process.poll() is None, (tmp_path / "env.log").read_text()
        stack.enter_context(run_api(child, tmp_path, port))
        time.sleep(1.0)  # an API without a trainer: nothing may be sent to it
        assert queued(url) == 0
        register(url, num_steps=3)
        again = batches(url, 3, process)
        process.wait(PATIENCE_S)
    told = (tmp_path / "env.log").read_text()
    assert process.returncode == 0, told
    assert len(again) == 3
    assert not set(indices(got)) & set(indices(again))
    outcomes = settled(tmp_path / "run")
    assert set(indices(got)) | set(indices(again)) <= set(outcomes["sent"])
    assert "Traceback" not in told


def test_told_to_stop_it_finishes_what_is_begun_and_ends_well(llm, flags, api, tmp_path, child):
    llm.delay = 0.5
    register(api, num_steps=50)
    words = [*SERVE, *flags, "--env.rollout_server_url", api]
    with child(words, tmp_path / "env.log") as process:
        got = batches(api, 2, process)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    told = (tmp_path / "env.log").read_text()
    assert process.returncode == 0, told
    assert told.splitlines()[-1] == "run: run"
    outcomes = settled(tmp_path / "run")
    every = {group for one in outcomes.values() for group in one}
    waiting = kept(tmp_path / "run")
    assert not waiting & every
    assert recorded(tmp_path / "run") <= waiting | every
    assert waiting | every == set(range(len(waiting | every)))
    assert set(indices(got)) <= set(outcomes["sent"])
    assert "Traceback" not in told


def test_a_killed_server_goes_on_without_loss_or_double_work(llm, flags, api, tmp_path, child):
    llm.delay = 0.3
    register(api, num_steps=50)
    words = [*SERVE, *flags, "--env.rollout_server_url", api]
    with child(words, tmp_path / "first.log") as process:
        got = batches(api, 2, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    run = tmp_path / "run"
    before = recorded(run)
    asked = llm.calls
    with child(words, tmp_path / "second.log") as process:
        got += batches(api, 3, process)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    told = (tmp_path / "second.log").read_text()
    assert process.returncode == 0, told
    assert len(set(indices(got))) == len(indices(got)) == 10
    outcomes = settled(run)
    every = {group for one in outcomes.values() for group in one} | kept(run)
    assert before <= every
    assert recorded(run) <= every
    assert every == set(range(len(every)))  # no hole: what was begun in the first run is made
    assert llm.calls - asked < len(every) - len(before) + 9  # answers that had come are kept


def test_without_an_api_serving_ends_with_one_line(flags, tmp_path, child):
    url = f"http://127.0.0.1:{free_port()}"
    words = [*SERVE, *flags, "--env.rollout_server_url", url]
    with child(words, tmp_path / "env.log") as process:
        process.wait(PATIENCE_S)
    told = (tmp_path / "env.log").read_text().splitlines()
    assert process.returncode == 1
    assert (
        told[-1] == f"audioforge: {url}: no Atropos API answers there; "
        "start run-api or correct rollout_server_url"
    )
    assert len(told) == 2


def test_upstreams_own_trainer_takes_our_groups_and_learns_from_them(
    llm, flags, api, tmp_path, child
):
    """`example_trainer` of the wheel without its vLLM launcher: register, batch, loss, gradient.

    Not its `get_data`, which takes batches until there are none: our fake model is too quick.
    """
    upstream = pytest.importorskip("example_trainer.training")
    import torch
    from example_trainer.api import register_trainer
    from example_trainer.config import TrainingConfig
    from example_trainer.data import pad_data_to_good_offset
    from transformers import LlamaConfig, LlamaForCausalLM

    config = TrainingConfig(
        model_name="small",
        training_steps=1,
        batch_size=8,
        gradient_accumulation_steps=1,
        seq_len=2_048,
        atropos_url=api,
        save_path=str(tmp_path / "ckpt"),
        device="cpu",
        use_wandb=False,
    )
    register_trainer(config)
    words = [*SERVE, *flags, "--env.rollout_server_url", api]
    with child(words, tmp_path / "env.log") as process:
        [batch] = batches(api, 1, process)
    padded = pad_data_to_good_offset({"batch": batch}, 8)
    tokens, labels, advantages, temperatures, logprobs = padded
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(llm.tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=2_048,
        )
    )
    loss, told = upstream.compute_grpo_loss(
        model, tokens[0], labels[0], advantages[0], temperatures[0], 1, logprobs[0]
    )
    loss.backward()
    assert tokens[0].shape[0] == 8
    assert told["pos_count"] > 0 < told["neg_count"]
    assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())
    assert any(weight.grad.abs().max() > 0 for weight in model.parameters())
