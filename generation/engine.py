"""The engine: requests from anywhere, in full batches, each made once and answered once.

`await engine.generate(requests)` gives one Clip or Failure per request, in order, whatever happens:
requests that come together share passes, equal ones are made once, clips made before come from the
cache. A batch that does not fit into memory is halved and the size remembered; one that breaks is
halved until the guilty request stands alone; a worker that dies or gets stuck is replaced and its
requests are made again. Everything here runs on one event loop; backends run in a thread
(`Engine.in_process`) or in worker processes, one per device (`Engine.in_workers`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from audioforge.generation.backend import Backend
from audioforge.generation.engine_batch import InProcess, Outcome, Pass, Place
from audioforge.generation.engine_cache import FolderCache, MemoryCache, found_or_made
from audioforge.generation.engine_caps import Caps
from audioforge.generation.engine_metrics import EngineMetrics, Tally
from audioforge.generation.engine_process import WorkerProcess, WorkerSpec
from audioforge.generation.engine_queue import BatchQueue, Item, Overloaded
from audioforge.generation.engine_settings import EngineSettings
from audioforge.generation.engine_verdict import verdict
from audioforge.generation.request import Clip, Failure, GenerationRequest

__all__ = ["Engine", "EngineSettings", "Outcome", "Overloaded", "WorkerSpec"]


class Engine:
    """Makes clips; used from one event loop at a time. `close` drains it."""

    def __init__(self, places: Sequence[Place], settings: EngineSettings | None = None) -> None:
        """Make clips in these places, all of them with the same weights.

        Raises:
            ValueError: no place, or their weights differ.
        """
        if not places or len({place.weights_sha256 for place in places}) > 1:
            raise ValueError("an engine needs places, all with the same weights")
        self.settings = settings or EngineSettings()
        self.capabilities = places[0].capabilities
        self.weights_sha256 = places[0].weights_sha256
        self._places = list(places)
        self._caps = Caps(self.settings.max_batch)
        self._tally = Tally()
        self._cache = MemoryCache(self.settings.cache_mb)
        self._folder = FolderCache.of(self.settings, self.weights_sha256)
        self._threads = ThreadPoolExecutor(len(places), thread_name_prefix="engine")
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin()

    @classmethod
    def in_process(cls, backend: Backend, settings: EngineSettings | None = None) -> Engine:
        """Make clips in a thread of this process; a call that never ends cannot be stopped."""
        return cls([InProcess(backend)], settings)

    @classmethod
    def in_workers(
        cls, specs: Sequence[WorkerSpec], settings: EngineSettings | None = None
    ) -> Engine:
        """Start a worker process per spec, all at once, and wait until they are loaded.

        Raises:
            ValueError: no spec, or one of them cannot load its backend.
        """
        workers = [WorkerProcess(spec) for spec in specs]
        try:
            with ThreadPoolExecutor(max(len(workers), 1)) as threads:
                list(threads.map(WorkerProcess.start, workers))
            return cls(workers, settings)
        except BaseException:
            for worker in workers:
                worker.stop()
            raise

    async def generate(
        self, requests: Sequence[GenerationRequest], *, timeout: float | None = None
    ) -> list[Clip | Failure]:
        """Make clips: one Clip or Failure per request, in order.

        Args:
            requests: any mix.
            timeout: seconds; what is not made by then is a Failure of kind "timeout".

        Raises:
            Overloaded: there is no room in the queue; nothing was queued.
            RuntimeError: the engine is closed, or in use on another event loop.
        """
        return [outcome.made for outcome in await self.outcomes(requests, timeout=timeout)]

    async def outcomes(
        self,
        requests: Sequence[GenerationRequest],
        *,
        timeout: float | None = None,
        apart: str = "",
    ) -> list[Outcome]:
        """Make clips and say how: `generate` with attempts and batch mates.

        Args:
            requests: see `generate`, also for what is raised.
            timeout: see `generate`.
            apart: requests with another word are not made in the same pass.
        """
        loop = self._bind()
        self._need_room(len(requests))
        futures = [self.submit(request, apart=apart) for request in requests]

        def expire() -> None:
            for future, request in zip(futures, requests, strict=True):
                if not future.done():
                    late = Failure(request, "timeout", f"not made within {timeout:g} s")
                    self._tally.failures["timeout"] += 1
                    future.set_result(Outcome(late))

        timer = loop.call_later(timeout, expire) if timeout is not None else None
        try:
            return list(await asyncio.gather(*futures))
        finally:
            if timer is not None:
                timer.cancel()

    def submit(self, request: GenerationRequest, *, apart: str = "") -> asyncio.Future[Outcome]:
        """Ask for one clip; cancelling the future takes the request back while it waits.

        Raises:
            Overloaded, RuntimeError: see `generate`.
        """
        loop = self._bind()
        if hit := self._cache.get(request):
            future: asyncio.Future[Outcome] = loop.create_future()
            self._tally.requests += 1
            self._tally.cache_hits += 1
            future.set_result(Outcome(hit))
            return future
        name = (apart, request.key)
        item = self._flying.get(name)
        if item is None:
            self._need_room(1)
            mates = f"{apart}\n{self._places[0].batch_key(request)}"
            item = self._flying[name] = Item(request, mates, apart, loop.time())
            if self._queue.add(item):
                self._bell.set()
            self._wake(loop)
        else:
            self._tally.shared += 1
        self._tally.requests += 1
        future = loop.create_future()
        item.waiters.append(future)
        future.add_done_callback(lambda done: self._left(item, done))
        return future

    def limit_batch(self, most: int) -> None:
        """Make no larger batches from now on, for example because memory is scarce."""
        self._caps.most = min(self._caps.most, most)
        self.settings = replace(self.settings, max_batch=self._caps.most)

    def metrics(self) -> EngineMetrics:
        """Return what has been done so far."""
        learnt = {mates.strip(): cap for mates, cap in self._caps.learnt().items()}
        return self._tally.snapshot(self.settings.max_batch, learnt)

    async def close(self) -> None:
        """Refuse new requests, make those that wait, and end the workers."""
        self._closed = True
        while self._lanes and self._loop is asyncio.get_running_loop():
            await asyncio.wait(list(self._lanes.values()))
        await asyncio.to_thread(self.stop)

    def stop(self) -> None:
        """Refuse new requests and end the workers at once; what they were making is lost."""
        self._closed = True
        for place in self._places:
            place.stop()
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _begin(self) -> None:
        settings = self.settings
        self._queue = BatchQueue(settings.max_waiting, settings.max_delay, self._caps)
        self._flying: dict[tuple[str, str], Item] = {}
        """What is waiting or being made."""
        self._lanes: dict[Place, asyncio.Task[None]] = {}
        self._bell = asyncio.Event()

    def _bind(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, after leaving behind what a closed one had not finished."""
        if self._closed:
            raise RuntimeError("the engine is closed")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise RuntimeError("the engine is in use on another event loop: give each its own")
            self._loop = loop
            self._begin()
        return loop

    def _need_room(self, count: int) -> None:
        if len(self._queue) + count <= self.settings.max_waiting:
            return
        self._tally.overloaded += count
        done, spent = max(self._tally.items, 1), self._tally.seconds
        wait = len(self._queue) * spent / done / len(self._places)
        raise Overloaded(len(self._queue), self.settings.max_waiting, max(wait, 0.1))

    def _left(self, item: Item, future: asyncio.Future[Outcome]) -> None:
        self._tally.cancelled += future.cancelled()
        if not item.wanted and self._queue.remove(item):
            self._flying.pop((item.apart, item.request.key), None)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        for place in self._places:
            if place not in self._lanes:
                self._lanes[place] = loop.create_task(self._lane(place, loop))

    async def _lane(self, place: Place, loop: asyncio.AbstractEventLoop) -> None:
        """Make batches in one place until nothing waits."""
        try:
            while (pause := self._queue.pause(loop.time())) is not None:
                if batch := self._queue.take(loop.time()):
                    await self._make(place, batch, loop)
                    if place.lost and len(self._places) > 1:
                        self._places.remove(place)
                        return
                    continue
                self._bell.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._bell.wait(), pause)
        finally:
            self._lanes.pop(place, None)

    async def _make(self, place: Place, batch: list[Item], loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for item in batch:
            if not item.attempt:
                self._tally.waits(now - item.since)
            item.attempt += 1
        work = (found_or_made, self._folder, place, [item.request for item in batch])
        self._tally.begins(place)
        try:
            found, passed = await loop.run_in_executor(self._threads, *work)
        except asyncio.CancelledError:
            self._break(batch, None)
            raise
        except (OSError, RuntimeError) as error:
            return self._break(batch, error)
        finally:
            self._tally.ends(place)
        for item in batch:
            if clip := found.get(item.request.key):
                self._tally.cache_hits += 1
                self._answer(item, Outcome(clip))
        if passed is not None:
            self._settle([item for item in batch if item.request.key not in found], passed)

    def _settle(self, batch: list[Item], passed: Pass) -> None:
        """Answer what a pass has made, and queue again what it has not."""
        self._tally.ran(passed, len(batch))
        answers, again = verdict(batch, passed, self._caps, self.settings.lost_alone)
        for item, outcome in answers:
            self._answer(item, outcome)
        for item in [item for batch in again for item in batch if not item.wanted]:
            self._flying.pop((item.apart, item.request.key), None)
        self._queue.again([[item for item in batch if item.wanted] for batch in again])
        if again and self._loop is not None:
            self._bell.set()
            self._wake(self._loop)

    def _answer(self, item: Item, outcome: Outcome) -> None:
        """Give all who asked for an item its outcome."""
        self._flying.pop((item.apart, item.request.key), None)
        if isinstance(outcome.made, Clip):
            self._tally.clips += 1
            self._cache.put(outcome.made)
        elif item.wanted:
            self._tally.failures[outcome.made.kind] += 1
        for waiter in item.waiters:
            if not waiter.done():
                waiter.set_result(outcome)

    def _break(self, batch: list[Item], error: Exception | None) -> None:
        """Tell those who wait that the engine itself has failed, or that its loop ends."""
        for item in batch:
            self._flying.pop((item.apart, item.request.key), None)
            for waiter in item.waiters:
                if error is None:
                    waiter.cancel()
                elif not waiter.done():
                    waiter.set_exception(error)
