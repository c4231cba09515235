"""The trainings that benchmarks/learning.py compares: parts, seeds, ablations; kept and resumed.

A seed is two runs of `policy.learn` from the shipped policy, each with four processes, and their
sum (`policy.merge`):

settings  on the diffusion model, where settings are heard. Only settings count: all answers of a
          group are made with the target's own words and from the same noise, so that nothing but
          settings tells their clips apart, and steps cost a little.
words     on the teacher synthesiser, which does what a prompt says, so that what to say is learnt
          in minutes. Only words count, and the settings are held where they were.

One after the other, the second run undoes what the first has learnt; their sum keeps both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.policy.learn import Plan, learn
from audioforge.policy.merge import merge

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
class Part:
    """One run of the trainer."""

    name: str
    """Of its folder."""
    steps: int
    group: int
    environment: tuple[str, ...]


@dataclass(frozen=True)
class Course:
    """The parts of one seed."""

    folder: Path
    seed: int
    batch: int
    """Answers of one step."""
    parts: tuple[Part, ...]

    def train(self) -> Path:
        """Train and merge, or take what an earlier start has made; return the model."""
        models = [self._trained(part) for part in self.parts]
        if len(models) == 1:
            return models[0]
        merged = self.folder / "merged"
        if not (merged / "config.json").exists():
            merge(EMBEDDED_FOLDER, models, merged)
        return merged

    def _trained(self, part: Part) -> Path:
        out = (self.folder / part.name).resolve()
        model = out / "train" / "model"
        if not (model / "config.json").exists():
            learn(
                Plan(
                    out=out,
                    steps=part.steps,
                    group_size=part.group,
                    batch_size=self.batch,
                    seed=self.seed,
                    trainer=TRAINER,
                    environments=[(*COMMON, *part.environment)],
                )
            )
        return model

    def curves(self) -> list[list[dict[str, float]]]:
        """Return the training log of each part."""
        files = [self.folder / part.name / "train" / "train.jsonl" for part in self.parts]
        return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def course(
    folder: Path, seed: int, steps: Sequence[int], groups: Sequence[int], batch: int
) -> Course:
    """Return what one seed is trained with; a part of 0 steps is left out."""
    plans = (("settings", (*SETTINGS, *COST)), ("words", WORDS))
    parts = [
        Part(name, count, group, environment)
        for (name, environment), count, group in zip(plans, steps, groups, strict=True)
        if count
    ]
    return Course(folder / f"seed{seed}", seed, batch, tuple(parts))


def alone(whole: Course) -> dict[str, Course]:
    """Return each part of a course by itself; it is not trained again."""
    return {f"{part.name}_only": replace(whole, parts=(part,)) for part in whole.parts}


def ablations(folder: Path, whole: Course) -> dict[str, Course]:
    """Return courses of one part that differ from it in one thing; kept in folders of their own."""
    changed = {
        "settings_only_without_cost": ("settings", {"environment": SETTINGS}),
        "words_only_in_groups_of_4": ("words", {"group": 4}),
    }
    return {
        name: replace(whole, folder=folder / name, parts=(replace(part, **change),))
        for name, (which, change) in changed.items()
        for part in whole.parts
        if part.name == which
    }


def wall(run: Sequence[Mapping[str, float]]) -> float:
    """Return the seconds of one run, from the wait for its first batch on."""
    return run[-1]["time"] - run[0]["time"] + run[0]["wait_seconds"]
