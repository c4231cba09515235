"""Lanes: worker processes of which one may die without taking anything with it.

Each lane is an executor of a single process, so that a decoder that crashes, hangs or runs out of
memory breaks one lane and one task; the lane is started anew. A task that raises is told too:
nothing is swallowed, nothing stops the others.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures import ThreadPoolExecutor as _Here
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Broken:
    """A task without an answer."""

    words: str
    """One line: what happened to it."""


class Lanes(Generic[Task, Answer]):
    """Runs one function on many tasks, one task per process at a time.

    Args:
        call: a module-level function; tasks and answers must pickle.
        workers: processes; 0 runs in this process, without protection against crashes.
        limit_seconds: after which a process gives up its task and ends.

    Raises:
        ValueError: workers or limit_seconds out of range.
    """

    def __init__(
        self, call: Callable[[Task], Answer], workers: int, limit_seconds: float = 300.0
    ) -> None:
        if workers < 0 or limit_seconds <= 0:
            raise ValueError(
                "workers must be 0 or more and limit_seconds positive, "
                f"got {workers} and {limit_seconds}"
            )
        self._call, self._limit, self._isolated = call, limit_seconds, workers > 0
        self._free: list[Executor] = [self._lane() for _ in range(max(workers, 1))]
        self._running: dict[Future[Answer], tuple[Executor, Task]] = {}

    def __enter__(self) -> Lanes[Task, Answer]:
        return self

    def __exit__(self, *_: object) -> None:
        for lane in [*self._free, *(lane for lane, _ in self._running.values())]:
            lane.shutdown(wait=True, cancel_futures=True)

    @property
    def free(self) -> bool:
        """Whether another task can start."""
        return bool(self._free)

    @property
    def busy(self) -> bool:
        """Whether a task is running."""
        return bool(self._running)

    def start(self, task: Task) -> None:
        """Start a task; `free` must hold."""
        lane = self._free.pop()
        with _interrupts_held(self._isolated):
            self._running[self._submit(lane, task)] = (lane, task)

    def finished(self) -> Iterator[tuple[Task, Answer | Broken]]:
        """Wait until at least one running task has ended, and yield those that have."""
        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
            lane, task = self._running.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                lane.shutdown(wait=True)
                lane = self._renewed()
            self._free.append(lane)
            yield task, future.result() if error is None else Broken(self._words(error))

    def _submit(self, lane: Executor, task: Task) -> Future[Answer]:
        if self._isolated:
            return lane.submit(_watched, self._call, task, self._limit)
        return lane.submit(self._call, task)

    def _lane(self) -> Executor:
        if not self._isolated:
            return _Here(max_workers=1)
        return ProcessPoolExecutor(
            max_workers=1, mp_context=multiprocessing.get_context("spawn"), initializer=_silence
        )

    def _renewed(self) -> Executor:
        """Start a lane and wait until it answers: processes that cannot start are our fault."""
        lane = self._lane()
        with _interrupts_held(True):
            ready = lane.submit(os.getpid)
        if ready.exception() is not None:
            raise ChildProcessError(
                "worker processes cannot start: put the script's own calls under "
                'if __name__ == "__main__", or ask for workers=0'
            )
        return lane

    def _words(self, error: BaseException) -> str:
        if isinstance(error, BrokenProcessPool):
            return (
                "the process that read it died: a crash in the decoder, no memory, "
                f"or more than {self._limit:g} s"
            )
        words = (str(error).strip() or "no message").splitlines()[0]
        return f"the scorer broke: {type(error).__name__}: {words}"


def _watched(call: Callable[[Task], Answer], task: Task, seconds: float) -> Answer:
    """Run a task; end this process if it takes too long, even inside a C library."""
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            return call(task)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _silence() -> None:
    """Send what C decoders print about damaged files nowhere; Python's errors come as answers."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


@contextmanager
def _interrupts_held(held: bool) -> Iterator[None]:
    """Let processes that start in here ignore Ctrl-C: this one decides when they end."""
    if not held:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
