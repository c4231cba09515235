"""The engine on small backends: order, full batches, one outcome for every request."""

import asyncio
import gc

import numpy as np
import pytest
from engine_doubles import Double, Keyed, Mortal, request, sound
from hypothesis import given, settings
from hypothesis import strategies as st

from audioforge.generation.engine import Engine, EngineSettings, Overloaded
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.generation.synth_backend import SynthBackend


@pytest.fixture(autouse=True, scope="module")
def _quick_collections():
    """Keep what other tests have imported out of every `gc.collect` after simulated OOM."""
    gc.freeze()
    yield
    gc.unfreeze()


def engine(backend, **changes):
    return Engine.in_process(backend, EngineSettings(**{"max_batch": 8, "cache_mb": 0} | changes))


def made(backend, requests, **changes):
    async def run():
        async with engine(backend, **changes) as running:
            return await running.outcomes(requests), running.metrics()

    return asyncio.run(run())


async def entered(backend):
    assert await asyncio.to_thread(backend.entered.wait, 20)


def right(clip, wanted):
    return isinstance(clip, Clip) and np.array_equal(clip.audio.samples, sound(wanted).samples)


def test_clips_come_in_the_order_of_the_requests_from_full_batches():
    backend, wanted = Double(), [request(seed) for seed in range(20)]
    outcomes, metrics = made(backend, wanted)
    assert all(right(o.made, r) for o, r in zip(outcomes, wanted, strict=True))
    assert [len(batch) for batch in backend.batches] == [8, 8, 4]
    assert outcomes[0].batch == tuple(r.key for r in wanted[:8])
    assert (metrics.clips, metrics.passes, metrics.row_evaluations) == (20, 3, 20)
    assert metrics.batch_fill == pytest.approx(20 / 24)
    assert metrics.peak_mb > 1


def test_a_real_backend_gives_what_it_gives_without_the_engine():
    wanted = [GenerationRequest(text, 0.5, 3) for text in ("rain", "techno beat", "bell")]
    outcomes, _ = made(SynthBackend(), wanted)
    alone = SynthBackend().generate(wanted)
    assert [o.made.sha256 for o in outcomes] == [clip.sha256 for clip in alone]


def test_requests_of_several_callers_share_a_pass():
    async def run():
        backend = Double()
        async with engine(backend) as running:
            await asyncio.gather(*(running.generate([request(seed)]) for seed in range(5)))
        return backend.batches

    assert asyncio.run(run()) == [[0, 1, 2, 3, 4]]


def test_only_requests_of_one_key_share_a_pass_and_the_oldest_goes_first():
    backend = Keyed()
    wanted = [request(seed, prompt) for seed, prompt in enumerate("abaab")]
    outcomes, _ = made(backend, wanted)
    assert backend.batches == [[0, 2, 3], [1, 4]]
    assert all(right(o.made, r) for o, r in zip(outcomes, wanted, strict=True))


def test_a_rare_kind_is_not_starved_by_full_batches_of_another():
    async def run():
        backend = Keyed()
        backend.gate.clear()
        async with engine(backend, max_batch=2, max_delay=0) as running:
            first = asyncio.create_task(running.generate([request(0, "common")]))
            await entered(backend)
            rest = [request(1, "rare"), *(request(seed, "common") for seed in range(2, 10))]
            others = asyncio.create_task(running.generate(rest))
            await asyncio.sleep(0)
            backend.gate.set()
            await asyncio.gather(first, others)
        return backend.batches

    assert asyncio.run(run())[1] == [1]


def test_requests_that_must_stay_apart_do():
    async def run():
        backend = Double()
        async with engine(backend) as running:
            await asyncio.gather(
                running.outcomes([request(0)]), running.outcomes([request(1)], apart="eval")
            )
        return backend.batches

    assert sorted(asyncio.run(run())) == [[0], [1]]


def test_a_full_queue_refuses_at_once_with_a_hint_and_queues_nothing():
    async def run():
        backend = Double()
        backend.gate.clear()
        async with engine(backend, max_batch=2, max_waiting=4) as running:
            first = asyncio.create_task(running.generate([request(0), request(1)]))
            await entered(backend)
            waiting = asyncio.create_task(running.generate([request(2), request(3)]))
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="2 requests are waiting and at most 4") as full:
                await running.generate([request(seed) for seed in range(4, 7)])
            backend.gate.set()
            await asyncio.gather(first, waiting)
            return full.value.retry_after, running.metrics().overloaded, backend.batches

    hint, overloaded, batches = asyncio.run(run())
    assert hint > 0
    assert overloaded == 3
    assert batches == [[0, 1], [2, 3]]


def test_a_pass_counts_as_busy_while_it_runs_and_once_when_it_is_over():
    async def run():
        backend = Double()
        backend.gate.clear()
        async with engine(backend) as running:
            making = asyncio.create_task(running.generate([request(0)]))
            await entered(backend)
            seen = [running.metrics()]
            await asyncio.sleep(0.01)
            seen.append(running.metrics())
            backend.gate.set()
            await making
            seen.append(running.metrics())
            await asyncio.sleep(0.01)
            return [*seen, running.metrics()]

    seen = asyncio.run(run())
    assert [one.passes for one in seen] == [0, 0, 1, 1]
    assert 0 < seen[0].busy_seconds < seen[1].busy_seconds
    assert 0 < seen[2].busy_seconds == seen[3].busy_seconds


def test_a_cancelled_request_is_not_made_and_gives_its_place_back():
    async def run():
        backend = Double()
        backend.gate.clear()
        async with engine(backend, max_batch=2, max_waiting=2) as running:
            first = asyncio.create_task(running.generate([request(0)]))
            await entered(backend)
            gone = asyncio.create_task(running.generate([request(1), request(2)]))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.wait([gone])
            kept = asyncio.create_task(running.generate([request(3), request(4)]))
            await asyncio.sleep(0)
            backend.gate.set()
            await asyncio.gather(first, kept)
            return backend.batches, running.metrics().cancelled

    assert asyncio.run(run()) == ([[0], [3, 4]], 2)


def test_a_deadline_answers_in_time_and_what_waits_is_not_made():
    async def run():
        backend = Double()
        backend.gate.clear()
        async with engine(backend, max_batch=1, max_delay=0) as running:
            late = await running.generate([request(0), request(1)], timeout=0.05)
            backend.gate.set()
            kept = await running.generate([request(2)])
        return late, kept, backend.batches

    late, kept, batches = asyncio.run(run())
    assert [(one.kind, one.message) for one in late] == [("timeout", "not made within 0.05 s")] * 2
    assert right(kept[0], request(2))
    assert batches == [[0], [2]]


def test_out_of_memory_halves_the_batch_remembers_and_tries_larger_ones_slowly():
    async def run():
        backend = Double(fits=3)
        async with engine(backend) as running:
            for start in range(0, 8 * 40, 8):
                wanted = [request(seed) for seed in range(start, start + 8)]
                outcomes = await running.generate(wanted)
                assert all(right(o, r) for o, r in zip(outcomes, wanted, strict=True))
        return [len(batch) for batch in backend.batches], running.metrics()

    sizes, metrics = asyncio.run(run())
    assert sizes[:4] == [8, 4, 2, 2]
    assert 3 in sizes[8:40]
    assert metrics.caps == {"": 3}
    # Probing four costs ever less: after 8 full batches, then 16, 32, ...
    assert 2 < sizes.count(4) <= 5
    assert metrics.ooms == sizes.count(4) + sizes.count(8)


def test_the_size_grows_again_when_memory_is_there_again():
    async def run():
        backend = Double(fits=2)
        async with engine(backend) as running:
            await running.generate([request(seed) for seed in range(16)])
            backend.fits = 8
            await running.generate([request(seed) for seed in range(100, 500)])
        return [len(batch) for batch in backend.batches], running.metrics().caps

    sizes, caps = asyncio.run(run())
    assert max(sizes[10:]) == 8
    assert caps == {}


def test_a_backend_that_says_memory_of_some_gets_those_again_in_smaller_batches():
    backend = Double()
    wanted = [request(0), request(1, "huge"), request(2), request(3, "huge")]
    outcomes, metrics = made(backend, wanted)
    assert all(right(o.made, r) for o, r in zip(outcomes, wanted, strict=True))
    assert backend.batches == [[0, 1, 2, 3], [1, 3]]
    assert [o.attempt for o in outcomes] == [1, 2, 1, 2]
    assert metrics.ooms == 1


def test_what_does_not_fit_alone_is_a_failure_of_memory():
    ((lost, attempt, _),), metrics = made(Double(fits=0), [request(0)])
    assert (lost.kind, attempt) == ("memory", 2)
    assert metrics.failures == {"memory": 1}


def test_poison_is_found_by_halving_and_its_neighbours_are_unharmed():
    backend = Double()
    wanted = [request(seed, "poison" if seed == 5 else "plain") for seed in range(8)]
    outcomes, _ = made(backend, wanted)
    assert outcomes[5].made == Failure(
        wanted[5], "crash", "generation failed: RuntimeError: poison"
    )
    assert all(right(o.made, r) for o, r in zip(outcomes, wanted, strict=True) if r.seed != 5)
    assert backend.batches == [
        [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [6, 7], [4], [5],
    ]  # fmt: skip
    assert outcomes[6].batch == (wanted[6].key, wanted[7].key)


def test_a_failure_is_tried_once_more_alone_and_an_invalid_request_is_not():
    backend = Double()
    outcomes, metrics = made(backend, [request(0, "odd"), request(1, "invalid"), request(2)])
    assert [o.attempt for o in outcomes] == [2, 1, 1]
    assert [o.made.kind for o in outcomes[:2]] == ["crash", "invalid"]
    assert backend.batches == [[0, 1, 2], [0]]
    assert metrics.failures == {"crash": 1, "invalid": 1}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_backend_that_gives_the_wrong_number_of_clips_is_not_believed(count):
    class Miscounting(Double):
        def generate(self, requests):
            return (super().generate(requests) * 3)[:count]

    outcomes, _ = made(Miscounting(), [request(0), request(1)])
    if count == 1:  # alone, one clip is right
        assert all(right(o.made, request(seed)) for seed, o in enumerate(outcomes))
    else:
        assert all(f"gave {count} clips for 1 requests" in o.made.message for o in outcomes)


def test_equal_requests_in_flight_are_made_once_and_all_get_the_clip():
    async def run():
        backend = Double()
        backend.gate.clear()
        async with engine(backend) as running:
            first = asyncio.create_task(running.generate([request(0), request(0), request(1)]))
            await entered(backend)
            second = asyncio.create_task(running.generate([request(1)]))
            gone = asyncio.create_task(running.generate([request(0)]))
            await asyncio.sleep(0)
            gone.cancel()
            backend.gate.set()
            clips = [*await first, *await second]
            return clips, backend.batches, running.metrics()

    clips, batches, metrics = asyncio.run(run())
    assert batches == [[0, 1]]
    assert all(right(clip, request(seed)) for clip, seed in zip(clips, (0, 0, 1, 1), strict=True))
    assert clips[0] is clips[1]
    assert (metrics.shared, metrics.cancelled, metrics.requests, metrics.clips) == (3, 1, 5, 2)


def test_the_last_waiter_that_leaves_takes_an_equal_request_with_it_and_not_the_first():
    async def run():
        backend = Double()
        backend.gate.clear()
        async with engine(backend, max_batch=1) as running:
            blocking = asyncio.create_task(running.generate([request(9)]))
            await entered(backend)
            one, two, three = (running.submit(request(seed)) for seed in (0, 0, 1))
            one.cancel()
            three.cancel()
            backend.gate.set()
            outcome = await two
            await blocking
        return outcome, backend.batches

    outcome, batches = asyncio.run(run())
    assert right(outcome.made, request(0))
    assert batches == [[9], [0]]


def test_close_makes_what_waits_and_refuses_what_comes_then():
    async def run():
        backend = Double()
        running = engine(backend, max_batch=2)
        waiting = asyncio.create_task(running.generate([request(seed) for seed in range(5)]))
        await asyncio.sleep(0)
        await running.close()
        with pytest.raises(RuntimeError, match="the engine is closed"):
            await running.generate([request(9)])
        return await waiting

    assert [right(clip, request(seed)) for seed, clip in enumerate(asyncio.run(run()))] == [
        True
    ] * 5


def test_an_engine_serves_one_event_loop_after_another():
    backend = Double()
    running = engine(backend)
    for seed in (0, 1):
        (clip,) = asyncio.run(running.generate([request(seed)]))
        assert right(clip, request(seed))


def test_a_loop_that_ends_in_the_middle_leaves_nothing_behind():
    backend = Double()
    backend.gate.clear()
    running = engine(backend, max_batch=1)

    async def interrupted():
        task = asyncio.create_task(running.generate([request(0), request(1)]))
        await entered(backend)
        task.cancel()

    asyncio.run(interrupted())
    backend.gate.set()
    assert right(asyncio.run(running.generate([request(0)]))[0], request(0))
    assert backend.batches == [[0], [0]]


@pytest.mark.parametrize(
    ("change", "must"),
    [
        ({"max_batch": 0}, "max_batch must be at least 1, got 0"),
        ({"max_delay": -1.0}, "max_delay must be 0 or more, got -1"),
        ({"cache_mb": float("nan")}, "cache_mb must be 0 or more, got nan"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(change, must):
    with pytest.raises(ValueError, match=must):
        EngineSettings(**change)


def test_places_with_other_weights_are_refused():
    one, two = Mortal(Double(), lambda: False), Mortal(Double(), lambda: False)
    two.weights_sha256 = "others"
    with pytest.raises(ValueError, match="all with the same weights"):
        Engine([one, two])


ASKED = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["plain", "plain", "plain", "poison", "odd", "invalid", "huge"]),
        st.sampled_from(["wait", "wait", "cancel", "deadline"]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(asked=ASKED, deaths=st.lists(st.booleans(), max_size=30), fits=st.integers(1, 9))
def test_whatever_happens_every_request_has_exactly_one_outcome(asked, deaths, fits):
    left = iter(deaths)
    places = [Mortal(Double(fits=fits), lambda: next(left, False)) for _ in range(2)]

    async def one(running, seed, prompt, fate, turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        if fate == "deadline":
            return (await running.generate([request(seed, prompt)], timeout=0))[0]
        future = running.submit(request(seed, prompt))
        if fate == "cancel":
            await asyncio.sleep(0)
            future.cancel()
        return (await future).made

    async def run():
        chosen = EngineSettings(max_batch=8, max_delay=0, lost_alone=len(deaths) + 1)
        async with Engine(places, chosen) as running:
            outcomes = await asyncio.wait_for(
                asyncio.gather(*(one(running, *a) for a in asked), return_exceptions=True), 20
            )
        assert not running._flying
        return outcomes

    for (seed, prompt, fate, _), outcome in zip(asked, asyncio.run(run()), strict=True):
        wanted = request(seed, prompt)
        if isinstance(outcome, asyncio.CancelledError):
            assert fate == "cancel"
        elif isinstance(outcome, Failure) and outcome.kind == "timeout":
            assert fate == "deadline"
        elif prompt in ("plain", "huge"):
            assert right(outcome, wanted)
        else:
            kind = "invalid" if prompt == "invalid" else "crash"
            assert (outcome.request, outcome.kind) == (wanted, kind)
