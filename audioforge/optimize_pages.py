"""What `audioforge optimize` shows of a search: tables, JSON, a plot and presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from audioforge.data.presets import Preset
from audioforge.rollouts.optimize import PRESET_FIELDS
from audioforge.rollouts.recommend import ACCEPTABLE, interval
from audioforge.utils.parameter_optimizer import Setting, Tried, front

if TYPE_CHECKING:
    from audioforge.rollouts.optimize import OptimizeConfig, Optimized

_WHY = {
    "draft": f"the cheapest with {ACCEPTABLE:.0%} of the best reward",
    "balanced": "the knee: more steps buy less from here on",
    "quality": "the best",
}


def front_table(found: Optimized) -> Table:
    """Return the front of the candidates, with 95 % bootstrap intervals."""
    pruned = sum(bool(one.pruned) for one in found.tried)
    title = f"{found.category}: the front of {len(found.tried)} settings, {pruned} given up early"
    table = Table("setting", "cost", "reward", "95 %", title=title, title_justify="left")
    for point in front(found.choice):
        table.add_row(words(point.setting), *_figures(point))
    return table


def verdict_table(found: Optimized) -> Table:
    """Return what is recommended and what was before, on clips that chose neither."""
    clips = max((len(one.outcome.rewards) for one in found.recommended.values()), default=0)
    title = f"{found.category}: recommended, on {clips} clips of fresh seeds"
    table = Table("", "setting", "cost", "reward", "95 %", title=title, title_justify="left")
    for kind, named in (("", found.recommended), (" before", found.before)):
        for name, point in named.items():
            table.add_row(name + kind, words(point.setting), *_figures(point))
    return table


def words(setting: Setting) -> str:
    """Say a setting in one line."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in setting.items()
    )


def told(found: Optimized, config: OptimizeConfig) -> dict[str, Any]:
    """Return all of it as plain types."""
    return {
        "category": found.category,
        "model": found.model,
        "seed": config.seed,
        "trials": config.trials,
        "cost_weight": config.cost_weight,
        "recommended": {name: _told(one) for name, one in found.recommended.items()},
        "before": {name: _told(one) for name, one in found.before.items()},
        "front": [_told(one) for one in front(found.choice)],
        "candidates": [_told(one) for one in found.choice],
        "tried": [_told(one) | {"pruned": one.pruned} for one in found.tried],
    }


def presets_of(found: Optimized, config: OptimizeConfig) -> Mapping[str, Preset]:
    """Return the recommended settings as presets with their measured figures."""
    command = f"audioforge optimize --category {config.category} --trials {config.trials}"
    by = f"{command} --clips {config.clips} --seed {config.seed} --model {found.model}"
    return {
        name: Preset(
            **{field: one.setting[field] for field in PRESET_FIELDS},
            why=f"{_why(name, found)}: {one.reward:.2f} for {one.cost:.0f} model evaluations",
            reward=round(one.reward, 4),
            interval=_rounded(interval(one.outcome.rewards)),
            clips=len(one.outcome.rewards),
            measured_by=by,
        )
        for name, one in found.recommended.items()
    }


def _why(name: str, found: Optimized) -> str:
    same = found.recommended[name].setting == found.recommended["quality"].setting
    return _WHY[name] if name == "quality" or not same else "as quality: nothing between is better"


def plot(found: Optimized, path: Path) -> None:
    """Draw reward against cost: all settings, the front, what is recommended."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for kind, marker, colour in (("given up early", "x", "#bbb"), ("tried", "o", "#9ab")):
        shown = [one for one in found.tried if bool(one.pruned) == (marker == "x")]
        axis.scatter(*_xy(shown), marker=marker, color=colour, s=18, label=kind)
    line = front(found.choice)
    axis.plot(*_xy(line), marker="o", color="#2b6cb0", label="front, on new clips")
    for name, point in found.recommended.items():
        low, high = interval(point.outcome.rewards)
        errors = [[point.reward - low], [high - point.reward]]
        axis.errorbar(point.cost, point.reward, errors, fmt="s", color="#c05621", capsize=3)
        axis.annotate(name, (point.cost, point.reward), xytext=(6, 6), textcoords="offset points")
    axis.set(xscale="log", xlabel="model evaluations per clip", ylabel="reward")
    axis.set_title(f"{found.category}, {found.model}: squares are measured on fresh seeds", size=10)
    axis.legend(frameon=False)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _xy(points: Sequence[Tried]) -> tuple[list[float], list[float]]:
    return [point.cost for point in points], [point.reward for point in points]


def _figures(point: Tried) -> tuple[str, str, str]:
    low, high = interval(point.outcome.rewards)
    return f"{point.cost:.0f}", f"{point.reward:.3f}", f"{low:.3f} to {high:.3f}"


def _told(point: Tried) -> dict[str, Any]:
    return {
        "setting": dict(point.setting),
        "cost": round(point.cost, 3),
        "reward": round(point.reward, 4),
        "interval": _rounded(interval(point.outcome.rewards)),
        "clips": len(point.outcome.rewards),
    }


def _rounded(pair: tuple[float, float]) -> tuple[float, float]:
    return round(pair[0], 4), round(pair[1], 4)
