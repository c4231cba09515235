"""Studio: what a group of rollouts is collected with, and what asking a policy means."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from audioforge.data.brief import Brief
from audioforge.generation.backend import Backend
from audioforge.generation.engine import Engine, EngineSettings
from audioforge.reward_functions.score import RewardReport
from audioforge.rollouts.action import Decides
from audioforge.rollouts.cost import FREE, CostWeights
from audioforge.rollouts.outgoing import Encoded
from audioforge.rollouts.record import Origin, Rollout, versions
from audioforge.rollouts.store import RunStore
from audioforge.utils.audio_processing import Audio, read_audio

MEMORY = 64
"""How many earlier clips the creativity reward remembers."""


@dataclass(frozen=True)
class Completion:
    """One answer of a language model."""

    text: str
    finish_reason: str = "stop"


Ask = Callable[[list[dict[str, str]], int], Awaitable[list[Completion]]]
"""One LLM call: (messages, n) gives n answers."""


class Answer(NamedTuple):
    """One answer of a language model, as text and as tokens."""

    completion: Completion
    encoded: Encoded
    """The whole conversation, this answer last."""


class Judge(Protocol):
    """What `CombinedReward` offers the collector."""

    def judge(
        self,
        audios: Sequence[Audio],
        brief: Brief,
        *,
        references: Sequence[Audio] = ...,
        recent: Sequence[np.ndarray] = ...,
        duplicates: Sequence[int] = ...,
    ) -> list[RewardReport]:
        """Judge one group's clips, one report each."""
        ...

    def vector(self, audio: Audio) -> np.ndarray | None:
        """Return what a report on this clip would hold as its vector, without judging it."""
        ...


@dataclass
class Studio:
    """Everything a group is collected with."""

    backend: Backend | Engine
    """An engine that groups share, or a backend, which gets an engine of its own."""
    reward: Judge
    store: RunStore | None = None
    """Where groups are recorded; None keeps them in memory only."""
    run_seed: int = 0
    group_size: int = 4
    policy: str = ""
    """Name of the language model, for the record."""
    memory: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=MEMORY))
    """Creativity vectors of the latest clips."""
    cost: CostWeights = FREE
    common_seed: bool = False
    """Whether all clips of a group start from the same noise: then their rewards differ by what was
    asked and less by luck (common random numbers)."""
    decides: Decides = "both"
    """What of an action counts."""
    """What is charged for steps, seconds and wall time."""
    apart: str = ""
    """Clips with another word are not made in the same pass."""
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        if self.group_size < 1:
            raise ValueError(f"group_size must be at least 1, got {self.group_size}")
        backend = self.backend
        # Every clip of a run has its own seed: kept ones would never be asked for again.
        self.engine = (
            backend
            if isinstance(backend, Engine)
            else Engine.in_process(backend, EngineSettings(cache_mb=0))
        )

    def origin(self) -> Origin:
        """Say what makes the clips."""
        return Origin(
            self.policy, self.backend.capabilities.model, self.backend.weights_sha256, versions()
        )


def recall(studio: Studio, store: RunStore) -> None:
    """Fill the memory of the creativity reward from the clips of an earlier start."""
    earlier: list[Rollout] = []
    for group in store.groups():
        earlier += [
            r
            for r in group
            if r.clip is not None and r.clip.path and r.duplicate_of is None and r.reward
        ]
        earlier = earlier[-MEMORY:]
    for rollout in earlier:
        path = rollout.clip.path if rollout.clip else None
        if path is not None and (store.folder / path).is_file():
            vector = studio.reward.vector(read_audio(store.folder / path))
            if vector is not None:
                studio.memory.append(vector)
