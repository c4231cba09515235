"""Backends in worker processes: killed and stuck ones are replaced, none outlives its parent."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from engine_doubles import request, sound

from audioforge.generation.engine import Engine, EngineSettings, WorkerSpec
from audioforge.generation.engine_process import WorkerProcess
from audioforge.generation.request import Clip, GenerationRequest
from audioforge.generation.synth_backend import SynthBackend

SETTINGS = EngineSettings(max_batch=4, cache_mb=0)


def spec(log, **changes):
    return WorkerSpec("engine_doubles:Doomed", {"log": str(log)}, **changes)


def made(requests, log, workers=1, **changes):
    """Make requests in workers; also count how often each was begun, by prompt and seed."""

    async def run():
        async with Engine.in_workers([spec(log, **changes)] * workers, SETTINGS) as engine:
            return await engine.generate(requests), engine.metrics()

    clips, metrics = asyncio.run(run())
    words = [line.split(" ", 1)[1].split() for line in log.read_text().splitlines()]
    return clips, metrics, Counter(word for line in words for word in line)


def right(clip, wanted):
    return isinstance(clip, Clip) and np.array_equal(clip.audio.samples, sound(wanted).samples)


def gone(pid):
    """Wait until a process that is not ours has ended."""
    for _ in range(400):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.025)
    return False


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def test_a_worker_gives_what_the_backend_gives(log):
    async def run():
        specs = [WorkerSpec("audioforge.generation.registry:load_backend", {"model": "synth"})]
        async with Engine.in_workers(specs) as engine:
            assert engine.capabilities == SynthBackend.capabilities
            assert engine.weights_sha256 == SynthBackend.weights_sha256
            return await engine.generate(wanted)

    wanted = [GenerationRequest("rain", 0.5, 1), GenerationRequest("bell", 90.0, 1)]
    clip, failure = asyncio.run(run())
    alone, refused = SynthBackend().generate(wanted)
    assert clip.sha256 == alone.sha256
    assert not clip.audio.samples.flags.writeable
    assert failure == refused


def test_a_killed_worker_is_replaced_and_its_requests_are_made(log):
    wanted = [request(seed, "kill-once" if seed == 2 else "plain") for seed in range(8)]
    clips, metrics, begun = made(wanted, log)
    assert all(right(clip, r) for clip, r in zip(clips, wanted, strict=True))
    assert (metrics.clips, metrics.kills, metrics.failures) == (8, 1, {})
    # Only the batch that was lost is begun twice.
    assert [begun[f"{r.prompt}:{r.seed}"] for r in wanted] == [2, 2, 2, 2, 1, 1, 1, 1]


def test_a_request_that_kills_every_worker_fails_alone_after_a_bounded_number(log):
    wanted = [request(seed, "kill" if seed == 1 else "plain") for seed in range(3)]
    clips, metrics, begun = made(wanted, log)
    assert (clips[1].kind, clips[1].message) == (
        "crash",
        "the worker process ended with exit code -9",
    )
    assert all(right(clips[seed], wanted[seed]) for seed in (0, 2))
    assert begun["kill:1"] == 2 + SETTINGS.lost_alone == metrics.kills


def test_a_stuck_worker_is_killed_and_replaced(log):
    wanted = [request(0, "stick-once"), request(1)]
    clips, metrics, _ = made(wanted, log, pass_seconds=1.0)
    assert all(right(clip, r) for clip, r in zip(clips, wanted, strict=True))
    assert metrics.kills == 1


def test_a_request_that_always_sticks_is_a_timeout(log):
    async def run():
        settings = EngineSettings(max_batch=4, lost_alone=1)
        async with Engine.in_workers([spec(log, pass_seconds=0.5)], settings) as engine:
            return await engine.generate([request(0, "stick")])

    (late,) = asyncio.run(run())
    assert late.kind == "timeout"
    assert late.message == "the worker process made nothing for 0.5 s and was killed"


def test_several_workers_share_the_work_and_one_that_dies_harms_no_other(log):
    wanted = [request(seed, "kill-once" if seed in (1, 17) else "plain") for seed in range(32)]
    clips, metrics, _ = made(wanted, log, workers=2)
    assert all(right(clip, r) for clip, r in zip(clips, wanted, strict=True))
    assert metrics.kills == 2
    assert len({line.split()[0] for line in log.read_text().splitlines()}) >= 3


def test_the_key_of_a_backend_in_a_worker_is_asked_here():
    async def run():
        async with Engine.in_workers([WorkerSpec("engine_doubles:Keyed")]) as engine:
            return await engine.outcomes([request(0, "a"), request(1, "b"), request(2, "a")])

    assert [len(outcome.batch) for outcome in asyncio.run(run())] == [2, 1, 2]


def test_a_key_that_needs_its_backend_is_refused():
    with pytest.raises(ValueError, match="batch_key of Bound must be a static method"):
        Engine.in_workers([WorkerSpec("engine_doubles:Bound")])


def test_close_makes_what_waits_and_leaves_no_child(log):
    async def run():
        engine = Engine.in_workers([spec(log)], SETTINGS)
        pid = engine._places[0].pid
        waiting = asyncio.create_task(engine.generate([request(seed) for seed in range(9)]))
        await asyncio.sleep(0)
        await engine.close()
        return await waiting, pid

    clips, pid = asyncio.run(run())
    assert all(right(clip, request(seed)) for seed, clip in enumerate(clips))
    assert not Path(f"/proc/{pid}").exists()  # ended and reaped


def test_stop_ends_a_pass_that_would_never_end(log):
    async def run():
        engine = Engine.in_workers([spec(log)], SETTINGS)
        waiting = asyncio.create_task(engine.generate([request(0, "stick")]))
        while not log.exists():
            await asyncio.sleep(0.01)
        engine.stop()
        with pytest.raises(RuntimeError):
            await asyncio.wait_for(waiting, 20)
        return engine._places[0].pid

    assert asyncio.run(run()) is None


PARENT = """
import asyncio, sys
from audioforge.generation.engine import Engine, WorkerSpec
from engine_doubles import request

async def run():
    engine = Engine.in_workers([WorkerSpec("engine_doubles:Doomed", {"log": sys.argv[1]})] * 2)
    print(*(place.pid for place in engine._places), flush=True)
    await engine.generate([request(0, "stick")])

asyncio.run(run())
"""


def test_workers_end_with_their_parent_even_when_it_is_killed_while_they_are_busy(log):
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(log)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    ) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        while not log.exists():
            time.sleep(0.02)
        parent.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_a_backend_that_cannot_be_loaded_is_one_clear_error_and_leaves_no_child(log):
    with pytest.raises(ValueError, match="no model 'nothing'"):
        Engine.in_workers([spec(log), WorkerSpec("engine_doubles:unloadable")])
    with pytest.raises(ValueError, match="an engine needs places"):
        Engine.in_workers([])


def test_a_worker_that_cannot_be_started_again_is_given_up_and_nothing_is_lost(log):
    worker = WorkerProcess(spec(log))
    worker.start()
    worker._child.kill()
    worker._child.wait()
    assert right(worker.run([request(0)]).made[0], request(0))  # seen to be gone, and replaced
    worker._child.kill()
    worker._child.wait()
    worker.spec = WorkerSpec("engine_doubles:unloadable")
    faults = [worker.run([request(0)]) for _ in range(3)]
    assert {passed.message for passed in faults} == {"no model 'nothing'"}
    assert worker.lost


def test_every_worker_sees_its_own_gpu_only(monkeypatch):
    from audioforge.generation.engine_process import _environment

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert _environment("cuda:1")["CUDA_VISIBLE_DEVICES"] == "5"
    assert _environment("cuda")["CUDA_VISIBLE_DEVICES"] == "2,5"
    with pytest.raises(ValueError, match="no device 'cuda:2': CUDA_VISIBLE_DEVICES names 2"):
        _environment("cuda:2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert _environment("cuda:1")["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in _environment("cpu")
