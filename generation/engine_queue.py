"""The engine's bounded queue: requests that may share a pass, the longest waiting first.

A batch is ready when it is full or its oldest request has waited long enough; of several the one
with the oldest head goes first, so that a rare kind is not starved by a frequent one. Batches that
are to be made again go before everything.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from audioforge.generation.engine_batch import Outcome
from audioforge.generation.request import GenerationRequest


class Overloaded(RuntimeError):
    """The queue is full; asking again after `retry_after` seconds may work."""

    def __init__(self, waiting: int, most: int, retry_after: float) -> None:
        super().__init__(
            f"{waiting} requests are waiting and at most {most} may: "
            f"ask again in {retry_after:.1f} s"
        )
        self.retry_after = retry_after


@dataclass(eq=False)
class Item:
    """A request on its way, for all who asked for it."""

    request: GenerationRequest
    mates: str
    """Items with an equal word may share a pass."""
    apart: str
    since: float
    """When it was asked for, on the event loop's clock."""
    waiters: list[asyncio.Future[Outcome]] = field(default_factory=list)
    attempt: int = 0
    """Passes it has been in."""
    lost_alone: int = 0
    """Workers that were lost with nothing but it."""

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return not all(waiter.done() for waiter in self.waiters)


class BatchQueue:
    """Items by what may share a pass.

    Args:
        most_waiting: items; more are refused.
        max_delay: seconds an item waits for mates.
        most: the largest batch of a kind.
    """

    def __init__(self, most_waiting: int, max_delay: float, most: Callable[[str], int]) -> None:
        self.most_waiting, self._delay, self._most = most_waiting, max_delay, most
        self._waiting: dict[str, OrderedDict[int, Item]] = {}
        self._again: deque[list[Item]] = deque()
        self._count = 0

    def __len__(self) -> int:
        """Items that wait for their first pass."""
        return self._count

    def add(self, item: Item) -> bool:
        """Queue an item; say whether its batch is full now."""
        kind = self._waiting.setdefault(item.mates, OrderedDict())
        kind[id(item)] = item
        self._count += 1
        return len(kind) >= self._most(item.mates)

    def again(self, batches: list[list[Item]]) -> None:
        """Queue batches as they are, before everything else; one too large by then is cut."""
        self._again.extend(batch for batch in batches if batch)

    def remove(self, item: Item) -> bool:
        """Take an item out that nobody waits for; say whether it was here."""
        for batch in self._again:
            if item in batch:
                batch.remove(item)
                return True
        if self._waiting.get(item.mates, {}).pop(id(item), None) is None:
            return False
        self._left(item.mates, 1)
        return True

    def take(self, now: float) -> list[Item]:
        """Take the next batch that is ready; none is an empty list."""
        while self._again:
            if batch := self._again.popleft():
                most = self._most(batch[0].mates)
                if rest := batch[most:]:
                    self._again.appendleft(rest)
                return batch[:most]
        ready = [
            (head.since, mates)
            for mates, head in self._heads()
            if now >= head.since + self._delay or len(self._waiting[mates]) >= self._most(mates)
        ]
        if not ready:
            return []
        mates = min(ready)[1]
        kind = self._waiting[mates]
        batch = [kind.popitem(last=False)[1] for _ in range(min(len(kind), self._most(mates)))]
        self._left(mates, len(batch))
        return batch

    def pause(self, now: float) -> float | None:
        """Return seconds until the next batch is ready at the latest; None when nothing waits."""
        if self._again:
            return 0.0
        waits = [head.since + self._delay - now for _, head in self._heads()]
        return max(min(waits), 0.0) if waits else None

    def _heads(self) -> list[tuple[str, Item]]:
        return [(mates, next(iter(kind.values()))) for mates, kind in self._waiting.items()]

    def _left(self, mates: str, count: int) -> None:
        self._count -= count
        if not self._waiting[mates]:
            del self._waiting[mates]
