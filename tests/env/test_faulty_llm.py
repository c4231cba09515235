"""A language model that fails in a fifth of its calls: every group is made once, none hangs."""

from __future__ import annotations

import asyncio
import json

import pytest
from fault_proxy import KINDS, FaultProxy

from audioforge.generation.synth_backend import SynthBackend


@pytest.fixture
def faulty(llm):
    """A proxy before the language model; the call makes it."""
    made = []

    def make(*kinds: str, **settings) -> FaultProxy:
        settings = {"hang": 4.0, "seed": 1} | settings
        made.append(FaultProxy(llm.url.removesuffix("/v1"), kinds=kinds or KINDS, **settings))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def collect(env, groups: int) -> list:
    """Make groups side by side, as serving does: what comes back is given out again."""

    async def worker(left: list[int]) -> list:
        sent = []
        while left:
            left.pop()
            item = await env.get_next_item()
            payload, _ = await env.collect_trajectories(item)
            if payload is None and env.session.again:
                left.append(1)
            elif payload is not None:
                sent.append(payload)
        return sent

    async def run():
        await env.setup()
        with env.resources:
            left = [1] * groups
            async with asyncio.timeout(120):
                every = await asyncio.gather(*(worker(left) for _ in range(8)))
            return [payload for one in every for payload in one]

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["vllm", "openai"])
def test_a_fifth_of_all_calls_fail_and_every_group_is_made_once(
    make_env, faulty, tmp_path, lines, kind
):
    proxy = faulty(share=0.2)
    env = make_env(kind, base_url=f"{proxy.url}/v1", timeout=1, patience=60)
    sent = collect(env, 24)
    assert sum(proxy.injected.values()) >= 4
    groups = [payload["generation_params"]["group"] for payload in sent]
    assert sorted(groups) == list(range(24))
    rollouts = lines(tmp_path / "run" / "rollouts.jsonl")
    assert sorted(line["id"] for line in rollouts) == [
        f"g{group:05d}-r{place}" for group in range(24) for place in range(4)
    ]
    assert all(line["reward"] is not None for line in rollouts)


@pytest.mark.parametrize("fault", KINDS)
def test_each_kind_of_fault_is_survived_before_any_audio_is_made(
    make_env, faulty, monkeypatch, fault
):
    made = []
    generate = SynthBackend.generate
    monkeypatch.setattr(
        SynthBackend, "generate", lambda self, r: made.append(len(r)) or generate(self, r)
    )
    proxy = faulty(fault, choose=lambda _, call: fault if call == 1 else None)
    env = make_env(base_url=f"{proxy.url}/v1", timeout=1)
    (payload,) = collect(env, 1)
    assert len(payload["scores"]) == 4
    assert proxy.injected == {fault: 1}
    assert made == [4]


def test_answers_that_differ_only_in_what_the_backend_ignores_are_equal(make_env, llm, monkeypatch):
    made = []
    generate = SynthBackend.generate
    monkeypatch.setattr(
        SynthBackend, "generate", lambda self, r: made.append(len(r)) or generate(self, r)
    )
    llm.say = lambda number: json.dumps({"prompt": "warm pad", "seed": number, "seconds_total": 1})
    env = make_env(ensure_scores_are_not_same=True)
    assert collect(env, 1) == []
    assert made == []
