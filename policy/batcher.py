"""Batcher: questions that arrive together are answered in one forward pass.

A bounded queue in front of one worker. Who finds it full is told so at once (Overloaded) instead of
waiting for an answer that comes too late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from audioforge.policy.drawing import Answer, Question
from audioforge.policy.local_llm import MAX_ROWS, LocalLLM

WINDOW_SECONDS = 0.004
"""How long the first question of a batch waits for others."""


class Overloaded(RuntimeError):
    """The queue is full; try again later."""


@dataclass(frozen=True)
class _Waiting:
    question: Question
    answers: asyncio.Future[list[Answer]]


class Batcher:
    """Answers questions with one model, batching those that wait at the same time.

    Args:
        llm: the model; used from one thread at a time.
        limit: answers that may wait; more are refused.
    """

    def __init__(self, llm: LocalLLM, limit: int = 1_024) -> None:
        self.llm, self.limit = llm, limit
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._rows = 0
        self._left: _Waiting | None = None
        """Taken from the queue, but did not fit the last batch."""
        self._worker: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()

    async def __aenter__(self) -> Batcher:
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._worker is not None
        self._worker.cancel()
        await asyncio.wait([self._worker])
        if self._left:
            self._left.answers.cancel()
        while not self._queue.empty():
            self._queue.get_nowait().answers.cancel()

    async def answer(self, question: Question) -> list[Answer]:
        """Wait for the answers to one question.

        Raises:
            Overloaded: too many answers are waiting already.
            PromptError: the prompt is not acceptable.
        """
        self.llm.check_prompt(question.prompt)
        if self._rows + question.sampling.n > self.limit:
            raise Overloaded(
                f"{self._rows} answers are waiting, at most {self.limit} may; try again later"
            )
        self._rows += question.sampling.n
        waiting = _Waiting(question, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)
        try:
            return await waiting.answers
        finally:
            self._rows -= question.sampling.n

    async def between(self, change: Callable[[], None]) -> None:
        """Change the model between two batches; errors of `change` come through."""
        async with self._busy:
            await asyncio.to_thread(change)

    async def _work(self) -> None:
        while True:
            batch = [self._left or await self._queue.get()]
            self._left = None
            await asyncio.sleep(WINDOW_SECONDS)
            rows = batch[0].question.sampling.n
            while self._left is None and not self._queue.empty():
                following = self._queue.get_nowait()
                rows += following.question.sampling.n
                if rows > MAX_ROWS:
                    self._left = following
                else:
                    batch.append(following)
            if wanted := [w for w in batch if not w.answers.done()]:
                async with self._busy:
                    await self._run(wanted)

    async def _run(self, wanted: list[_Waiting]) -> None:
        questions = [w.question for w in wanted]
        running = asyncio.get_running_loop().run_in_executor(None, self.llm.generate, questions)
        await asyncio.wait([running])
        error = running.exception()
        for index, waiting in enumerate(wanted):
            if waiting.answers.done():
                continue
            if error:
                waiting.answers.set_exception(error)
            else:
                waiting.answers.set_result(running.result()[index])
