"""The trainings that benchmarks/learning.py compares: courses and seeds; kept and resumed.

Every course trains the shipped policy with one run of `policy.learn`, four processes.

words     on the teacher synthesiser, which does what a prompt says, so that what to say is learnt
          in minutes. It is the one that is judged; the others are ablations.
masked    the same, but only words count and are trained on; settings are held where they were.
settings  on the diffusion model, where settings are heard. Only settings count: all answers of a
          group are made with the target's own words and from the same noise, so that nothing but
          settings tells their clips apart, and steps cost a little.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from audioforge.policy.learn import Plan, learn

ROOT = Path(__file__).resolve().parents[1]
REWARDS = ROOT / "configs" / "rewards.yaml"
HELD = ("--hold", "0.3")
COMMON = (
    *("--env.split", "procedural", "--env.max_answer_tokens", "160", "--env.max_batch", "24"),
    *("--env.rewards_file", str(REWARDS), "--env.generation_workers", "1"),
)
"""What is trained on: drawn targets, and the reward that every arm is judged by."""
SETTINGS = ("--env.decides", "parameters", "--env.common_seed", "true")


@dataclass(frozen=True)
class Course:
    """One way to train."""

    name: str
    """Of its folder below a seed's."""
    environment: tuple[str, ...]
    steps: int = 60
    batch: int = 64
    """Answers of one step."""
    group: int = 8
    """Answers to one target."""
    trainer: tuple[str, ...] = ()

    def train(self, folder: Path, seed: int) -> Path:
        """Train one seed, or take what an earlier start has trained; return the model."""
        out = (folder / f"seed{seed}" / self.name).resolve()
        model = out / "train" / "model"
        if not (model / "config.json").exists():
            learn(
                Plan(
                    out=out,
                    steps=self.steps,
                    group_size=self.group,
                    batch_size=self.batch,
                    seed=seed,
                    trainer=("--rate", "2e-4", *self.trainer),
                    environments=[(*COMMON, *self.environment)],
                )
            )
        return model

    def curve(self, folder: Path, seed: int) -> list[dict[str, float]]:
        """Return the training log of one seed."""
        file = folder / f"seed{seed}" / self.name / "train" / "train.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()]


WORDS = Course("words", ("--env.model", "synth"))
MASKED = Course("masked", (*WORDS.environment, "--env.decides", "prompt"), trainer=HELD)
ONLY_SETTINGS = Course(
    "settings", (*SETTINGS, "--env.cost_steps", "0.05"), steps=20, group=16, trainer=HELD
)
ABLATIONS = {
    course.name: course
    for course in (
        MASKED,
        ONLY_SETTINGS,
        replace(ONLY_SETTINGS, name="settings_free", environment=SETTINGS),
        replace(WORDS, name="groups_of_4", group=4),
    )
}
"""Trained when asked for. `settings_free` charges nothing for steps."""


def wall(run: Sequence[Mapping[str, float]]) -> float:
    """Return the seconds of one run, from the wait for its first batch on."""
    return run[-1]["time"] - run[0]["time"] + run[0]["wait_seconds"]
