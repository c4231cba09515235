"""What more steps buy: reward against cost for 1 to 50 steps at fixed prompts.

    python benchmarks/pareto.py [--quick] [--out FILE] [--plot FILE]

The prompts are the baseline prompts of train targets of all categories; every setting meets the
same prompts and seeds, with the recommended sampler. Cost is model evaluations a clip: one a step,
two with guidance.

- reward: {guidance: {steps: mean reward}}; interval: the same with 95 % bootstrap intervals.
- paired: {guidance: {steps: [mean, low, high]}} of the reward of 8 steps minus that of other steps,
  clip by clip.
- best_steps, best_cfg: {weight: steps or guidance} of the highest reward after a charge of
  `--env.cost_steps weight`.
- front: the settings that no other beats at no more evaluations, cheapest first, as
  [guidance, steps, evaluations, reward].
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _common import Benchmark
from rich.progress import track

from audioforge.generation.engine_settings import EngineSettings
from audioforge.generation.registry import load_engine
from audioforge.reward_functions import CombinedReward
from audioforge.rollouts.measure import Measure
from audioforge.rollouts.pool import target_pool
from audioforge.rollouts.recommend import charged_reward, interval
from audioforge.utils.parameter_optimizer import Job, Tried, front

MODEL = "tiny-stable-audio"
STEPS = (1, 2, 4, 8, 16, 32, 50)
GUIDANCE = (1.0, 3.0)
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.5)
"""Of `--env.cost_steps`."""
USUAL = 8
"""Steps that all others are compared with."""


def measured(steps: tuple[int, ...], clips: int) -> list[Tried]:
    """Measure every setting on the first `clips` train targets, dealt over the categories."""
    engine = load_engine(MODEL, "cpu", settings=EngineSettings(cache_mb=0))
    measure = Measure(engine, CombinedReward(), target_pool("", "train", "", 0)[:clips])
    settings = [{"steps": n, "cfg_scale": cfg} for cfg in GUIDANCE for n in steps]
    found = [
        Tried(setting, measure([Job(setting, 0, clips)])[0]) for setting in track(settings, "steps")
    ]
    engine.stop()
    return found


def by_guidance(found: list[Tried], figure: Any) -> dict[str, dict[str, Any]]:
    """Return {guidance: {steps: figure of that setting}}."""
    return {
        f"{cfg:g}": {
            str(one.setting["steps"]): figure(one)
            for one in found
            if one.setting["cfg_scale"] == cfg
        }
        for cfg in GUIDANCE
    }


def against_usual(one: Tried, found: list[Tried]) -> tuple[float, float, float]:
    """Return how much better USUAL steps with the same guidance are, and the interval."""
    same = {"steps": USUAL, "cfg_scale": one.setting["cfg_scale"]}
    usual = next(other for other in found if other.setting == same)
    gaps = np.subtract(usual.outcome.rewards, one.outcome.rewards)
    return float(gaps.mean()), *interval(gaps.tolist())


def best(found: list[Tried], weight: float) -> Mapping[str, Any]:
    """Return the setting of the highest reward after the charge for steps."""
    return max(found, key=lambda one: charged_reward(one, weight)).setting


def plot(numbers: Mapping[str, Any], path: Path) -> None:
    """Draw reward against evaluations, one line per guidance, and the front."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for guidance, curve in numbers["reward"].items():
        rows = 1 if float(guidance) == 1 else 2
        x, y = [rows * int(steps) for steps in curve], list(curve.values())
        low, high = np.transpose(list(numbers["interval"][guidance].values()))
        axis.plot(x, y, marker="o", label=f"cfg {guidance}")
        axis.fill_between(x, low, high, alpha=0.12)
    cost, reward = zip(*[point[2:] for point in numbers["front"]], strict=True)
    axis.plot(cost, reward, color="#333", linestyle=":", label="front")
    axis.set(xscale="log", xlabel="model evaluations per clip", ylabel="reward")
    axis.set_xticks([1, 2, 4, 8, 16, 32, 64, 100], ["1", "2", "4", "8", "16", "32", "64", "100"])
    axis.minorticks_off()
    axis.set_title(f"{MODEL}: {numbers['clips']} clips a point, 95 % intervals", size=10)
    axis.legend(frameon=False)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure and print."""
    benchmark = Benchmark(__doc__)
    benchmark.parser.add_argument("--plot", type=Path, help="draw the curves to this picture")
    options = benchmark.options()
    steps, clips = ((1, 4, 8), 5) if options.quick else (STEPS, 15)
    found = measured(steps, clips)
    points = [(one.setting["cfg_scale"], one.setting["steps"], one) for one in front(found)]
    numbers = {
        "clips": clips,
        "reward": by_guidance(found, lambda one: one.reward),
        "interval": by_guidance(found, lambda one: interval(one.outcome.rewards)),
        "paired": by_guidance(found, lambda one: against_usual(one, found)),
        "best_steps": {f"{weight:g}": best(found, weight)["steps"] for weight in WEIGHTS},
        "best_cfg": {f"{weight:g}": best(found, weight)["cfg_scale"] for weight in WEIGHTS},
        "front": [[cfg, n, one.cost, one.reward] for cfg, n, one in points],
    }
    if options.plot:
        plot(numbers, options.plot)
    benchmark.finish(numbers)


if __name__ == "__main__":
    main()
