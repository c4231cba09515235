"""The trainer's side of Atropos' API: register, take batches, and patience with both services.

Two services are spoken to: the API that collects groups (`run-api`), and the servers that draw
answers with the weights that are trained. Either may be away for a while: calls are repeated with
growing, bounded pauses, and after `patience` seconds of nothing else the trainer stops with one
line; its checkpoint stays.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
"""Seconds."""
TIMEOUT_SECONDS = 60.0


class ServiceError(RuntimeError):
    """A service did not answer for too long, or refuses; one line with its URL."""


@dataclass(frozen=True)
class Registration:
    """What the API is told about a training."""

    batch_size: int
    """Answers of one batch."""
    max_tokens: int
    """Sequences must be shorter than this."""
    start: int
    """Step the training begins at."""
    steps: int
    """Steps in all."""
    folder: Path
    """Of checkpoints."""
    save_every: int
    project: str = "audioforge"
    group: str = "train"


class TrainingApi:
    """The API of one training.

    Args:
        url: such as http://127.0.0.1:8000.
        patience: seconds without an answer, then ServiceError.
        stop: asked while waiting; True ends a wait early.
    """

    def __init__(
        self, url: str, patience: float = 600.0, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.url, self.patience, self.stop = url.rstrip("/"), patience, stop
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS)
        self._told: Registration | None = None

    def register(self, told: Registration) -> None:
        """Tell the API who trains.

        Raises:
            ServiceError: no answer, or a refusal.
        """
        self._told = told
        body = {
            "wandb_group": told.group,
            "wandb_project": told.project,
            "batch_size": told.batch_size,
            "max_token_len": told.max_tokens,
            "checkpoint_dir": str(told.folder),
            "save_checkpoint_interval": told.save_every,
            "starting_step": told.start,
            "num_steps": told.steps,
        }
        answer = self._call("POST", f"{self.url}/register", body)
        if "uuid" not in answer:
            raise ServiceError(f"{self.url}: registration refused: {answer}")

    def batch(self) -> list[dict[str, Any]] | None:
        """Wait for the next batch of groups; None when `stop` said so.

        An API that was started anew does not know us any more: it is told again.

        Raises:
            ServiceError: no answer for too long.
        """
        pause = FIRST_PAUSE
        while not self.stop():
            found = self._call("GET", f"{self.url}/batch")
            if found.get("status") == "error" and self._told is not None:
                self.register(self._told)
            elif found.get("batch"):
                return list(found["batch"])
            time.sleep(pause)
            pause = min(pause * 1.3, 2.0)
        return None

    def push(self, servers: Sequence[str], folder: Path, version: int) -> None:
        """Have every server of answers take over the weights in a folder.

        Raises:
            ServiceError: one does not answer, or refuses.
        """
        for server in servers:
            root = server.rstrip("/").removesuffix("/v1")
            self._call("POST", f"{root}/weights", {"folder": str(folder), "version": version})

    def _call(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call until an answer comes; a refusal (4xx) is final."""
        pause, deadline = FIRST_PAUSE, time.monotonic() + self.patience
        while True:
            try:
                answer = self._client.request(method, url, json=body)
                if 400 <= answer.status_code < 500 and answer.status_code != 429:
                    raise ServiceError(
                        f"{url}: refused ({answer.status_code}): {answer.text[:300]}"
                    )
                answer.raise_for_status()
                return dict(answer.json())
            except (httpx.HTTPError, ValueError) as error:
                if self.stop() or time.monotonic() + pause > deadline:
                    reason = f"{type(error).__name__}: {error}"
                    raise ServiceError(f"{url}: no answer for long: {reason}") from error
            time.sleep(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 2, LONGEST_PAUSE)
