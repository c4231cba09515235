"""The progress bar of a run: groups, rate, time left and the mean reward so far."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Rewards = Sequence[float | None]


class RunProgress:
    """Shows a run while it lasts; without a console it only counts."""

    def __init__(self, console: Console | None, groups: int, before: Sequence[Rewards]) -> None:
        self._sum, self._count = 0.0, 0
        self._bar = _bar(console) if console is not None else None
        self._task = None
        for rewards in before:
            self._count_in(rewards)
        if self._bar is not None:
            self._task = self._bar.add_task(
                "groups", total=groups, completed=len(before), rate="", mean=self._mean()
            )

    def __enter__(self) -> RunProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, rewards: Rewards) -> None:
        """Count one more group."""
        self._count_in(rewards)
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
            speed = self._bar.tasks[0].speed
            rate = f"{60 * speed:.1f} groups/min" if speed else ""
            self._bar.update(self._task, mean=self._mean(), rate=rate)

    def _count_in(self, rewards: Rewards) -> None:
        known = [reward for reward in rewards if reward is not None]
        self._sum += sum(known)
        self._count += len(known)

    def _mean(self) -> str:
        return f"mean reward {self._sum / self._count:.3f}" if self._count else "no reward yet"


def _bar(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[mean]}"),
        TimeRemainingColumn(),
        console=console,
    )
