"""SessionConfig: what a run is asked to do, and what of it must not change while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from audioforge.rollouts.action import Decides
from audioforge.rollouts.cost import FREE, CostWeights
from audioforge.rollouts.curriculum import CurriculumConfig
from audioforge.rollouts.episode import EpisodeConfig
from audioforge.rollouts.studio import Judge


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """What a session is asked to do."""

    out: Path
    """The run folder."""
    reward: Judge
    targets_file: str = ""
    split: str = "train"
    """"train", "eval" or "procedural"."""
    categories: str = ""
    """Comma-separated; empty for all."""
    run_seed: int = 0
    group_size: int = 4
    model: str = "tiny-stable-audio"
    device: str = "auto"
    workers: int = 0
    """Worker processes of the generator; 0 keeps it in this one."""
    max_batch: int = 32
    """Clips made at once, of all groups that are in the making."""
    policy: str = "tiny-policy"
    """Name of the language model, for the record."""
    groups: int | None = None
    """How many groups to make in all; None goes on without end."""
    cost: CostWeights = FREE
    """What is charged for a clip; evaluations charge nothing."""
    common_seed: bool = False
    """Whether clips of a group start from the same noise."""
    decides: Decides = "both"
    """What of an action counts."""
    record: bool = True
    """Whether groups go to the run folder."""
    episode: EpisodeConfig | None = None
    """Several turns per answer; None is one, without a critic."""
    curriculum: CurriculumConfig | None = None
    """Chooses the targets by what was achieved; None asks them in the order of the pool."""
    deliver: bool = False
    """Whether groups leave for a trainer, so that what became of each is kept too."""
    keep_audio: str = "all"
    """Which clips stay on disk: "all", "none", "newest:N" or "best:N"."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """What else must not change while a run goes on, plain types."""

    def unchanging(self) -> dict[str, Any]:
        """Return the settings that a run which goes on must keep; those that are off are absent."""
        names = ("group_size", "run_seed", "targets_file", "split", "categories", "model", "policy")
        return {
            **{name: getattr(self, name) for name in names},
            **self.fixed,
            **({"cost": asdict(self.cost)} if self.cost.on else {}),
            **({"common_seed": True} if self.common_seed else {}),
            **({"decides": self.decides} if self.decides != "both" else {}),
            **({"episode": asdict(self.episode)} if self.episode else {}),
            **({"curriculum": asdict(self.curriculum)} if self.curriculum else {}),
        }
