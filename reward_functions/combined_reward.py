"""Combined reward: gates first, then a weighted geometric mean of the parts that could judge.

One zero sinks the total, no part can buy another, and raising a part never lowers the total. A part
that cannot judge is left out, its weight spread over the others, and it stays in the report as
unscored.

Range:   [0, 1]; 0 when a gate is shut. Under 0.1, where a clip is ruined, totals fall off with the
         square: what else is wrong with it hardly counts. 0.9 and more: no fault and every check
         passed; around 0.5: as damaged as one real clip in ten, or a check failed.
Source:  constraints with ceilings instead of sums: 2310.04373; see `docs/rewards.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from audioforge.data.brief import Brief
from audioforge.reward_functions import (
    audio_quality,
    creativity,
    prompt_alignment,
    style_consistency,
    technical_characteristics,
)
from audioforge.reward_functions.batched_features import measured_in_batches, torch_device
from audioforge.reward_functions.checks import compile_checks
from audioforge.reward_functions.config import PARTS, RewardConfig
from audioforge.reward_functions.curves import geometric_mean, toe
from audioforge.reward_functions.gates import Gate, gates, music_gates
from audioforge.reward_functions.one_thread import one_thread
from audioforge.reward_functions.plugins import Plugin, load_plugin
from audioforge.reward_functions.reference_sets import known_set
from audioforge.reward_functions.score import RewardReport, Score, unscored
from audioforge.utils.audio_processing import Audio
from audioforge.utils.spectral_analysis import Features

_LISTED = 0.9
"""A gate below this is listed in the report."""
_RUINED = 0.1
"""Totals below this fall off with the square."""


class CombinedReward:
    """Judges groups of clips against one brief.

    Args:
        config: weights and plug-ins; None for the defaults.
        device: "cpu" measures clip by clip with numpy; "cuda" or "cuda:N" measures a group's clips
            in batches with torch (`batched_features.py`), the same within 1e-3 of a total. "cpu:0"
            is the batched way on the CPU, to compare.

    Raises:
        ValueError: the device is not there.
    """

    def __init__(self, config: RewardConfig | None = None, device: str = "cpu") -> None:
        self.config, self.device = config or RewardConfig(), device
        if device != "cpu":
            torch_device(device)
        self._plugins: dict[str, Plugin] | None = None

    def judge(
        self,
        audios: Sequence[Audio],
        brief: Brief | None,
        *,
        references: Sequence[Audio] = (),
        recent: Sequence[np.ndarray] = (),
        duplicates: Sequence[int] = (),
    ) -> list[RewardReport]:
        """Judge a group of clips made for one brief.

        Args:
            audios: the clips.
            brief: what was asked; None judges only what needs no brief.
            references: the style set of the target, if any.
            recent: vectors of the policy's earlier clips, from their reports.
            duplicates: per clip, the index of the first clip identical to it (its own if none);
                such clips share one report. Empty for none.

        Returns:
            One report per clip, in order. A clip's report does not depend on its group: not by a
            bit with numpy, not beyond rounding in batches.
        """
        firsts = list(duplicates) or list(range(len(audios)))
        if len(firsts) != len(audios) or any(not 0 <= first <= i for i, first in enumerate(firsts)):
            raise ValueError(
                f"duplicates must name an earlier clip or itself for each of {len(audios)} clips, "
                f"got {firsts}"
            )
        known = known_set(references) if references else None
        own = [index for index, first in enumerate(firsts) if first == index]
        with one_thread():
            judged = {
                own[place]: self._one(features, brief, known, recent)
                for place, features in self._measured([audios[index] for index in own])
            }
        reports: list[RewardReport] = []
        for index, first in enumerate(firsts):
            reports.append(reports[first] if first < index else judged[index])
        return reports

    def _measured(self, audios: Sequence[Audio]) -> Iterator[tuple[int, Features]]:
        """Yield each clip's place and features, not always in order."""
        if self.device == "cpu":
            return enumerate(map(Features, audios))
        return measured_in_batches(audios, self.device)

    def vector(self, audio: Audio) -> np.ndarray | None:
        """Return the vector a report on this clip would hold, [D], without judging it."""
        return creativity.vector(Features(audio))

    def _one(
        self,
        features: Features,
        brief: Brief | None,
        known: style_consistency.ReferenceSet | None,
        recent: Sequence[np.ndarray],
    ) -> RewardReport:
        preconditions = gates(features, brief.seconds if brief else None)
        opening = math.prod(gate.value for gate in preconditions)
        weights = self.config.weights_for(brief.category if brief else None)
        if opening == 0:
            return _shut(preconditions)
        if brief is None:
            of_music = music_gates(features)
            preconditions = (*preconditions, *of_music)
            opening *= math.prod(gate.value for gate in of_music)
        checks = compile_checks(features, brief) if brief else ()
        quality = audio_quality.score(features, brief.category if brief else None)
        vector = creativity.vector(features)
        parts = {
            "audio_quality": quality,
            "prompt_alignment": prompt_alignment.join(checks)
            if brief
            else unscored("no brief to judge against"),
            "style_consistency": style_consistency.score(features, known),
            "technical_characteristics": technical_characteristics.score(features, brief),
            "creativity": creativity.score(
                vector, recent, known.vectors if known else None, quality.value
            ),
        }
        parts |= {
            name: judge(features.audio, brief) for name, judge in self._loaded_plugins().items()
        }
        shares = self._shares(parts, weights)
        total = (
            opening * geometric_mean((parts[name].value, share) for name, share in shares.items())
            if shares
            else 0.0
        )
        return RewardReport(
            total=toe(float(min(max(total, 0.0), 1.0)), _RUINED),
            parts=parts,
            gates=tuple(gate.name for gate in preconditions if gate.value < _LISTED),
            checks=checks,
            weights=shares,
            disagreement=float(np.std([parts[name].value for name in shares])) if shares else 0.0,
            vector=vector,
        )

    def _loaded_plugins(self) -> dict[str, Plugin]:
        """Return the plug-ins, loading them when they are first needed."""
        if self._plugins is None:
            self._plugins = {n: load_plugin(n, spec) for n, spec in self.config.plugins.items()}
        return self._plugins

    def _shares(self, parts: Mapping[str, Score], weights: Mapping[str, float]) -> dict[str, float]:
        """Return the share of every scored part in the total; a plug-in's is its weight."""
        extra = {n: s.weight for n, s in self.config.plugins.items() if parts[n].scored}
        scored = {n: w for n, w in weights.items() if w > 0 and parts[n].scored}
        scale = sum(scored.values()) / (1 - sum(extra.values()))
        return {**{n: w / scale for n, w in scored.items()}, **extra} if scored else {}


def _shut(preconditions: Sequence[Gate]) -> RewardReport:
    """Report a clip that no part needs to hear: a gate is shut."""
    words = "; ".join(
        f"{gate.name}: {gate.words}" for gate in preconditions if gate.value < _LISTED
    )
    parts: dict[str, Score] = {name: unscored(f"not judged, {words}") for name in PARTS}
    return RewardReport(
        total=0.0,
        parts=parts,
        gates=tuple(gate.name for gate in preconditions if gate.value < _LISTED),
    )
