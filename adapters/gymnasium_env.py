"""Gymnasium: `gymnasium.make("AudioForge-v0")`, an episode of one answer.

The observation is a target in words and what a language model would be told; the action is an
answer, any text; the reward is the report's total in [0, 1]. Settings of `rollouts/settings.py`
are keyword arguments: `gymnasium.make("AudioForge-v0", model="synth", out="artifacts/gym")`.

A clip that we lost truncates the episode with reward nan: there is no verdict, and 0 would be one.
`gymnasium.make_vec` steps all its episodes in one pass of the generator.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.spaces import Text
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate

from audioforge.rollouts.desk import Desk, Turn, part_values, shared_desk, told
from audioforge.rollouts.record import Group, Rollout
from audioforge.rollouts.report_media import PICTURE_SIZE, spectrogram_pixels
from audioforge.rollouts.settings import EnvSettings
from audioforge.utils.audio_processing import Audio

ENV_ID = "AudioForge-v0"
MAX_ANSWER, MAX_TOLD = 16_384, 65_536
"""Characters of an answer, and of an observation."""
_PRINTABLE = "".join(map(chr, range(32, 127))) + "\n"

Observation = dict[str, Any]


class AnyText(Text):
    """Text of any characters; draws are printable ASCII."""

    def __init__(self, max_length: int, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(max_length, min_length=0, charset=_PRINTABLE, seed=seed)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length


class AnswerText(AnyText):
    """Any text is an answer; draws are actions within the generator's ranges."""

    def __init__(self, desk: Desk) -> None:
        can = desk.capabilities
        self.prompts = tuple(sorted({target.baseline_prompt for target in desk.pool}))
        self.steps, self.cfg_scale, self.samplers = can.steps, can.cfg_scale, can.samplers
        super().__init__(MAX_ANSWER)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Draw an action uniformly: a baseline prompt, steps, cfg_scale and sampler.

        Raises:
            ValueError: a mask or probability was given; there is no meaning for either.
        """
        if mask is not None or probability is not None:
            raise ValueError("answers are drawn uniformly: leave out mask and probability")
        draw = self.np_random
        action = {
            "prompt": self.prompts[draw.integers(len(self.prompts))],
            "steps": int(draw.integers(self.steps[0], self.steps[1] + 1)),
            "cfg_scale": round(float(draw.uniform(*self.cfg_scale)), 2),
            "sampler": self.samplers[draw.integers(len(self.samplers))],
        }
        return json.dumps(action)


class AudioForgeEnv(gymnasium.Env[Observation, str]):
    """One target, one answer, one clip, one reward."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        """Load the generator, or share the one of another environment with the same settings.

        Args:
            render_mode: "rgb_array" or None.
            settings: fields of `EnvSettings`.

        Raises:
            ValueError: an unknown setting, model or render mode.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f'render_mode must be "rgb_array" or None, got {render_mode!r}')
        self.render_mode = render_mode
        self.desk = shared_desk(EnvSettings(**settings), "gymnasium")
        texts: Any = {name: AnyText(MAX_TOLD) for name in ("description", "system", "user")}
        self.observation_space = gymnasium.spaces.Dict(texts)
        self.action_space = AnswerText(self.desk)
        self._index = -1
        self.judged: Group | None = None
        """What the next step tells, where its clip was made together with others."""
        self._audio: Audio | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw the next target; the same seed gives the same targets and clips.

        Args:
            seed: see Gymnasium.
            options: {"target": place in the pool} chooses the target.
        """
        super().reset(seed=seed)
        self._index = int(self.np_random.integers(2**31))
        chosen = (options or {}).get("target")
        self.target = self.desk.target_at(self._index if chosen is None else int(chosen))
        self.judged, self._audio = None, None
        return self._observation(), {"target": self.target.id, "category": self.target.category}

    def turn(self, action: str) -> Turn:
        """Return an answer as the desk takes it, and end the episode.

        Raises:
            gymnasium.error.ResetNeeded: the episode has ended.
        """
        if self._index < 0:
            raise gymnasium.error.ResetNeeded("call reset before step; an episode is one step")
        index, self._index = self._index, -1
        return Turn(self.target, [str(action)], index)

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Judge an answer; the episode ends.

        Returns:
            Observation, reward in [0, 1] or nan, terminated, truncated (we lost the clip), and what
            became of it in plain types.
        """
        group, self.judged = self.judged, None
        if group is None:
            (group,) = self.desk.submit([self.turn(action)]).result()
        (rollout,), (self._audio,) = group.rollouts, group.audios
        lost = rollout.reward is None
        reward = math.nan if rollout.reward is None else rollout.reward
        return self._observation(), reward, not lost, lost, _info(rollout)

    def render(self) -> np.ndarray | None:
        """Return the mel spectrogram of the last clip, uint8 [height, width, 3]; dark before."""
        if self.render_mode is None:
            return None
        if self._audio is None:
            return np.zeros((*PICTURE_SIZE[::-1], 3), np.uint8)
        return spectrogram_pixels(self._audio)

    def _observation(self) -> Observation:
        messages = {m["role"]: m["content"] for m in self.desk.messages(self.target)}
        return {"description": self.target.target_description, **messages}


class AudioForgeVectorEnv(SyncVectorEnv):
    """Several episodes side by side; their clips are made in one pass. Resets in the same step."""

    def __init__(self, num_envs: int, render_mode: str | None = None, **settings: Any) -> None:
        super().__init__(
            [lambda: AudioForgeEnv(render_mode, **settings)] * num_envs,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )

    def step(self, actions: Sequence[str]) -> Any:
        """Step all episodes at once; what ended stands in infos["final_info"]."""
        envs = [cast(AudioForgeEnv, env) for env in self.envs]
        answers = iterate(self.action_space, actions)
        turns = [env.turn(answer) for env, answer in zip(envs, answers, strict=True)]
        for env, group in zip(envs, envs[0].desk.submit(turns).result(), strict=True):
            env.judged = group
        return super().step(actions)


def _info(rollout: Rollout) -> dict[str, Any]:
    """Flatten a rollout so that every field has one type in all episodes, as vectors need it."""
    plain, clip = told(rollout), rollout.clip
    report = plain["report"] or {"gates": [], "checks": []}
    return {
        **{name: plain[name] for name in ("outcome", "reason", "issues", "notes")},
        "action": json.dumps(plain["action"]),
        "clip_sha256": clip.sha256 if clip else "",
        "clip_path": clip.path or "" if clip else "",
        "parts": part_values(rollout),
        "gates": report["gates"],
        "checks": report["checks"],
    }


def register() -> None:
    """Make the environment known to Gymnasium; once."""
    if ENV_ID not in gymnasium.registry:
        here = "audioforge.adapters.gymnasium_env"
        gymnasium.register(
            ENV_ID,
            entry_point=f"{here}:AudioForgeEnv",
            vector_entry_point=f"{here}:AudioForgeVectorEnv",
        )


register()
