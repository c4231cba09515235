"""The trainings that benchmarks/learning.py compares: stages, seeds, ablations; kept and resumed.

A seed is two runs of `policy.learn`, one after the other, each with four processes:

settings  on the diffusion model, where settings are heard. Only settings count: all answers of a
          group are made with the target's own words and from the same noise, so that nothing but
          settings tells their clips apart, and steps cost a little.
words     on the teacher synthesiser, which does what a prompt says, so that what to say is learnt
          in minutes. Only words count, and the settings are held where they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.policy.learn import Plan, learn

ROOT = Path(__file__).resolve().parents[1]
REWARDS = ROOT / "configs" / "rewards.yaml"
TRAINER = ("--rate", "2e-4", "--hold", "0.3")
COMMON = (
    *("--env.split", "procedural", "--env.max_answer_tokens", "160", "--env.max_batch", "24"),
    *("--env.rewards_file", str(REWARDS), "--env.generation_workers", "1"),
)
"""What is trained on: drawn targets, and the reward that every arm is judged by."""
SETTINGS = ("--env.decides", "parameters", "--env.common_seed", "true")
COST = ("--env.cost_steps", "0.05")
WORDS = ("--env.model", "synth", "--env.decides", "prompt")


@dataclass(frozen=True)
class Stage:
    """One run of the trainer."""

    name: str
    """Of its folder."""
    steps: int
    group: int
    environment: tuple[str, ...]


@dataclass(frozen=True)
class Course:
    """The stages of one seed, in order."""

    folder: Path
    seed: int
    batch: int
    """Answers of one step."""
    stages: tuple[Stage, ...]

    def train(self) -> list[Path]:
        """Train, or take what an earlier start has trained; return each stage's model."""
        models = [EMBEDDED_FOLDER]
        for stage in self.stages:
            out = (self.folder / stage.name).resolve()
            if not (out / "train" / "model" / "config.json").exists():
                learn(
                    Plan(
                        out=out,
                        model=models[-1],
                        steps=stage.steps,
                        group_size=stage.group,
                        batch_size=self.batch,
                        seed=self.seed,
                        trainer=TRAINER,
                        environments=[(*COMMON, *stage.environment)],
                    )
                )
            models.append(out / "train" / "model")
        return models[1:]

    def curves(self) -> list[list[dict[str, float]]]:
        """Return the training log of each stage."""
        files = [self.folder / stage.name / "train" / "train.jsonl" for stage in self.stages]
        return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def course(
    folder: Path, seed: int, steps: Sequence[int], groups: Sequence[int], batch: int
) -> Course:
    """Return what one seed is trained with; a stage of 0 steps is left out."""
    plans = (("settings", (*SETTINGS, *COST)), ("words", WORDS))
    stages = [
        Stage(name, count, group, environment)
        for (name, environment), count, group in zip(plans, steps, groups, strict=True)
        if count
    ]
    return Course(folder / f"seed{seed}", seed, batch, tuple(stages))


def ablations(folder: Path, whole: Course) -> Mapping[str, Course]:
    """Return courses that differ from a whole one in one thing; kept beside it.

    `settings_only` is not among them: it is the first stage of the whole course.
    """
    settings, words = whole.stages
    others = {
        "words_only": (words,),
        "settings_only_without_cost": (replace(settings, environment=SETTINGS),),
        "words_only_in_groups_of_4": (replace(words, group=4),),
    }
    return {
        name: replace(whole, folder=folder / name, stages=stages) for name, stages in others.items()
    }


def wall(run: Sequence[Mapping[str, float]]) -> float:
    """Return the seconds of one run, from the wait for its first batch on."""
    return run[-1]["time"] - run[0]["time"] + run[0]["wait_seconds"]
