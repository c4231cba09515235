"""The trainings that benchmarks/learning.py compares: courses and seeds; kept and resumed.

Every course trains the shipped policy, or what another course has made of it, with one run of
`policy.learn`, four processes.

settings  on the diffusion model, where settings are heard. Only settings count and are trained on:
          all answers of a group are made with the target's own words and from the same noise, so
          that nothing but settings tells their clips apart, and steps cost a little. Words are held
          where they were.
both      goes on from there on the teacher synthesiser, which does what a prompt says, so that what
          to say is learnt in minutes. Only words count and are trained on; settings are held. The
          rate falls to nothing over the second half. It is the one that is judged; the others are
          ablations.
masked    as both, from the shipped policy, at a constant rate and for 60 steps.
words     on the synthesiser too, but all that an answer says counts and is trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.policy.learn import Plan, learn

ROOT = Path(__file__).resolve().parents[1]
REWARDS = ROOT / "configs" / "rewards.yaml"
HELD = ("--hold", "0.3")
COMMON = (
    *("--env.split", "procedural", "--env.max_answer_tokens", "160", "--env.max_batch", "24"),
    *("--env.rewards_file", str(REWARDS), "--env.generation_workers", "1"),
)
"""What is trained on: drawn targets, and the reward that every arm is judged by."""
HEARD = ("--env.decides", "parameters", "--env.common_seed", "true")


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
    after: Course | None = None
    """Whose model it starts from; none: the shipped policy."""

    @property
    def stages(self) -> list[Course]:
        """All courses that a model goes through, this one last."""
        return [*(self.after.stages if self.after else ()), self]

    def short(self) -> Course:
        """Return the same in one small step, to see that it runs."""
        return replace(self, steps=1, batch=8, group=4, after=self.after and self.after.short())

    def train(self, folder: Path, seed: int) -> Path:
        """Train one seed, or take what an earlier start has trained; return the model."""
        out = (folder / f"seed{seed}" / self.name).resolve()
        model = out / "train" / "model"
        if not (model / "config.json").exists():
            learn(
                Plan(
                    out=out,
                    model=self.after.train(folder, seed) if self.after else EMBEDDED_FOLDER,
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
SETTINGS = Course(
    "settings", (*HEARD, "--env.cost_steps", "0.05"), steps=20, group=16, trainer=HELD
)
BOTH = replace(MASKED, name="both", steps=100, trainer=(*HELD, "--anneal", "0.5"), after=SETTINGS)
ABLATIONS = {
    course.name: course
    for course in (
        SETTINGS,
        MASKED,
        WORDS,
        replace(SETTINGS, name="settings_free", environment=HEARD),
        replace(WORDS, name="groups_of_4", group=4),
    )
}
"""Judged when asked for. `settings_free` charges nothing for steps."""


def asked_for(names: str) -> list[Course]:
    """Return ablations by their comma-separated names; refuse a name that is none of them."""
    asked = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in asked if name not in ABLATIONS]:
        raise SystemExit(
            f"--ablations must name some of {', '.join(ABLATIONS)}; got {', '.join(unknown)}"
        )
    return [ABLATIONS[name] for name in asked]


def account(courses: Sequence[Course], folder: Path, seeds: int) -> dict[str, Any]:
    """Return steps, seconds and rewards of the trainings, by stage."""
    stages = {stage.name: stage for course in courses for stage in course.stages}
    runs = {
        name: [stage.curve(folder, seed) for seed in range(seeds)] for name, stage in stages.items()
    }
    return {
        "steps": {name: stage.steps for name, stage in stages.items()},
        "wall_s": {name: [_wall(run) for run in told] for name, told in runs.items()},
        "curves": {
            name: [[line["reward_mean"] for line in run] for run in told]
            for name, told in runs.items()
        },
    }


def _wall(run: Sequence[Mapping[str, float]]) -> float:
    """Return the seconds of one run, from the wait for its first batch on."""
    return run[-1]["time"] - run[0]["time"] + run[0]["wait_seconds"]
