"""Does a language model learn here? GRPO through the real Atropos API, judged on held-out targets.

    python benchmarks/learning.py [--quick] [--seeds 3] [--ablations words,masked] [--out FILE]

Each seed trains the shipped policy twice (`learning_runs.py`): settings on the diffusion model,
then words on the teacher synthesiser. All arms answer the same held-out targets (half curated, half
procedural) through the diffusion model, with the same clip seeds: the policy before and after; its
prompts with recommended settings, and its settings with baseline prompts; random actions; the
targets' baseline prompts with recommended settings, with the curated presets and with settings
found by `audioforge optimize`'s search on training targets; and an oracle that says all that is
asked. `--ablations` judges other ways to train too: settings alone, with and without a charge for
steps; words alone, with settings held or left to themselves; other groups. Nothing is charged here.
Intervals are 95 % bootstraps over targets and seeds. The judge hears what no reward part measures;
`alarm` is true when the reward rises and the judge falls. Everything is kept in `--work`: the same
command goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from _common import Benchmark
from learning_arms import Arm, at_random, baseline, held_out, policy, preset, searched, told
from learning_figures import ablated, compared
from learning_measures import Hall, Heard
from learning_page import write_page
from learning_plot import plot
from learning_runs import ABLATIONS, BOTH, REWARDS, asked_for, wall

from audioforge.data.families import CATEGORIES
from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.rollouts.action import Decides
from audioforge.rollouts.optimize import OptimizeConfig, optimize

MODEL = "tiny-stable-audio"
QUICK = {"seeds": 1, "targets": 4, "answers": 1}


class Arms:
    """The answers of every arm, heard once and kept."""

    def __init__(self, hall: Hall, targets: Sequence[Any], answers: int, folder: Path) -> None:
        self.hall, self.targets, self.answers, self.folder = hall, targets, answers, folder

    def heard(
        self, name: str, arm: Callable[[], Arm], decides: Decides = "both"
    ) -> list[list[Heard]]:
        """Return what was heard of an arm; `arm` is only built where it was not heard yet."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            answers = arm()(self.targets, self.answers)
            made = self.hall.hear(self.targets, answers, decides)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([[one.to_json() for one in row] for row in made]))
        return [[Heard(**one) for one in row] for row in json.loads(path.read_text())]


def found_settings(hall: Hall, folder: Path, quick: bool) -> dict[str, dict[str, Any]]:
    """Search settings for every category on training targets, with the same reward."""
    chosen = {}
    for category in CATEGORIES:
        config = OptimizeConfig(category=category, trials=4 if quick else 10, clips=8)
        found = optimize(config, hall.engine, hall.studio.reward, folder)
        chosen[category] = dict(found.recommended["quality"].setting)
    return chosen


def main() -> None:
    """Train, judge and report."""
    benchmark = Benchmark(__doc__)
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
    runs = {
        stage.name: [stage.curve(given.work, seed) for seed in range(given.seeds)]
        for course in courses
        for stage in course.stages
    }
    heard = all_heard(arms, models.pop(BOTH.name), given)
    numbers = compared(*heard) | {
        "ablations": {
            name: ablated(heard[0], after(arms, name, found)) for name, found in models.items()
        },
        "train_seeds": given.seeds,
        "steps": {stage.name: stage.steps for course in courses for stage in course.stages},
        "targets": given.targets,
        "answers": given.answers,
        "wall_s": {name: [wall(run) for run in told] for name, told in runs.items()},
        "curves": {
            name: [[line["reward_mean"] for line in run] for run in told]
            for name, told in runs.items()
        },
    }
    if given.plot:
        plot(numbers, given.plot)
    if given.page:
        rows = (arms.targets, arms.heard("start", _known), arms.heard("end0", _known))
        write_page(arms.hall, rows, given.page)
    benchmark.finish(numbers)


def all_heard(
    arms: Arms, models: Sequence[Path], given: Any
) -> tuple[list[list[Heard]], list[list[list[Heard]]], dict[str, list[list[Heard]]]]:
    """Return what was heard of the policy before, of each seed after, and of all other arms."""
    can = arms.hall.engine.capabilities
    start = arms.heard("start", lambda: policy(EMBEDDED_FOLDER, can))
    others = {
        "start_prompt_only": arms.heard(
            "start_prompt_only", lambda: policy(EMBEDDED_FOLDER, can), "prompt"
        ),
        "prompt_only": arms.heard("prompt_only", lambda: policy(models[0], can), "prompt"),
        "parameters_only": arms.heard(
            "parameters_only", lambda: policy(models[0], can), "parameters"
        ),
        "random": arms.heard("random", lambda: at_random(can)),
        "baseline": arms.heard("baseline", lambda: baseline(can)),
        "presets": arms.heard("presets", preset),
        "search": arms.heard(
            "search",
            lambda: searched(found_settings(arms.hall, given.work / "search", given.quick)),
        ),
        "oracle": arms.heard("oracle", lambda: told(can)),
    }
    return start, after(arms, "end", models), others


def after(arms: Arms, name: str, models: Sequence[Path]) -> list[list[list[Heard]]]:
    """Return what was heard of the policies that one way to train has made, by seed."""
    can = arms.hall.engine.capabilities
    return [
        arms.heard(f"{name}{seed}", lambda model=model: policy(model, can))
        for seed, model in enumerate(models)
    ]


def _known() -> Arm:
    raise LookupError("heard before")


if __name__ == "__main__":
    main()
