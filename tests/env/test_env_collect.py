"""Collecting for Atropos: tokens, the gate, cancelling, failures."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import numpy as np
import pytest

from audioforge.generation.synth_backend import SynthBackend
from audioforge.rollouts.errors import RunError, StoreError
from audioforge.rollouts.outgoing import MASKED


def collected(env, times=1):
    """Set up, make `times` groups, close; return what left for the trainer."""

    async def run():
        await env.setup()
        with env.resources:
            out = []
            for _ in range(times):
                item = await env.get_next_item()
                out.append((await env.collect_trajectories(item))[0])
            return out

    return asyncio.run(run())


def test_defaults_are_a_list_of_servers_that_need_no_check():
    from audioforge_env import AudioForgeEnv

    config, servers = AudioForgeEnv.config_init()
    assert isinstance(servers, list)  # a bare one would lose its base_url
    assert servers[0].health_check is False  # a real request every second otherwise
    assert config.name if hasattr(config, "name") else config.wandb_name  # /register-env wants one


def test_every_field_can_be_set_from_a_shell():
    from typing import get_args

    from audioforge.rollouts.settings import EnvSettings

    for name, field in EnvSettings.model_fields.items():
        parts = get_args(field.annotation) or (field.annotation,)
        kinds = {part if isinstance(part, type) else type(part) for part in parts}  # of a Literal
        assert kinds <= {str, int, float, bool, type(None)}, name
        assert field.description, name


def test_an_unknown_setting_is_an_error():
    from audioforge_env import AudioForgeConfig

    with pytest.raises(ValueError, match="no_such"):
        AudioForgeConfig(no_such=1)


def test_a_weight_that_is_set_holds_in_every_category():
    from audioforge.rollouts.settings import EnvSettings

    weights = EnvSettings(w_quality=3.0).reward_config()
    assert {weights.weights_for(name)["audio_quality"] for name in ("drums", "ambient", None)} == {
        3.0
    }
    plain = EnvSettings().reward_config()
    assert (
        weights.weights_for("ambient")["style_consistency"]
        == plain.weights_for("ambient")["style_consistency"]
    )


def test_the_device_of_the_rewards_is_set_and_told_where_it_is_not_the_cpu():
    from audioforge.rollouts.settings import EnvSettings

    batched = EnvSettings(reward_device="cpu:0").session_config("process", "policy")
    assert (batched.reward.device, batched.fixed["reward"]["device"]) == ("cpu:0", "cpu:0")
    assert "device" not in EnvSettings().session_config("process", "policy").fixed["reward"]
    with pytest.raises(ValueError, match="'cuda:99' is not there"):
        EnvSettings(reward_device="cuda:99").session_config("process", "policy")


def test_drawn_tokens_and_logprobs_come_from_the_server(make_env, tokenizer):
    env = make_env("vllm")
    (payload,) = collected(env)
    for tokens, masks, logprobs, messages in zip(
        payload["tokens"],
        payload["masks"],
        payload["inference_logprobs"],
        payload["messages"],
        strict=True,
    ):
        assert len(tokens) == len(masks) == len(logprobs)
        answer = [token for token, mask in zip(tokens, masks, strict=True) if mask != MASKED]
        assert tokenizer.decode(answer, skip_special_tokens=True) == messages[-1]["content"]
        assert {p for p, mask in zip(logprobs, masks, strict=True) if mask != MASKED} == {-0.25}
        assert {p for p, mask in zip(logprobs, masks, strict=True) if mask == MASKED} == {1.0}


def test_without_drawn_tokens_the_conversation_is_tokenised_again(make_env, tokenizer):
    (payload,) = collected(make_env("openai"))
    assert "inference_logprobs" not in payload
    assert all(len(tokens) > 20 for tokens in payload["tokens"])
    decoded = tokenizer.decode(payload["tokens"][0])
    assert payload["messages"][0][-1]["content"] in decoded


def test_what_leaves_is_plain_and_names_its_clip(make_env, tmp_path):
    (payload,) = collected(make_env())
    json.dumps(payload, allow_nan=False)
    for override in payload["overrides"]:
        assert (tmp_path / "run" / override["clip"]).is_file()
        assert len(override["sha256"]) == 64
        assert set(override["parts"]) >= {"audio_quality", "prompt_alignment"}


def test_one_object_is_never_sent_twice(make_env):
    env = make_env()

    async def run():
        await env.setup()
        with env.resources:
            item = await env.get_next_item()
            first = (await env.collect_trajectories(item))[0]
            second = (await env.collect_trajectories(item))[0]
            return first, second

    first, second = asyncio.run(run())
    assert first == second
    first["group_overrides"] = None
    first["tokens"][0].append(1)
    assert first != second


def test_equal_answers_are_found_before_a_clip_is_made(make_env, llm, monkeypatch):
    made = []
    generate = SynthBackend.generate
    monkeypatch.setattr(
        SynthBackend, "generate", lambda self, r: made.append(len(r)) or generate(self, r)
    )
    llm.say = lambda _: json.dumps({"prompt": "warm pad", "seconds_total": 1})
    env = make_env(ensure_scores_are_not_same=True)
    assert collected(env) == [None]
    assert made == []
    assert env.board.window.drops["group equal answers"] == 1
    kept = make_env(ensure_scores_are_not_same=False, out="other")
    assert collected(kept)[0]["scores"]
    assert made == [1]


def test_the_trainers_limit_shortens_answers_and_withholds_what_is_too_long(make_env, llm):
    env = make_env()
    env.asker.max_tokens = 40
    with pytest.raises(RunError, match="the question alone has"):
        collected(env)
    env = make_env(out="other")
    env.asker.max_tokens = 10_000
    assert collected(env)[0] is not None
    env = make_env(out="third")
    messages = [{"role": "user", "content": "x"}]
    env.asker.max_tokens = env.asker._room(messages) and 60
    assert env.asker._room(messages) < 60


def test_a_dead_language_model_costs_pauses_not_errors(make_env, llm):
    env = make_env("openai", patience=1_000)
    llm.status = 400

    async def run():
        await env.setup()
        with env.resources:
            item = await env.get_next_item()
            first = await env.collect_trajectories(item)
            back = await env.get_next_item()
            return first, back is item, env.leaving.backoff.delay, env.leaving.fatal

    first, same, delay, fatal = asyncio.run(run())
    assert first == (None, [])
    assert same  # the item was not lost
    assert delay > 0
    assert fatal is None


def test_a_crash_of_ours_is_dropped_and_told_never_scored(make_env, monkeypatch, tmp_path, lines):
    generate = SynthBackend.generate

    def half(self, requests):
        if any("dark" in request.prompt for request in requests):
            raise MemoryError("no room")
        return generate(self, requests)

    monkeypatch.setattr(SynthBackend, "generate", half)
    env = make_env()
    (payload,) = collected(env)
    rewards = [line["reward"] for line in lines(tmp_path / "run" / "rollouts.jsonl")]
    assert rewards.count(None) == 1
    place = rewards.index(None)
    assert payload["overrides"][place]["set_advantage_to_zero"] is True
    assert payload["scores"][place] == pytest.approx(np.mean([r for r in rewards if r is not None]))
    assert sum(env.board.window.drops.values()) == 1


def test_an_error_nobody_expected_stops_serving(make_env, monkeypatch):
    env = make_env()

    async def full(_):
        raise StoreError("no space left")

    monkeypatch.setattr(env, "process_batch", full)
    with pytest.raises(StoreError):
        collected(env)
    with pytest.raises(StoreError):
        asyncio.run(env.get_status())  # what Atropos' serve loop calls ten times a second


class Slow:
    """Makes generation wait for `go`, and counts it."""

    def __init__(self, monkeypatch):
        self.go, self.calls, self.begun = threading.Event(), 0, threading.Event()
        generate = SynthBackend.generate

        def slow(backend, requests):
            self.calls += 1
            self.begun.set()
            assert self.go.wait(20)
            return generate(backend, requests)

        monkeypatch.setattr(SynthBackend, "generate", slow)


def test_cancelled_work_goes_on_and_nothing_is_done_twice(
    make_env, llm, monkeypatch, tmp_path, lines
):
    slow = Slow(monkeypatch)
    env = make_env()

    async def run():
        await env.setup()
        with env.resources:
            item = await env.get_next_item()
            for _ in range(2):  # the queue is full, then an evaluation starts
                worker = asyncio.create_task(env.collect_trajectories(item))
                await asyncio.to_thread(slow.begun.wait, 20)
                await asyncio.sleep(0.05)
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)
                assert worker.cancelled()
            slow.go.set()
            return (await env.collect_trajectories(item))[0]

    assert len(asyncio.run(run())["scores"]) == 4
    assert llm.calls == 1
    assert slow.calls == 1
    assert len(lines(tmp_path / "run" / "rollouts.jsonl")) == 4


def test_an_answer_that_came_survives_a_failure_after_it(make_env, llm, monkeypatch):
    env = make_env()
    appended = []

    async def run():
        await env.setup()
        with env.resources:
            item = await env.get_next_item()
            append = env.session.store.append

            def once(rollouts):
                appended.append(1)
                if len(appended) == 1:
                    raise StoreError("full")
                append(rollouts)

            monkeypatch.setattr(env.session.store, "append", once)
            with pytest.raises(StoreError):
                await env.collect_trajectories(item)
            return (await env.collect_trajectories(item))[0]

    assert asyncio.run(run())["scores"]
    assert llm.calls == 1


def test_the_event_loop_is_free_while_a_clip_is_made(make_env, monkeypatch):
    slow = Slow(monkeypatch)
    env = make_env()

    async def run():
        await env.setup()
        with env.resources:
            item = await env.get_next_item()
            worker = asyncio.create_task(env.collect_trajectories(item))
            await asyncio.to_thread(slow.begun.wait, 20)
            slow.go.set()  # a blocked loop never gets here, and the clip fails for want of it
            group, _ = await worker
            return group

    assert asyncio.run(run())["scores"]


def test_clips_of_groups_in_flight_are_made_together_one_batch_at_a_time(make_env, monkeypatch):
    running, most, sizes = [], [], []
    generate = SynthBackend.generate

    def counted(self, requests):
        running.append(1)
        most.append(len(running))
        sizes.append(len(requests))
        time.sleep(0.05)
        running.pop()
        return generate(self, requests)

    monkeypatch.setattr(SynthBackend, "generate", counted)
    env = make_env()

    async def run():
        await env.setup()
        with env.resources:
            items = [await env.get_next_item() for _ in range(4)]
            return await asyncio.gather(*(env.collect_trajectories(item) for item in items))

    assert all(payload for payload, _ in asyncio.run(run()))
    assert sum(sizes) == 4 * env.config.group_size
    assert len(sizes) <= 4
    assert max(most) == 1


def test_targets_come_in_a_fixed_order_over_all_categories(make_env):
    env = make_env(categories="", out="a")

    async def run(env):
        await env.setup()
        with env.resources:
            return [(await env.get_next_item())["target"] for _ in range(10)]

    first = asyncio.run(run(env))
    again = asyncio.run(run(make_env(categories="", out="b")))
    other = asyncio.run(run(make_env(categories="", out="c", run_seed=1)))
    assert [target.id for target in first] == [target.id for target in again]
    assert [target.id for target in first] != [target.id for target in other]
    assert len({target.category for target in first[:5]}) == 5


def test_a_checkpoint_keeps_the_place_in_the_targets(make_env, tmp_path):
    def ready(out):
        env = make_env(out=out)
        env.checkpoint_dir, env.wandb_prepend = str(tmp_path / "ckpt"), "audioforge_0"
        return env

    async def run():
        first, second = ready("a"), ready("b")
        for env in (first, second):
            await env.setup()
        for _ in range(3):
            await first.get_next_item()
        first.save_checkpoint(7)
        second.curr_step = 7
        second.load_checkpoint()
        got = [(await env.get_next_item())["index"] for env in (first, second)]
        for env in (first, second):
            env.resources.close()
        return got

    assert asyncio.run(run()) == [3, 3]


def test_single_steps_work_on_their_own(make_env):
    env = make_env()

    async def run():
        await env.setup()
        with env.resources:
            return await env.get_next_item()

    item = asyncio.run(run())
    messages = env.get_prompt(item)
    assert [message["role"] for message in messages] == ["system", "user"]
    action = env.parse_response('{"prompt": "warm pad", "seconds_total": 2}').action
    assert action.prompt == "warm pad"
    from audioforge.generation.synth import render

    report = env.score_response(render(item["target"].brief, 1), item)
    assert 0 <= report.total <= 1
