"""Serving that was killed at any moment: what was asked is used, what was made is sent, once."""

from __future__ import annotations

import asyncio

import pytest

from audioforge.generation.synth_backend import SynthBackend


@pytest.fixture
def serving(make_env, monkeypatch):
    """Build an environment as `serve` does."""
    from audioforge_env import AudioForgeEnv

    monkeypatch.setattr(AudioForgeEnv, "command", "serve")
    return make_env


def run(env, work):
    async def inside():
        await env.setup()
        with env.resources:
            return await work()

    return asyncio.run(inside())


def test_a_group_that_was_made_but_not_sent_is_sent_by_the_next_start(serving, llm, monkeypatch):
    first = serving()

    async def make_two():
        items = [await first.get_next_item() for _ in range(2)]
        return [(await first.collect_trajectories(item))[0] for item in items]

    before = run(first, make_two)
    first.session.ledger.settle(0, "sent")
    made = []
    monkeypatch.setattr(SynthBackend, "generate", lambda self, requests: made.append(requests))
    again = serving()

    async def resume():
        item = await again.get_next_item()
        return item["index"], (await again.collect_trajectories(item))[0]

    index, payload = run(again, resume)
    assert index == 1
    assert payload == before[1]
    assert made == []
    assert llm.calls == 2


def test_answers_that_came_before_the_end_are_not_asked_for_again(serving, llm, monkeypatch, lines):
    def killed(*_):
        raise KeyboardInterrupt

    first = serving()

    async def begin():
        item = await first.get_next_item()
        await first.session.collect(item, first.asker.ask)

    with monkeypatch.context() as patched:
        patched.setattr("audioforge.rollouts.collect.generate", killed)
        with pytest.raises(KeyboardInterrupt):
            run(first, begin)
    assert llm.calls == 1
    again = serving()

    async def resume():
        items = [await again.get_next_item() for _ in range(2)]
        payload, _ = await again.collect_trajectories(items[0])
        return [item["index"] for item in items], payload

    indices, payload = run(again, resume)
    assert indices == [0, 1]
    assert llm.calls == 1
    assert len(payload["scores"]) == 4
    assert [line["group"] for line in lines(again.folder / "rollouts.jsonl")] == [0] * 4


def test_an_item_that_takes_too_long_comes_back_and_goes_on(serving, monkeypatch, llm):
    llm.delay = 1.0
    env = serving(worker_timeout=0.2)

    async def late():
        item = await env.get_next_item()
        first, _ = await env.collect_trajectories(item)
        back = await env.get_next_item()
        env.leaving.item_seconds = None
        return first, back is item, (await env.collect_trajectories(back))[0]

    first, same, payload = run(env, late)
    assert first is None
    assert same
    assert len(payload["scores"]) == 4
    assert llm.calls == 1


def test_passes_are_smaller_than_all_groups_in_flight(serving):
    env = serving(max_batch=32)

    async def settings():
        env.session.overlap(8, 100)
        return env.session.studio.engine.settings.max_batch

    assert run(env, settings) == 8 * env.config.group_size // 3


def test_the_trainers_checkpoint_does_not_skip_what_the_run_folder_lacks(serving, tmp_path):
    env = serving()
    env.checkpoint_dir, env.wandb_prepend, env.curr_step = str(tmp_path / "ckpt"), "a_0", 4

    async def places():
        env.save_checkpoint(4, {"next_index": 20})
        env.load_checkpoint()
        fresh = env.session.next_index
        env.session.next_index, env.session.done = 0, {5}
        env.load_checkpoint()
        return fresh, env.session.next_index

    assert run(env, places) == (20, 0)


def test_conversations_that_were_made_but_not_sent_are_sent_whole_by_the_next_start(serving, llm):
    def one_group():
        env = serving(turns=2, group_size=2)

        async def work():
            item = await env.get_next_item()
            return item["index"], (await env.collect_trajectories(item))[0]

        return run(env, work)

    before = one_group()
    asked = llm.calls
    assert one_group() == before
    assert llm.calls == asked
    assert [len(messages) for messages in before[1]["messages"]] == [5, 5]
