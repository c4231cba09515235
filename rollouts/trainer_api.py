"""TrainerApi: what a session says to Atropos' API over HTTP, and what the answers mean.

A group that may have arrived must not be sent again, so failures are told apart by what the other
side can have seen: nothing (Unsent), a refusal (Refused), or nobody knows (Unknown).
"""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass
from typing import Any

from audioforge.rollouts.backoff import Backoff
from audioforge.rollouts.errors import RunError

ANSWER_SECONDS = 30.0
"""How long the API may take for one answer; it only puts things into lists."""


class Unsent(Exception):
    """The API has not got it: it was not reached, or it failed while reading."""


class Refused(Exception):
    """The API has read it and does not want it."""


class Unknown(Exception):
    """The connection broke after sending began: it may have arrived or not."""


@dataclass(frozen=True)
class TrainerApi:
    """Atropos' API at one URL."""

    url: str

    async def names(self) -> dict[str, str]:
        """Wait until a trainer has registered; return its W&B project and group, perhaps empty.

        Raises:
            RunError: nothing answers at the URL.
        """
        told: dict[str, Any] = {}
        try:
            while told.get("project") is None:  # a trainer without W&B says ""
                told = await self._get("wandb_info")
                if told.get("project") is None:
                    await asyncio.sleep(0.5)
        except Unsent as error:
            raise RunError(
                f"{self.url}: no Atropos API answers there; start run-api or correct "
                "rollout_server_url"
            ) from error
        return told

    async def has_trainer(self) -> bool:
        """Say whether a trainer has registered; False also where nothing answers.

        A group that reaches an API before its trainer does spoils it for good: the trainer's
        registration then skips what it should set up.
        """
        try:
            return (await self._get("info")).get("batch_size", -1) != -1
        except Unsent:
            return False

    async def trainer_is_there(self) -> None:
        """Wait until an API answers at the URL and a trainer has registered with it."""
        pause = Backoff(first=0.2, cap=5.0)
        while not await self.has_trainer():
            pause.failed()
            await pause.wait()

    async def knows(self, env_id: int, step: int = 0) -> bool:
        """Say whether an API is there with a trainer, and has this environment on its list.

        Args:
            env_id: ours; an API that was started again knows it no more, or gives it to another.
            step: that the trainer had reached; a smaller one is another run.
        """
        try:
            told = await self._get("status-env", {"env_id": env_id})
        except Unsent:
            return False
        return told.get("current_step", -1) >= step and await self.has_trainer()

    async def latest(self) -> dict[str, Any]:
        """Return the group that came last, of any environment; empty where none did.

        Raises:
            Unsent: no answer.
        """
        return await self._get("latest_example")

    async def send(self, payload: dict[str, Any]) -> None:
        """Send one group.

        Raises:
            Unsent, Refused, Unknown: see there.
        """
        import aiohttp

        body = gzip.compress(json.dumps(payload, allow_nan=False).encode(), compresslevel=1)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        try:
            async with (
                _session() as http,
                http.post(f"{self.url}/scored_data", data=body, headers=headers) as response,
            ):
                status, said = response.status, await response.text()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unsent(str(error)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unknown(f"{type(error).__name__}: {error}") from error
        if status >= 500 or status == 429:  # upstream queues a group as its very last step
            raise Unsent(f"status {status}")
        if status >= 400:
            raise Refused(f"status {status}: {' '.join(said.split())[:200]}")

    async def _get(self, place: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        import aiohttp

        try:
            async with (
                _session() as http,
                http.get(f"{self.url}/{place}", json=body) as response,
            ):
                response.raise_for_status()
                told = await response.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unsent(f"{type(error).__name__}: {error}") from error
        return told if isinstance(told, dict) else {}


def _session() -> Any:
    import aiohttp

    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ANSWER_SECONDS, connect=5.0))
