"""A group: whose fault decides, identical requests are made once, seeds are our own."""

import asyncio
import json
import math
import threading

import numpy as np
import pytest

from audioforge.generation.request import Clip, Failure
from audioforge.generation.synth_backend import SynthBackend
from audioforge.reward_functions.score import RewardReport
from audioforge.rollouts.collect import Completion, Studio, collect_group
from audioforge.rollouts.guarded import gate
from audioforge.rollouts.record import clip_seed
from audioforge.utils.audio_processing import Audio


class CountingBackend(SynthBackend):
    """The teacher, remembering every batch it was asked for."""

    def __init__(self):
        self.batches = []

    def generate(self, requests):
        self.batches.append(list(requests))
        return super().generate(requests)


class FailingBackend(CountingBackend):
    """Fails requests whose prompt says so: once ("flaky"), always, or with the whole batch."""

    def generate(self, requests):
        self.batches.append(list(requests))
        if len(requests) > 1 and any("poison" in r.prompt for r in requests):
            raise RuntimeError("CUDA error: device-side assert\nsecond line")
        return [self._made(request) for request in requests]

    def _made(self, request):
        first = sum(request in batch for batch in self.batches) == 1
        if "broken" in request.prompt or ("flaky" in request.prompt and first):
            return Failure(request, "memory", "out of memory")
        if "invalid" in request.prompt:
            return Failure(request, "invalid", "too long")
        return self._one(request)


def test_a_group_keeps_the_order_of_the_answers(collect, say, judge):
    group = collect(say(prompt="rain ambience"), say(prompt="techno beat"), say(prompt="bell tone"))
    assert [r.index for r in group.rollouts] == [0, 1, 2]
    assert [r.action.prompt for r in group.rollouts] == [
        "rain ambience",
        "techno beat",
        "bell tone",
    ]
    assert all(
        r.reward == pytest.approx(0.89, abs=0.01) and r.outcome == "scored" for r in group.rollouts
    )
    assert group.rewards == tuple(r.reward for r in group.rollouts)
    assert set(group.timings) == {"ask", "generate", "judge"}
    assert [type(audio) for audio in group.audios] == [Audio] * 3
    assert judge.calls[0]["duplicates"] == [0, 1, 2]


def test_an_answer_without_an_action_is_worth_0_with_the_reason_and_makes_no_sound(collect, say):
    backend = CountingBackend()
    group = collect("no idea", say(), '{"steps": 4}', backend=backend)
    assert [r.outcome for r in group.rollouts] == ["unparsable", "scored", "unparsable"]
    assert group.rewards[0] == 0.0
    assert group.rollouts[0].clip is None
    assert group.rollouts[0].reason == "no JSON object in the answer"
    assert group.drops == {"dropped": 0, "unparsable": 2, "duplicate": 0}
    assert [len(batch) for batch in backend.batches] == [1]


def test_when_nothing_parses_neither_generator_nor_reward_is_called(collect, judge):
    backend = CountingBackend()
    assert collect("a", "b", backend=backend).rewards == (0.0, 0.0)
    assert backend.batches == []
    assert judge.calls == []


def test_an_answer_cut_at_the_token_limit_says_so(target, judge, ask_with):
    ask = ask_with('{"prompt": "te', finish_reason="length")
    group = asyncio.run(collect_group(target, 0, ask, Studio(SynthBackend(), judge, group_size=1)))
    assert "cut at the token limit" in group.rollouts[0].reason


def test_identical_requests_are_made_once_and_share_seed_clip_and_reward(collect, say, judge):
    backend = CountingBackend()
    spelled_otherwise = 'Here: {"seconds": 0.5, "prompt": "techno drum loop", "seed": 77}'
    group = collect(say(prompt="bell"), say(), say(), spelled_otherwise, backend=backend)
    assert [r.duplicate_of for r in group.rollouts] == [None, None, 1, 1]
    assert len({r.request.key for r in group.rollouts[1:]}) == 1
    assert len({r.clip.sha256 for r in group.rollouts[1:]}) == 1
    assert [len(batch) for batch in backend.batches] == [2]
    assert judge.calls[0]["duplicates"] == [0, 1, 1, 1]
    assert group.drops["duplicate"] == 2


def test_a_seed_in_an_answer_is_ignored_and_noted(collect, say, target):
    rollout = collect(say(seed=5), run_seed=11).rollouts[0]
    assert rollout.request.seed == rollout.seeds["clip"] == clip_seed(11, target.id, 0, 0) != 5
    assert "seed ignored" in rollout.notes


def test_every_clip_has_its_own_seed_and_the_same_run_draws_the_same_ones(collect, say, target):
    def seeds(run_seed, index):
        group = collect(say(prompt="a"), say(prompt="b"), run_seed=run_seed, index=index)
        return [r.request.seed for r in group.rollouts]

    assert seeds(0, 0) == seeds(0, 0)
    drawn = [*seeds(0, 0), *seeds(0, 1), *seeds(1, 0)]
    assert len(set(drawn)) == 6
    assert clip_seed(0, "a", 0, 0) != clip_seed(0, "b", 0, 0)


def test_with_a_common_seed_a_group_starts_from_one_noise_and_the_next_from_another(
    target, judge, ask_with, say
):
    studio = Studio(SynthBackend(), judge, group_size=3, common_seed=True)
    answers = [say(prompt="rain"), say(prompt="techno beat"), say(prompt="bell")]
    seeds = [
        {r.request.seed for r in asyncio.run(collect_group(target, index, ask, studio)).rollouts}
        for index, ask in ((0, ask_with(*answers)), (1, ask_with(*answers)))
    ]
    assert [len(found) for found in seeds] == [1, 1]
    assert seeds[0] != seeds[1]


@pytest.mark.parametrize("decides", ["both", "prompt", "parameters"])
def test_only_what_the_policy_decides_reaches_the_generator(target, judge, ask_with, say, decides):
    backend = SynthBackend()
    studio = Studio(backend, judge, group_size=1, decides=decides)
    ask = ask_with(say(prompt="rain", seconds_total=1.0, steps=1, cfg_scale=1.0))
    rollout = asyncio.run(collect_group(target, 0, ask, studio)).rollouts[0]
    usual = backend.capabilities.recommended
    own_prompt, own_settings = decides != "parameters", decides != "prompt"
    assert rollout.request.prompt == ("rain" if own_prompt else target.baseline_prompt)
    assert rollout.request.steps == (1 if own_settings else usual.steps)
    assert rollout.request.seconds == 1.0
    assert rollout.action.steps == 1  # what was said stays on record
    assert bool(rollout.notes) == (decides != "both")


def test_a_failed_clip_is_tried_once_more_alone(collect, say):
    backend = FailingBackend()
    group = collect(say(prompt="flaky rain"), say(prompt="bell"), backend=backend)
    assert [r.outcome for r in group.rollouts] == ["scored", "scored"]
    assert [r.attempt for r in group.rollouts] == [2, 1]
    assert [len(batch) for batch in backend.batches] == [2, 1]


def test_a_clip_that_fails_twice_is_dropped_with_the_reason_and_is_not_0(collect, say):
    group = collect(say(prompt="broken rain"), say(prompt="bell"), backend=FailingBackend())
    dropped, scored = group.rollouts
    assert (dropped.reward, dropped.outcome, dropped.clip, dropped.report) == (
        None,
        "dropped",
        None,
        None,
    )
    assert dropped.reason == "no clip (memory): out of memory"
    assert scored.outcome == "scored"
    assert group.drops["dropped"] == 1


def test_a_request_the_backend_calls_invalid_is_not_tried_again(collect, say):
    backend = FailingBackend()
    group = collect(say(prompt="invalid"), backend=backend)
    assert group.rollouts[0].reason == "no clip (invalid): too long"
    assert len(backend.batches) == 1


def test_one_poisonous_request_does_not_take_its_batch_mates_with_it(collect, say):
    class Poisoned(FailingBackend):
        def _made(self, request):
            if "poison" in request.prompt:
                raise RuntimeError("still bad")
            return self._one(request)

    group = collect(
        say(prompt="poison"), say(prompt="bell"), say(prompt="rain"), backend=Poisoned()
    )
    assert [r.outcome for r in group.rollouts] == ["dropped", "scored", "scored"]
    assert group.rollouts[0].reason == "no clip (crash): generation failed: RuntimeError: still bad"


def test_a_backend_that_answers_out_of_order_is_not_believed(collect, say):
    class Shuffled(CountingBackend):
        def generate(self, requests):
            return list(reversed(super().generate(requests)))

    group = collect(say(prompt="bell"), say(prompt="rain"), backend=Shuffled())
    # Alone, on the second try, there is nothing to mix up.
    assert [r.attempt for r in group.rollouts] == [2, 2]
    assert [r.outcome for r in group.rollouts] == ["scored", "scored"]


def test_a_backend_that_loses_a_clip_loses_no_rollout(collect, say):
    class Short(CountingBackend):
        def generate(self, requests):
            return super().generate(requests)[1:]

    group = collect(say(prompt="bell"), say(prompt="rain"), backend=Short())
    assert [r.outcome for r in group.rollouts] == ["dropped", "dropped"]
    assert "0 clips for 1 requests" in group.rollouts[0].reason


def test_a_broken_scorer_drops_the_clips_and_keeps_the_unparsable_at_0(
    collect, say, judge, monkeypatch
):
    def broken(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(judge, "judge", broken)
    group = collect(say(), "no idea")
    assert group.rewards == (None, 0.0)
    assert group.rollouts[0].reason == "scoring failed: ZeroDivisionError: division by zero"
    assert group.rollouts[0].clip is not None


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_reports_drops_the_group(collect, say, judge, monkeypatch, count):
    report = RewardReport(0.5, {})
    monkeypatch.setattr(judge, "judge", lambda *_, **__: [report] * count)
    group = collect(say(prompt="bell"), say(prompt="rain"))
    assert group.rewards == (None, None)
    assert f"{count} reports for 2 clips" in group.rollouts[0].reason


@pytest.mark.parametrize("total", [math.nan, math.inf, -0.1, 1.1, "0.5", None])
def test_the_gate_lets_only_finite_numbers_between_0_and_1_through(
    collect, say, judge, monkeypatch, total
):
    monkeypatch.setattr(
        judge,
        "judge",
        lambda *_, **__: [RewardReport(total, {}), RewardReport(np.float32(0.5), {})],
    )
    group = collect(say(prompt="bell"), say(prompt="rain"))
    assert group.rewards == (None, 0.5)
    assert type(group.rewards[1]) is float
    assert "must be" in group.rollouts[0].reason


def test_the_gate_refuses_what_is_no_report():
    assert "not a RewardReport" in gate(0.5).reason


def test_missing_answers_are_dropped_and_surplus_ones_are_left(target, judge, ask_with, say):
    def outcomes(*texts):
        group = asyncio.run(
            collect_group(target, 0, ask_with(*texts), Studio(SynthBackend(), judge, group_size=2))
        )
        return [(r.outcome, r.reason) for r in group.rollouts]

    assert outcomes(say()) == [
        ("scored", ""),
        ("dropped", "the language model gave 1 of 2 answers"),
    ]
    assert [outcome for outcome, _ in outcomes(say(), say(prompt="x"), say(prompt="y"))] == [
        "scored",
        "scored",
    ]


def test_sound_that_is_not_a_number_is_judged_as_it_is_and_stored_as_silence(
    collect, say, judge, started
):
    class Broken(SynthBackend):
        def _one(self, request):
            return Clip(request, Audio(np.full((1, 4_000), np.nan, np.float32), 8_000), 0.0)

    seen = []
    judge.report = lambda audio: seen.append(audio) or RewardReport(0.0, {}, gates=("not_finite",))
    group = collect(say(), backend=Broken(), store=started)
    assert group.rewards == (0.0,)
    assert np.isnan(seen[0].samples).all()
    assert started.done() == {0}


def test_the_memory_of_earlier_clips_grows_by_the_distinct_ones(target, judge, ask_with, say):
    studio = Studio(SynthBackend(), judge, group_size=3)
    for index in range(2):
        asyncio.run(
            collect_group(target, index, ask_with(say(), say(), say(prompt="bell")), studio)
        )
    assert [call["recent"] for call in judge.calls] == [0, 2]
    assert len(studio.memory) == 4


def test_generation_and_judgement_leave_the_event_loop_free(target, judge, ask_with, say):
    threads = []

    class Noting(SynthBackend):
        def generate(self, requests):
            threads.append(threading.get_ident())
            return super().generate(requests)

    asyncio.run(collect_group(target, 0, ask_with(say()), Studio(Noting(), judge, group_size=1)))
    assert threads[0] != threading.get_ident()


@pytest.mark.parametrize("where", ["ask", "generate", "judge"])
def test_a_cancelled_group_leaves_no_line(target, judge, say, started, where, monkeypatch):
    reached, release = threading.Event(), threading.Event()

    def block():
        reached.set()
        release.wait(10)

    class Slow(SynthBackend):
        def generate(self, requests):
            if where == "generate":
                block()
            return super().generate(requests)

    if where == "judge":
        honest = judge.judge
        monkeypatch.setattr(judge, "judge", lambda *a, **k: (block(), honest(*a, **k))[1])

    async def ask(messages, n):
        if where == "ask":
            reached.set()
            await asyncio.sleep(10)
        return [Completion(say())] * n

    async def cancelled():
        task = asyncio.create_task(
            collect_group(target, 0, ask, Studio(Slow(), judge, started, group_size=2))
        )
        await asyncio.to_thread(reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()

    asyncio.run(cancelled())
    assert started.done() == set()
    assert started.rollouts_file.read_bytes() == b""


def test_an_error_of_the_language_model_comes_through(target, judge):
    async def ask(messages, n):
        raise ConnectionError("no route")

    with pytest.raises(ConnectionError, match="no route"):
        asyncio.run(collect_group(target, 0, ask, Studio(SynthBackend(), judge)))


def test_a_group_of_nobody_is_refused(judge):
    with pytest.raises(ValueError, match="group_size must be at least 1, got 0"):
        Studio(SynthBackend(), judge, group_size=0)


def test_a_record_is_plain_json_and_reads_back_the_same(collect, say, started):
    odd = '<think>\ud800</think>{"prompt": "\x00bell \u202e", "steering": {"w": 1}, "steps": "9"}'
    group = collect(say(), say(), odd, "nothing", store=started)
    lines = started.rollouts_file.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [r.to_json() for r in group.rollouts]
    read = next(iter(started.groups()))
    assert [r.to_json() for r in read] == [r.to_json() for r in group.rollouts]
    assert read[2].text == odd
    assert math.isnan(read[0].report.parts["pulse"].value)
    assert read[0].report.checks == group.rollouts[0].report.checks
    assert read[0].request == group.rollouts[0].request
    assert read[2].action == group.rollouts[2].action
    assert read[2].issues == group.rollouts[2].issues
