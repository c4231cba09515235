"""Does a language model learn here? GRPO through the real Atropos API, judged on held-out targets.

    python benchmarks/learning.py [--quick] [--seeds 3] [--ablations settings,masked] [--out FILE]

Each seed trains the shipped policy on the teacher synthesiser (`learning_runs.py`). All arms answer
the same held-out targets (half curated, half procedural) through the diffusion model, with the same
clip seeds: the policy before and after; its prompts with recommended settings, and its settings
with baseline prompts; random actions; the targets' baseline prompts with recommended settings, with
the curated presets and with settings found by `audioforge optimize`'s search on training targets;
and an oracle that says all that is asked. `--ablations` trains every seed in other ways too: only
settings on the diffusion model, with and without a charge for steps; words with settings held;
other groups. Nothing is charged here. Intervals are 95 % bootstraps over targets and seeds. The
judge hears what no reward part measures; `alarm` is true when the reward rises and the judge falls.
Everything is kept in `--work`: the same command goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import Benchmark
from learning_arms import Arm, at_random, baseline, held_out, policy, preset, searched, told
from learning_measures import Hall, Heard
from learning_page import write_page
from learning_plot import plot
from learning_runs import ABLATIONS, REWARDS, WORDS, wall

from audioforge.data.families import CATEGORIES
from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.rollouts.action import Decides
from audioforge.rollouts.optimize import OptimizeConfig, optimize

MODEL = "tiny-stable-audio"
BOOTSTRAPS = 4_000
QUICK = {"seeds": 1, "steps": 1, "batch": 8, "group": 4, "targets": 4, "answers": 1}


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


def values(heard: Sequence[Sequence[Heard]], name: str) -> np.ndarray:
    """Return the mean of one measure per target; nan where it does not apply."""
    rows = [
        [float(v) for one in row if (v := getattr(one, name)) is not None] or [np.nan]
        for row in heard
    ]
    return np.array([np.mean(row) for row in rows])


def interval(rows: np.ndarray) -> list[float]:
    """Return the 95 % bootstrap interval of a mean; rows [seeds, targets], both drawn anew."""
    rng, (seeds, count) = np.random.default_rng(0), rows.shape
    means = [
        np.nanmean(rows[rng.integers(seeds, size=seeds)][:, rng.integers(count, size=count)])
        for _ in range(BOOTSTRAPS)
    ]
    return [float(edge) for edge in np.percentile(means, (2.5, 97.5))]


def summary(heard: Sequence[Sequence[Heard]]) -> dict[str, Any]:
    """Return what one arm did, in figures."""
    every = [one for row in heard for one in row]
    made = [one for one in every if one.steps is not None]

    def mean(name: str) -> float | None:
        told = [float(v) for one in every if (v := getattr(one, name)) is not None]
        return float(np.mean(told)) if told else None

    def middle(name: str) -> float | None:
        told = [float(v) for one in made if (v := getattr(one, name)) is not None]
        return float(np.median(told)) if told else None

    samplers = sorted({str(one.sampler) for one in made})
    return {
        "reward": mean("reward"),
        "reward_ci": interval(values(heard, "reward")[None]),
        "judge": mean("judge"),
        "parse_rate": len(made) / len(every),
        "names_family": mean("names_family"),
        "names_tempo": mean("names_tempo"),
        "steps_p50": middle("steps"),
        "cfg_p50": middle("cfg_scale"),
        "samplers": {name: sum(one.sampler == name for one in made) for name in samplers},
    }


def main() -> None:
    """Train, judge and report."""
    benchmark = Benchmark(__doc__)
    add = benchmark.parser.add_argument
    add("--seeds", type=int, default=3)
    add("--steps", type=int, default=WORDS.steps)
    add("--group", type=int, default=WORDS.group, help="answers to one target")
    add("--batch", type=int, default=WORDS.batch, help="answers of one step")
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
    main_course = replace(WORDS, steps=given.steps, group=given.group, batch=given.batch)
    courses = [main_course, *(ABLATIONS[name] for name in given.ablations.split(",") if name)]
    models = {
        course.name: [course.train(given.work, seed) for seed in range(given.seeds)]
        for course in courses
    }
    hall = Hall(MODEL, REWARDS, 200 if given.quick else 1_200)
    arms = Arms(hall, held_out(given.targets), given.answers, given.work / "arms")
    runs = {
        course.name: [course.curve(given.work, seed) for seed in range(given.seeds)]
        for course in courses
    }
    heard = all_heard(arms, models.pop(WORDS.name), given)
    heard[2].update((name, over_seeds(arms, name, found)) for name, found in models.items())
    numbers = compared(*heard) | {
        "train_seeds": given.seeds,
        "steps": {course.name: course.steps for course in courses},
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
    ends = [
        arms.heard(f"end{seed}", lambda model=model: policy(model, can))
        for seed, model in enumerate(models)
    ]
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
    return start, ends, others


def over_seeds(arms: Arms, name: str, models: Sequence[Path]) -> list[list[Heard]]:
    """Return what was heard of an ablation, the answers of all seeds to each target together."""
    can = arms.hall.engine.capabilities
    heard = [
        arms.heard(f"{name}{seed}", lambda model=model: policy(model, can))
        for seed, model in enumerate(models)
    ]
    return [[one for row in rows for one in row] for rows in zip(*heard, strict=True)]


def _known() -> Arm:
    raise LookupError("heard before")


def compared(
    start: Sequence[Sequence[Heard]],
    ends: Sequence[Sequence[Sequence[Heard]]],
    others: dict[str, list[list[Heard]]],
) -> dict[str, Any]:
    """Return before against after, and after against the other arms, paired by target."""

    def rows(name: str) -> np.ndarray:
        return np.stack([values(end, name) for end in ends])

    def gain(name: str, over: Sequence[Sequence[Heard]]) -> np.ndarray:
        return rows(name) - values(over, name)[None]

    reward, judged = gain("reward", start), gain("judge", start)
    rise, judge_rise = float(np.nanmean(reward)), float(np.nanmean(judged))
    return {
        "start": float(np.mean(values(start, "reward"))),
        "end": float(np.mean(rows("reward"))),
        "end_ci": interval(rows("reward")),
        "gain": rise,
        "gain_ci": interval(reward),
        "gain_by_seed": [float(np.mean(row)) for row in reward],
        **{name: float(np.mean(values(heard, "reward"))) for name, heard in others.items()},
        "gain_over": {
            name: {
                "gain": float(np.nanmean(gain("reward", heard))),
                "ci": interval(gain("reward", heard)),
            }
            for name, heard in others.items()
        },
        "judge_start": float(np.nanmean(values(start, "judge"))),
        "judge_end": float(np.nanmean(rows("judge"))),
        "judge_gain_ci": interval(judged),
        "alarm": rise > 0 > judge_rise,
        "arms": {
            "start": summary(start),
            **{f"end{seed}": summary(end) for seed, end in enumerate(ends)},
            **{name: summary(heard) for name, heard in others.items()},
        },
    }


if __name__ == "__main__":
    main()
