"""Draining: a serving process that is told to stop (SIGTERM) finishes what it has begun.

It takes in nothing new, gives what is in flight some seconds, and ends. What does not end in time
is cut off: the run folder is whole at every moment, and the next start goes on from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

FINISH_SECONDS = 16.0
"""For groups in flight to be made, judged, recorded and sent."""
END_SECONDS = 28.0
"""After which the process is gone, whatever a thread of it still does."""


async def serve_until_stopped(
    serving: Coroutine[Any, Any, None], finish: Callable[[], Awaitable[None]]
) -> bool:
    """Run a server; at SIGTERM stop it and finish what is in flight.

    Args:
        serving: runs until its work is done.
        finish: is awaited after `serving` has been cancelled, for FINISH_SECONDS at most.

    Returns:
        Whether it was told to stop.
    """
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # not the main thread
        loop.add_signal_handler(signal.SIGTERM, told.set)
    main, asked = asyncio.create_task(serving), asyncio.create_task(told.wait())
    try:
        await asyncio.wait({main, asked}, return_when=asyncio.FIRST_COMPLETED)
        if main.done():
            main.result()
            return False
        _end_in(END_SECONDS)
        main.cancel()
        await asyncio.wait({main})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                await finish()
        return True
    finally:
        asked.cancel()
        main.cancel()
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            loop.remove_signal_handler(signal.SIGTERM)


async def finish_all(
    making: Iterable[Coroutine[Any, Any, None] | asyncio.Task[Any]], sending: set[asyncio.Task[str]]
) -> None:
    """Wait for groups that are being made, then for those that are being sent."""
    tasks = {asyncio.ensure_future(one) for one in making}
    if tasks:
        await asyncio.wait(tasks)
    if sending:
        await asyncio.wait(sending)


def _end_in(seconds: float) -> None:
    """End the process after a while even where a thread, such as a long clip, holds it up."""
    timer = threading.Timer(seconds, os._exit, [0])
    timer.daemon = True
    timer.start()
