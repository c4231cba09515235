"""Delivery: groups leave for the trainer's API one after another, each at most once.

A framework may cancel whoever waits for a group to be sent; the sending goes on. While no API is
there, or a new one that does not know us yet, groups wait; what has not left when the process ends
stays in the ledger for the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from audioforge.rollouts.backoff import Backoff
from audioforge.rollouts.errors import RunError
from audioforge.rollouts.ledger import Ledger
from audioforge.rollouts.trainer_api import Refused, TrainerApi, Unknown, Unsent

_log = logging.getLogger("audioforge.delivery")


class Delivery:
    """Sends groups in the order in which they are given."""

    def __init__(self, api: TrainerApi, ledger: Ledger) -> None:
        """Prepare.

        Args:
            api: where groups go.
            ledger: keeps what became of each.
        """
        self.api, self.ledger = api, ledger
        self.run = uuid.uuid4().hex
        """Travels with our groups, to recognise them by."""
        self.env_id = -1
        """Ours at the API that is there now; set by who registers."""
        self.waiting: set[asyncio.Task[str]] = set()
        self._one = asyncio.Lock()
        self._backoff = Backoff(patience=0, first=0.1, cap=5.0)

    async def send(self, payload: dict[str, Any]) -> str:
        """Send a group and wait for it; cancelling the wait does not stop the sending.

        Returns:
            What became of it: "sent", "withheld" or "unconfirmed".
        """
        task = asyncio.create_task(self._send(payload))
        self.waiting.add(task)
        task.add_done_callback(self.waiting.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def rejoin(
        self, step: int, register: Callable[[], Awaitable[None]], seconds: float
    ) -> None:
        """Wait for the API to come back, and register where it is a new one.

        Args:
            step: that the trainer had reached.
            register: puts this environment on the API's list; may raise RetryError.
            seconds: to wait at most.

        Raises:
            RunError: no API with a trainer came.
        """
        from tenacity import RetryError

        url = self.api.url
        _log.warning("%s is gone or new: groups wait for it, up to %g s", url, seconds)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.api.trainer_is_there()
                    with contextlib.suppress(RetryError):
                        if not await self.api.knows(self.env_id, step):
                            await register()
                        return
        except TimeoutError as error:
            raise RunError(
                f"{url}: no API with a trainer for {seconds:g} s; the same command goes on later"
            ) from error

    async def _send(self, payload: dict[str, Any]) -> str:
        group = int(payload["generation_params"]["group"])
        payload["generation_params"]["run"] = self.run
        async with self._one:
            while True:
                await self._backoff.wait()
                if not await self.api.knows(self.env_id):
                    self._backoff.failed()
                    continue
                self.ledger.settle(group, "sending")
                try:
                    await self.api.send(payload | {"env_id": self.env_id})
                except Unsent as error:
                    self.ledger.settle(group, "unsent", str(error)[:200])
                    self._backoff.failed()
                    continue
                except Refused as error:
                    return self._settled(group, "withheld", f"the trainer's API refuses: {error}")
                except Unknown as error:
                    arrived = await self._arrived(group)
                    if arrived is None:
                        return self._settled(group, "unconfirmed", str(error)[:200])
                    if not arrived:
                        self.ledger.settle(group, "unsent", str(error)[:200])
                        self._backoff.failed()
                        continue
                self._backoff.succeeded()
                return self._settled(group, "sent")

    def _settled(self, group: int, outcome: Any, reason: str = "") -> str:
        if reason:
            _log.warning("group %d is %s: %s", group, outcome, reason)
        self.ledger.settle(group, outcome, reason)
        return outcome

    async def _arrived(self, group: int) -> bool | None:
        """Say whether a group has reached the API; None when that cannot be told.

        Ours are sent one at a time, so where the latest group is an older one of ours, this one
        has not come; another environment's says nothing.
        """
        try:
            latest = await self.api.latest()
        except Unsent:
            return None
        if not latest.get("tokens"):
            return False
        told = latest.get("generation_params")
        if not isinstance(told, dict) or told.get("run") != self.run:
            return None
        return told.get("group") == group
