"""EnvSettings: what a user can set, one flat scalar per field, unit and range in words.

Flat because Atropos' command line cannot take lists or dicts. `audioforge_env.AudioForgeConfig`
joins these fields with Atropos' own; the last five replace defaults of Atropos.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from audioforge.reward_functions import CombinedReward, RewardConfig
from audioforge.rollouts.action import Decides
from audioforge.rollouts.cost import CostWeights
from audioforge.rollouts.curriculum import CurriculumConfig
from audioforge.rollouts.episode import EpisodeConfig
from audioforge.rollouts.keeping import RULE
from audioforge.rollouts.launch import FOLDERS
from audioforge.rollouts.session_config import SessionConfig

WEIGHTS = {
    "w_quality": "audio_quality",
    "w_style": "style_consistency",
    "w_alignment": "prompt_alignment",
    "w_technical": "technical_characteristics",
    "w_creativity": "creativity",
}
"""Which part each weight belongs to."""


def _weight(part: str) -> float | None:
    return Field(
        default=None,
        ge=0,
        le=10,
        description=f"Weight of {part}, 0 to 10; empty: the category's own",
    )


def _cost(of: str) -> float:
    return Field(default=0.0, ge=0, lt=1, description=f"Most of a reward charged for {of}, 0: none")


class EnvSettings(BaseModel):
    """Generator, targets, rewards, answers."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(
        default="tiny-stable-audio",
        description="Generator: embedded name, folder, hub id or 'synth'",
    )
    device: str = Field(default="auto", description="Of the generator: auto, cpu or cuda")
    generation_workers: int = Field(
        default=0, ge=0, le=64, description="Processes of the generator; 0: in this one"
    )
    max_batch: int = Field(
        default=32, ge=1, le=256, description="Clips made at once, of all groups in flight"
    )
    targets_file: str = Field(
        default="", description="Your targets (JSON, JSONL, YAML); empty for the curated ones"
    )
    split: str = Field(
        default="train",
        pattern="^(train|eval|procedural)$",
        description="train, eval or procedural",
    )
    categories: str = Field(
        default="", description="Comma-separated, such as drums,sfx; empty for all"
    )
    turns: int = Field(
        default=1, ge=1, le=16, description="Answers of one conversation, a critic between them"
    )
    improvement_bonus: float = Field(
        default=0.1, ge=0, le=1, description="Added per reward that the best turn is over the first"
    )
    stop_reward: float = Field(
        default=0.95, gt=0, le=1, description="A turn worth this ends its conversation, 0 to 1"
    )
    curriculum: bool = Field(
        default=False, description="Choose targets by what was achieved, easy to hard"
    )
    curriculum_success: float = Field(
        default=0.5, gt=0, lt=1, description="Wanted share of rollouts that succeed, 0 to 1"
    )
    curriculum_threshold: float = Field(
        default=0.5, gt=0, le=1, description="Reward from which a rollout succeeds, 0 to 1"
    )
    curriculum_window: int = Field(
        default=64, ge=1, le=4_096, description="Latest rollouts of a difficulty that count"
    )
    curriculum_share: float = Field(
        default=0.1, gt=0, le=1 / 3, description="Least share of each difficulty, up to 1/3"
    )
    run_seed: int = Field(
        default=0, ge=0, description="Decides the order of targets and every clip's seed, 0 or more"
    )
    out: str = Field(
        default="", description=f"Run folder; empty: {', '.join(FOLDERS.values())} by command"
    )
    rewards_file: str = Field(default="", description="YAML with weights; empty for the defaults")
    reward_device: str = Field(
        default="cpu", description="Where clips are measured: cpu, or cuda for a group in batches"
    )
    w_quality: float | None = _weight("audio quality")
    w_style: float | None = _weight("style consistency")
    w_alignment: float | None = _weight("prompt alignment")
    w_technical: float | None = _weight("technical care")
    w_creativity: float | None = _weight("creativity")
    common_seed: bool = Field(
        default=False, description="Clips of a group start from the same noise: less luck"
    )
    decides: Decides = Field(
        default="both",
        description="What of an answer counts and is trained on: both, prompt or parameters",
    )
    cost_steps: float = _cost("model evaluations; all of it at 100")
    cost_seconds: float = _cost("seconds of audio; all of it at the model's longest")
    cost_wall: float = _cost("wall time; half of it at 1 s a clip; not reproducible")
    max_answer_tokens: int = Field(
        default=256, ge=16, le=32_768, description="Length of one answer in tokens"
    )
    temperature: float = Field(default=1.0, ge=0, le=2, description="Of the language model, 0 to 2")
    eval_targets: int = Field(
        default=20, ge=1, le=1_000, description="Targets of one evaluation, over all categories"
    )
    patience: float = Field(
        default=120.0, ge=0, le=86_400, description="Seconds of nothing but failures, then stop"
    )
    api_patience: float = Field(
        default=1_800.0,
        ge=0,
        le=604_800,
        description="Seconds without the trainer's API, then stop",
    )
    keep_audio: str = Field(
        default="all",
        pattern=f"^(?:{RULE.pattern})$",
        description="Clips that stay on disk: all, none, newest:N or best:N",
    )
    tracker: str = Field(
        default="wandb",
        pattern="^(wandb|trackio|none)$",
        description="Shows the run besides metrics.jsonl: wandb, trackio or none",
    )
    api_key_env: str = Field(
        default="OPENAI_API_KEY", description="Environment variable with the endpoint's key"
    )
    tokenizer_name: str = Field(
        default="", description="Empty: the served model's, or the embedded policy's"
    )
    group_size: int = Field(default=4, ge=1, le=256, description="Answers per target")
    total_steps: int = Field(
        default=8, ge=-1, description="process: groups; serve: steps, -1: the trainer's"
    )
    wandb_name: str | None = Field(
        default="audioforge", description="Name of the W&B run and of this env"
    )
    data_path_to_save_groups: str | None = Field(
        default="", description="JSONL; empty: in the run folder"
    )

    def reward_config(self) -> RewardConfig:
        """Return the weights: the file's or the defaults; one that is set holds in every category.

        Raises:
            ValueError: the file is broken, or no weight is above 0.
            OSError: it cannot be read.
        """
        base = RewardConfig.load(self.rewards_file) if self.rewards_file else RewardConfig()
        given = {part: getattr(self, name) for name, part in WEIGHTS.items()}
        chosen = {part: weight for part, weight in given.items() if weight is not None}
        by_category = {
            category: {part: weight for part, weight in differ.items() if part not in chosen}
            for category, differ in base.by_category.items()
        }
        return RewardConfig({**base.weights, **chosen}, by_category, base.plugins)

    def session_config(self, command: str, policy: str) -> SessionConfig:
        """Return what a session needs.

        Args:
            command: "process" ends after `total_steps` groups, "serve" does not end, and "evaluate"
                records nothing.
            policy: name of the language model.

        Raises:
            ValueError: the rewards file is broken, `reward_device` is not there, or the weights of
                cost are 1 or more together.
        """
        names = ("targets_file", "split", "categories", "run_seed", "group_size", "model", "device")
        reward = self.reward_config()
        by_category = {category: dict(weights) for category, weights in reward.by_category.items()}
        plugins = {name: vars(spec) for name, spec in reward.plugins.items()}
        drawn = self.model_dump(include={"temperature", "max_answer_tokens"})
        device = {} if self.reward_device == "cpu" else {"device": self.reward_device}
        told = {**reward.weights, "by_category": by_category, **plugins, **device}
        return SessionConfig(
            **{name: getattr(self, name) for name in names},
            workers=self.generation_workers,
            max_batch=self.max_batch,
            out=Path(self.out or FOLDERS[command]),
            reward=CombinedReward(reward, self.reward_device),
            policy=policy,
            groups=self.total_steps if command == "process" else None,
            cost=CostWeights(self.cost_steps, self.cost_seconds, self.cost_wall),
            common_seed=self.common_seed,
            decides=self.decides,
            record=command != "evaluate",
            episode=self._episode_config() if self.turns > 1 else None,
            curriculum=self._curriculum_config() if command != "evaluate" else None,
            deliver=command == "serve",
            keep_audio=self.keep_audio,
            fixed={**drawn, "reward": told},
        )

    def _curriculum_config(self) -> CurriculumConfig | None:
        names = ("success", "threshold", "window", "share")
        told = {name: getattr(self, f"curriculum_{name}") for name in names}
        return CurriculumConfig(**told) if self.curriculum else None

    def _episode_config(self) -> EpisodeConfig:
        return EpisodeConfig(self.turns, self.improvement_bonus, self.stop_reward)
