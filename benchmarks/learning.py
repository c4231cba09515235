"""Does a language model learn here? GRPO through the real Atropos API, judged on held-out targets.

    python benchmarks/learning.py [--quick] [--seeds 3] [--ablations words,masked] [--out FILE]

Each seed trains the shipped policy twice (`learning_runs.py`): settings on the diffusion model,
then words on the teacher synthesiser. All arms answer the same held-out targets (half curated, half
procedural) through the diffusion model, with the same clip seeds: the policy before and after; its
prompts with recommended settings, and its settings with baseline prompts; random actions; the
targets' baseline prompts with recommended settings, with the shipped presets and with settings
found by `audioforge optimize`'s search on training targets; and an oracle that says all that is
asked. `--ablations` judges other ways to train too: settings alone, with and without a charge for
steps; words alone, with settings held or left to themselves; other groups. Nothing is charged here.
Intervals are 95 % bootstraps over targets and seeds. The judge hears what no reward part measures;
`alarm` is true when the reward rises and the judge falls. Everything is kept in `--work`: the same
command goes on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from _common import Benchmark
from learning_arms import Arm, at_random, baseline, held_out, policy, preset, searched, told
from learning_figures import Rows, ablated, compared
from learning_measures import Hall, Heard
from learning_page import write_page
from learning_plot import plot
from learning_runs import ABLATIONS, BOTH, REWARDS, account, asked_for
from learning_table import write_table

from audioforge.data.families import CATEGORIES
from audioforge.data.presets import PRESETS_FILE
from audioforge.data.targets import Target
from audioforge.generation.weights_hash import sha256_of
from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.rollouts.action import Decides
from audioforge.rollouts.facts import unchanging_facts
from audioforge.rollouts.optimize import OptimizeConfig, optimize

MODEL = "tiny-stable-audio"
QUICK = {"seeds": 1, "targets": 4, "answers": 1}


class Arms:
    """The answers of every arm, heard once and kept for the same targets, model and scorer."""

    def __init__(self, hall: Hall, targets: Sequence[Target], answers: int, folder: Path) -> None:
        self.hall, self.targets, self.answers = hall, targets, answers
        self.heard_with = unchanging_facts(targets, hall.engine.weights_sha256) | hall.identity
        told = json.dumps(self.heard_with, sort_keys=True)
        same = hashlib.sha256(told.encode()).hexdigest()[:16]
        self.folder = folder / f"{len(targets)}x{answers}-{same}"

    def heard(self, name: str, arm: Arm, decides: Decides = "both") -> list[list[Heard]]:
        """Return what was heard of an arm, which is asked only where it was not heard yet."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            made = self.hall.hear(self.targets, arm(self.targets, self.answers), decides)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([[one.to_json() for one in row] for row in made]))
        return [[Heard(**one) for one in row] for row in json.loads(path.read_text())]

    def policy(self, folder: Path, decides: Decides = "both") -> list[list[Heard]]:
        """Return what was heard of a language model, known by its weights."""
        weights = sha256_of(*sorted(folder.glob("*.safetensors")), under=folder)[:16]
        return self.heard(
            f"policy-{weights}-{decides}", policy(folder, self.hall.engine.capabilities), decides
        )


def found_settings(hall: Hall, folder: Path, quick: bool) -> dict[str, dict[str, Any]]:
    """Search settings for every category on training targets, with the same reward."""
    chosen = {}
    for category in CATEGORIES:
        config = OptimizeConfig(category=category, trials=4 if quick else 10, clips=8)
        found = optimize(config, hall.engine, hall.studio.reward, folder)
        chosen[category] = dict(found.recommended["quality"].setting)
    return chosen


def other_arms(arms: Arms, trained: Path, work: Path, quick: bool) -> dict[str, Rows]:
    """Return what was heard of all arms but the policy before and after."""
    can = arms.hall.engine.capabilities

    def search(targets: Sequence[Target], n: int) -> list[list[str]]:
        return searched(found_settings(arms.hall, work, quick))(targets, n)

    return {
        "start_prompt_only": arms.policy(EMBEDDED_FOLDER, "prompt"),
        "prompt_only": arms.policy(trained, "prompt"),
        "parameters_only": arms.policy(trained, "parameters"),
        "random": arms.heard("random", at_random(can)),
        "baseline": arms.heard("baseline", baseline(can)),
        "presets": arms.heard(f"presets-{sha256_of(PRESETS_FILE)[:16]}", preset()),
        "search": arms.heard("search", search),
        "oracle": arms.heard("oracle", told(can)),
    }


def options(benchmark: Benchmark) -> Namespace:
    """Return what was given on the command line."""
    add = benchmark.parser.add_argument
    add("--seeds", type=int, default=3)
    add("--targets", type=int, default=48, help="held out")
    add("--answers", type=int, default=2, help="to each held-out target")
    add("--ablations", default="", help=f"comma-separated: {', '.join(ABLATIONS)}")
    add("--work", type=Path, default=Path("artifacts/learning"))
    add("--plot", type=Path, help="draw curves and arms to this picture")
    add("--page", type=Path, help="write examples from before and after to this page")
    given = benchmark.options()
    if given.quick:
        vars(given).update(QUICK, work=given.work / "quick")
        shutil.rmtree(given.work, ignore_errors=True)
    return given


def main() -> None:
    """Train, judge and report."""
    benchmark = Benchmark(__doc__)
    given = options(benchmark)
    torch.set_num_threads(2)
    courses = [BOTH, *asked_for(given.ablations)]
    if given.quick:
        courses = [course.short() for course in courses]
    models = {
        course.name: [course.train(given.work, seed) for seed in range(given.seeds)]
        for course in courses
    }
    hall = Hall(MODEL, REWARDS, 200 if given.quick else 1_200)
    arms = Arms(hall, held_out(given.targets), given.answers, given.work / "arms")
    start = arms.policy(EMBEDDED_FOLDER)
    trained, *others = ([arms.policy(model) for model in found] for found in models.values())
    rest = other_arms(arms, models[BOTH.name][0], given.work / "search", given.quick)
    numbers = compared(start, trained, rest) | {
        "ablations": {
            course.name: ablated(start, ends)
            for course, ends in zip(courses[1:], others, strict=True)
        },
        "train_seeds": given.seeds,
        "targets": given.targets,
        "answers": given.answers,
        "heard_with": arms.heard_with,
        **account(courses, given.work, given.seeds),
    }
    write_table(numbers)
    if given.plot:
        plot(numbers, given.plot)
    if given.page:
        write_page(hall, (arms.targets, start, trained[0]), given.page)
    benchmark.finish(numbers)


if __name__ == "__main__":
    main()
