"""Leaving: one item becomes one group in a trainer's shape, or it is written down why not.

Whose fault decides what happens next: equal answers and groups that the gate refuses are withheld;
a language model that fails or is late gets the item again after a pause; when nothing but failures
has come for a while, or something broke that nobody expected, the run has to stop (`fatal`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from audioforge.rollouts.backoff import Backoff
from audioforge.rollouts.board import Board
from audioforge.rollouts.episode import trained
from audioforge.rollouts.errors import LanguageModelError, RunError
from audioforge.rollouts.metrics import kind_of, observe
from audioforge.rollouts.outgoing import Encoded, Limits, outgoing_group
from audioforge.rollouts.record import Group
from audioforge.rollouts.session import EqualAnswers, Item, Session

Make = Callable[[Item], Awaitable[tuple[Group, list[Encoded]]]]


class Leaving:
    """Where groups leave a session."""

    def __init__(
        self, session: Session, board: Board, patience: float, item_seconds: float
    ) -> None:
        """Prepare.

        Args:
            session: whose groups leave.
            board: where what leaves and what does not is counted.
            patience: seconds of nothing but failures, then stop.
            item_seconds: that one item may take at a time; 0 or less is no limit.
        """
        self.session, self._board = session, board
        self.backoff = Backoff(patience)
        self.item_seconds = item_seconds if item_seconds > 0 else None
        self.fatal: Exception | None = None
        """Why the run has to stop; a framework may swallow what is raised."""

    async def payload(self, item: Item, make: Make, limits: Limits) -> dict[str, Any] | None:
        """Make one group and let it through the gate; None when it is withheld or failed.

        Raises:
            Exception: whatever `make` raises apart from a language model's failures; also in
                `fatal`.
        """
        await self.backoff.wait()
        try:
            async with asyncio.timeout(self.item_seconds):
                group, encoded = await make(item)
        except EqualAnswers:
            return self._withheld(item, "equal answers")
        except (LanguageModelError, TimeoutError) as error:
            self.session.again.append(item)
            return self._failed(str(error) or f"late: no group within {self.item_seconds} s")
        except Exception as error:
            self.fatal = error
            raise
        observe(group, self._board.window)
        told = trained(group)
        if all(reward is None for reward in told.rewards):
            self._settle(item, f"failed: {told.rollouts[-1].reason}")
            return self._failed(told.rollouts[-1].reason)
        self.backoff.succeeded()
        outgoing = outgoing_group(told, encoded, limits)
        if outgoing.payload is None:
            return self._withheld(item, outgoing.reason)
        return outgoing.payload

    async def sent(self, sending: Awaitable[str]) -> None:
        """Wait for a group to be sent; a ledger that cannot be written stops the run.

        Raises:
            OSError: the disk is full, or the folder cannot be written; also in `fatal`.
        """
        try:
            await sending
        except OSError as error:
            self.fatal = error
            raise

    def _withheld(self, item: Item, reason: str) -> None:
        self._board.window.drops[f"group {kind_of(reason)}"] += 1
        self._settle(item, reason)

    def _settle(self, item: Item, reason: str) -> None:
        if self.session.ledger is not None:
            self.session.ledger.settle(item["index"], "withheld", reason)

    def _failed(self, reason: str) -> None:
        """Count a failure of ours; after `patience` seconds of nothing else, stop the run."""
        if not self.backoff.failed():
            self.fatal = RunError(
                f"nothing but failures for {self.backoff.patience:g} s, the last one: {reason}"
            )
            raise self.fatal
        self._board.window.drops["group failed"] += 1
