"""Config of the combined reward: the weight of each part, and what differs by category."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audioforge.reward_functions.plugins import PluginSpec

PARTS = (
    "audio_quality",
    "prompt_alignment",
    "style_consistency",
    "technical_characteristics",
    "creativity",
)


def _category_weights() -> dict[str, dict[str, float]]:
    return {
        "drums": {"technical_characteristics": 0.8},
        "sfx": {"creativity": 0.4, "style_consistency": 0.4},
        "ambient": {"audio_quality": 1.2, "style_consistency": 0.7},
        "phrases": {"prompt_alignment": 1.8},
    }


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the parts; they are scaled to sum to 1 over the parts that could judge."""

    weights: Mapping[str, float] = field(
        default_factory=lambda: {
            "audio_quality": 1.0,
            "prompt_alignment": 2.0,
            "style_consistency": 0.5,
            "technical_characteristics": 0.6,
            "creativity": 0.25,
        }
    )
    by_category: Mapping[str, Mapping[str, float]] = field(default_factory=_category_weights)
    """Per category, the weights that differ."""
    plugins: Mapping[str, PluginSpec] = field(default_factory=dict)
    """Learned judges by name, see `plugins.py`; none unless asked for."""

    def __post_init__(self) -> None:
        for name, weight in [
            *self.weights.items(),
            *(pair for differ in self.by_category.values() for pair in differ.items()),
        ]:
            if name not in PARTS:
                raise ValueError(f"no reward named {name!r}; have {sorted(PARTS)}")
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"weight of {name} must be 0 or more, got {weight}")
        if not any(self.weights.values()):
            raise ValueError("at least one reward needs a weight above 0, got none")

    @classmethod
    def load(cls, path: str | Path) -> RewardConfig:
        """Read a YAML file that holds only differences, such as configs/rewards.yaml.

        Raises:
            ValueError: an unknown key, reward or a negative weight.
        """
        import yaml

        stored: dict[str, Any] = yaml.safe_load(Path(path).read_text()) or {}
        unknown = set(stored) - {"weights", "by_category", "plugins"}
        if unknown:
            raise ValueError(
                f"{path}: keys must be weights, by_category or plugins, got {sorted(unknown)}"
            )
        base = cls()
        by_category = {
            **base.by_category,
            **{
                c: {**base.by_category.get(c, {}), **w}
                for c, w in (stored.get("by_category") or {}).items()
            },
        }
        plugins = {n: _plugin(n, told) for n, told in (stored.get("plugins") or {}).items()}
        return cls({**base.weights, **(stored.get("weights") or {})}, by_category, plugins)

    def weights_for(self, category: str | None) -> dict[str, float]:
        """Return the weights of all parts for one category, not yet scaled."""
        return {
            **dict.fromkeys(PARTS, 0.0),
            **self.weights,
            **self.by_category.get(category or "", {}),
        }


def _plugin(name: str, told: object) -> PluginSpec:
    if not (isinstance(told, dict) and "source" in told and set(told) <= {"source", "weight"}):
        raise ValueError(f"plug-in {name} takes source and weight, got {told!r}")
    return PluginSpec(**told)
