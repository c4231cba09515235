"""The engine under fire, and what it costs when nothing burns.

2000 requests to two worker processes, which are killed 100 times in the middle of a pass (SIGKILL);
1 % of the requests break the model; more than 12 at once run out of memory; 30 % are cancelled by
those who asked. Every request must have one outcome: the clip that belongs to it, the Failure that
poison is, or the cancellation. Then the overhead: requests to a backend that does nothing, in
process, wall time per request, hashing it included.

    python benchmarks/engine.py [--quick]

- lost: requests without an outcome, or with another one than they must have
- duplicated: clips the workers have handed over more than once
- kills: workers killed, kills_in_pass of them before their pass was over
- ooms: passes that ran out of memory
- cancelled: of those who leave, the ones whose clip had not come yet
- overhead_us: the least disturbed of several rounds
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from signal import SIGKILL
from typing import Any

import numpy as np
from _common import Benchmark
from engine_backends import PASS_SECONDS, POISON, Nothing, noise

from audioforge.generation.engine import Engine, EngineSettings, WorkerSpec
from audioforge.generation.engine_batch import Pass
from audioforge.generation.engine_process import WorkerProcess
from audioforge.generation.request import Clip, Failure, GenerationRequest

CANCELLED, POISONED = 0.30, 0.01
WORKERS = 2
STRIKE = 0.5
"""Share of passes that are hit, until enough workers were killed."""
AT_ONCE = 200
"""Requests that are asked for at the same time."""
LEAVES_WITHIN = 0.5
"""Seconds after which those who cancel have left, if their clip is not there by then."""


def main() -> None:
    """Run both parts."""
    benchmark = Benchmark(__doc__)
    given = benchmark.options()
    requests, kills = (200, 5) if given.quick else (2_000, 100)
    fire = asyncio.run(under_fire(requests, kills))
    overhead = asyncio.run(overhead_us(500 if given.quick else 5_000, rounds=5))
    benchmark.finish({"overhead_us": overhead, **fire})


class Hunted(WorkerProcess):
    """A worker that is killed in the middle of some of its passes."""

    def __init__(self, hunt: Hunt) -> None:
        super().__init__(WorkerSpec("engine_backends:Noise"))
        self._hunt = hunt

    def run(self, requests: Sequence[GenerationRequest]) -> Pass:
        """Make a pass, if it lives long enough."""
        pid = self.pid
        hit = None
        if pid is not None and self._hunt.strikes():
            hit = threading.Timer(self._hunt.draw.uniform(0, PASS_SECONDS), self._hunt.kill, (pid,))
            hit.start()
        passed = super().run(requests)
        if hit is not None:
            hit.join()
        self._hunt.made.update(one.request.seed for one in passed.made if isinstance(one, Clip))
        return passed


@dataclass
class Hunt:
    """How many workers are still to be killed, and how often each request was made."""

    left: int
    killed: int = 0
    made: Counter[int] = field(default_factory=Counter)
    draw: random.Random = field(default_factory=lambda: random.Random(1))
    turn: threading.Lock = field(default_factory=threading.Lock)

    def kill(self, pid: int) -> None:
        """Kill a worker; one that is gone already is another's turn."""
        try:
            os.kill(pid, SIGKILL)
        except ProcessLookupError:
            with self.turn:
                self.left += 1
        else:
            self.killed += 1

    def strikes(self) -> bool:
        """Say whether the next pass is to be hit."""
        with self.turn:
            hit = self.left > 0 and self.draw.random() < STRIKE
            self.left -= hit
            return hit


async def under_fire(count: int, kills: int) -> dict[str, Any]:
    """Ask for everything while workers die; return the counts."""
    draw = random.Random(0)
    requests = [
        GenerationRequest(POISON if draw.random() < POISONED else "noise", 0.1, seed)
        for seed in range(count)
    ]
    hunt = Hunt(kills)
    workers = [Hunted(hunt) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    outcomes: dict[int, Clip | Failure | None] = {}
    gate = asyncio.Semaphore(AT_ONCE)
    async with Engine(workers, EngineSettings(cache_mb=0, lost_alone=10)) as engine:

        async def one(request: GenerationRequest, leaves: bool) -> None:
            async with gate:
                future = engine.submit(request)
                if leaves:
                    await asyncio.wait([future], timeout=draw.uniform(0, LEAVES_WITHIN))
                    future.cancel()
                else:
                    await asyncio.wait([future])
            outcomes[request.seed] = None if future.cancelled() else future.result().made

        asking = [asyncio.create_task(one(r, draw.random() < CANCELLED)) for r in requests]
        await asyncio.wait(asking, timeout=900)
        metrics = engine.metrics()
    kinds = Counter(
        _kind(request, outcomes[request.seed]) if request.seed in outcomes else "lost"
        for request in requests
    )
    return {
        "requests": count,
        **{name: kinds[name] for name in ("lost", "cancelled", "poisoned", "made")},
        "duplicated": sum(times - 1 for times in hunt.made.values()),
        "kills": hunt.killed,
        "kills_in_pass": metrics.kills,
        "ooms": metrics.ooms,
        "passes": metrics.passes,
        "batch_fill": metrics.batch_fill,
    }


def _kind(request: GenerationRequest, made: Clip | Failure | None) -> str:
    """Say what an outcome is: cancelled, made, poisoned; or lost, where it is not the right one."""
    if made is None:
        return "cancelled"
    if isinstance(made, Failure):
        right = request.prompt == POISON and "breaks the model" in made.message
        return "poisoned" if right else "lost"
    right = np.array_equal(made.audio.samples, noise(request).samples)
    return "made" if right and request.prompt != POISON else "lost"


async def overhead_us(count: int, rounds: int) -> float:
    """Return the wall time per request of a backend that does nothing, in microseconds."""
    taken = []
    async with Engine.in_process(Nothing(), EngineSettings(max_waiting=count)) as engine:
        for turn in range(rounds):
            requests = [GenerationRequest("x", 0.1, turn * count + i) for i in range(count)]
            began = time.perf_counter()
            await engine.generate(requests)
            taken.append(1e6 * (time.perf_counter() - began) / count)
    return min(taken)


if __name__ == "__main__":
    main()
