"""Backoff: slow down while everything fails, and give up after a while.

Many collectors share one. A failure opens a window in which all of them wait; the windows double up
to a cap, one success closes them, and when nothing but failures has come for `patience` seconds the
next failure says so. A service that names a time itself (Retry-After) is left alone for so long.
Those that wait come back at slightly different times, or they would fail together again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass
class Backoff:
    """Shared delay after failures. All times in seconds."""

    patience: float = 120.0
    """How long there may be nothing but failures; 0 gives up at the first."""
    first: float = 0.5
    cap: float = 30.0
    jitter: float = 0.25
    """Each waits up to this share of the delay longer."""
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = random.random
    """A number in [0, 1) for the jitter."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.cap:
            raise ValueError(f"first must be in (0, cap = {self.cap:g}], got {self.first:g}")
        if not 0 <= self.patience < float("inf"):
            raise ValueError(f"patience must be finite and at least 0, got {self.patience}")
        self._since: float | None = None
        self._delay = self.first
        self._until = 0.0

    @property
    def delay(self) -> float:
        """Seconds until the next attempt is welcome."""
        return max(0.0, self._until - self.clock())

    async def wait(self) -> None:
        """Sleep until the window after the last failure is over."""
        while (delay := self.delay) > 0:
            await self.sleep(delay * (1 + self.jitter * self.draw()))

    def hold(self, seconds: float) -> None:
        """Leave the service alone for a time that it has named, at most `cap`."""
        self._until = max(self._until, self.clock() + min(max(seconds, 0.0), self.cap))

    def failed(self) -> bool:
        """Record a failure; say whether to go on.

        Failures that arrive within one window count once, so that eight collectors that lose the
        same server do not wait eight times as long.
        """
        now = self.clock()
        self._since = now if self._since is None else self._since
        if now >= self._until:
            self._until = now + self._delay
            self._delay = min(2 * self._delay, self.cap)
        return now - self._since < self.patience

    def succeeded(self) -> None:
        """Record a success: the next failure starts from the shortest delay."""
        self._since, self._delay, self._until = None, self.first, 0.0
