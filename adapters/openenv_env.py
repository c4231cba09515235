"""OpenEnv: the environment as a server with WebSocket sessions, and its client.

    python -m audioforge.adapters.openenv_env --port 8000 --model tiny-stable-audio

    with SoundClient(base_url="http://127.0.0.1:8000").sync() as client:
        seen = client.reset(seed=0).observation      # seen.system, seen.user: what to tell a model
        judged = client.step(SoundAction(text='{"prompt": "warm pad"}'))
        judged.reward, judged.observation.checks     # and judged.observation.audio_flac

All sessions share one generator, whose passes hold the clips of many. A clip that we lost ends the
episode with reward None. The server has no authentication: it binds to the loopback address unless
told otherwise. `openenv.yaml` beside this file is the manifest.
"""

# pyright: reportMissingImports=false
# It lives in an environment of its own.

from __future__ import annotations

import argparse
import asyncio
import base64
import functools
from typing import Any
from uuid import uuid4

import numpy as np
from pydantic import Field

from audioforge.rollouts.desk import Desk, Turn, part_values, shared_desk, told
from audioforge.rollouts.pool import target_pool
from audioforge.rollouts.record import Group
from audioforge.rollouts.settings import EnvSettings
from audioforge.utils.audio_processing import flac_bytes

try:
    from openenv.core import EnvClient
    from openenv.core.client_types import StepResult
    from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app
except ImportError as missing:
    raise ImportError(
        "OpenEnv is not installed: pip install openenv==0.10.0, best in an environment of its own "
        "(`make test-openenv` makes one)"
    ) from missing

MAX_ANSWER = 16_384
"""Characters of an answer."""
SPLITS = ("train", "eval")


class SoundAction(Action):
    """An answer of a language model, read as `rollouts/parser.py` reads it."""

    text: str = Field(max_length=MAX_ANSWER, description="any text with a JSON action in it")


class SoundObservation(Observation):
    """A target to make a sound for; after a step also what became of the answer."""

    target: str = Field(default="", description="id of the target")
    description: str = Field(default="", description="the target in words")
    system: str = Field(default="", description="system message for a language model")
    user: str = Field(default="", description="user message for a language model")
    outcome: str = Field(default="", description="scored, unparsable or dropped; empty at reset")
    reason: str = Field(default="", description="why it was dropped, or is worth 0 without a clip")
    parts: dict[str, float] = Field(default_factory=dict, description="reward parts in [0, 1]")
    checks: list[str] = Field(default_factory=list, description="what was asked and heard")
    audio_flac: str = Field(default="", description="the clip, base64; empty unless asked for")


class SoundState(State):
    """Where an episode is."""

    target: str = ""
    done: bool = False


class SoundEnvironment(Environment[SoundAction, SoundObservation, SoundState]):
    """One session: reset gives a target, one step judges an answer."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, desk: Desk, settings: EnvSettings) -> None:
        super().__init__()
        self.desk, self.settings = desk, settings
        self._state = SoundState(done=True)

    @property
    def state(self) -> SoundState:
        """Where the episode is."""
        return self._state

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **chosen: Any
    ) -> SoundObservation:
        """Give a target; the same seed gives the same target and clips.

        Args:
            seed: decides target and clips.
            episode_id: a name for the episode; one is drawn when it is left out.
            chosen: `index` takes that place of the pool and `split` another split; `audio` True
                sends the clip with the step.

        Raises:
            ValueError: an unknown split or a negative index.
        """
        drawn = int(np.random.default_rng(seed).integers(2**31))
        pool = self._pool(chosen.get("split") or self.settings.split)
        place = int(chosen.get("index", drawn))
        if place < 0:
            raise ValueError(f"index must be 0 or more, got {place}")
        self._target, self._index = pool[place % len(pool)], drawn
        self._audio = bool(chosen.get("audio", False))
        self._state = SoundState(episode_id=episode_id or str(uuid4()), target=self._target.id)
        return self._observation()

    def step(
        self, action: SoundAction, timeout_s: float | None = None, **_: Any
    ) -> SoundObservation:
        """Judge an answer; the episode ends. Raises RuntimeError without a reset before it."""
        (group,) = self.desk.submit([self._turn(action)]).result(timeout_s)
        return self._judged(group)

    async def step_async(
        self, action: SoundAction, timeout_s: float | None = None, **_: Any
    ) -> SoundObservation:
        """Like `step`, without holding a thread: the clips of many sessions share a pass."""
        waiting = asyncio.wrap_future(self.desk.submit([self._turn(action)]))
        (group,) = await asyncio.wait_for(waiting, timeout_s)
        return self._judged(group)

    def list_splits(self) -> list[str]:
        """Return the splits of the targets."""
        return list(SPLITS)

    def num_tasks(self, split: str) -> int:
        """Return how many targets a split has."""
        return len(self._pool(split))

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """Return a target's id, category and description; `reset(split, index)` asks for it."""
        target = self._pool(split)[index]
        return {
            "id": target.id,
            "category": target.category,
            "description": target.target_description,
        }

    def _pool(self, split: str) -> list[Any]:
        own = self.settings
        return _pool(own.targets_file, split, own.categories, own.run_seed)

    def _turn(self, action: SoundAction) -> Turn:
        if self._state.done:
            raise RuntimeError("call reset before step; an episode is one step")
        self._state.done, self._state.step_count = True, 1
        return Turn(self._target, [action.text], self._index)

    def _observation(self, **judged: Any) -> SoundObservation:
        target = self._target
        messages = {m["role"]: m["content"] for m in self.desk.messages(target)}
        described = {"target": target.id, "description": target.target_description}
        return SoundObservation(**described, **messages, **judged)

    def _judged(self, group: Group) -> SoundObservation:
        (rollout,), (audio,) = group.rollouts, group.audios
        plain = told(rollout)
        sound = flac_bytes(audio) if audio is not None and self._audio else b""
        return self._observation(
            done=True,
            reward=rollout.reward,
            outcome=rollout.outcome,
            reason=rollout.reason,
            parts=part_values(rollout),
            checks=[check.words for check in rollout.report.checks] if rollout.report else [],
            audio_flac=base64.b64encode(sound).decode(),
            metadata={name: plain[name] for name in ("action", "issues", "notes", "clip")},
        )


_pool = functools.lru_cache(maxsize=8)(target_pool)


class SoundClient(EnvClient[SoundAction, SoundObservation, SoundState]):
    """A session with a server: `SoundClient(base_url=...)`, `.sync()` for use without asyncio."""

    def _step_payload(self, action: SoundAction) -> dict[str, Any]:
        return action.model_dump(exclude={"metadata"})

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[SoundObservation]:
        outer = {name: payload.get(name) for name in ("reward", "done")}
        seen = SoundObservation(**{**payload["observation"], **outer})
        return StepResult(
            observation=seen, reward=seen.reward, done=seen.done, metadata=payload.get("metadata")
        )

    def _parse_state(self, payload: dict[str, Any]) -> SoundState:
        return SoundState(**payload)


def create_server(settings: EnvSettings | None = None, sessions: int = 64) -> Any:
    """Build the FastAPI app.

    Args:
        settings: of the environment; None for the defaults.
        sessions: how many WebSocket sessions may be open at a time.
    """
    chosen = settings or EnvSettings()
    desk = shared_desk(chosen, "openenv")
    return create_fastapi_app(
        lambda: SoundEnvironment(desk, chosen),
        SoundAction,
        SoundObservation,
        max_concurrent_envs=sessions,
        env_name="audioforge",
        state_cls=SoundState,
    )


def __getattr__(name: str) -> Any:
    """Build `app`, which openenv.yaml names, when a server asks for it."""
    if name == "app":
        return create_server()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Serve; the arguments are in `--help`."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m audioforge.adapters.openenv_env")
    parser.add_argument("--host", default="127.0.0.1", help="there is no authentication")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--sessions", type=int, default=64, help="open at a time")
    for name in ("model", "device", "targets_file", "split", "categories", "out"):
        field = EnvSettings.model_fields[name]
        parser.add_argument(f"--{name}", default=field.default, help=field.description)
    given = vars(parser.parse_args())
    host, port, sessions = (given.pop(name) for name in ("host", "port", "sessions"))
    uvicorn.run(create_server(EnvSettings(**given), sessions), host=host, port=port)


if __name__ == "__main__":
    main()
