"""Trial: put any scorer before the red team's inputs and compare it with the marks.

A scorer is a function of samples, float32 [channels, time] at full scale 1, and a sample rate in
Hz, that returns a number, higher for better; `ours` is one. If it takes a keyword `references` it
is given a list of (samples, sample_rate) pairs where the list says that a clip is judged as a copy.
The numbered marks 0.05 and 0.25 suppose a scale from 0 to 1.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from audioforge.reward_functions.redteam_extra import HARMLESS
from audioforge.reward_functions.redteam_inputs import BELOW_P25, MARKS, Bases, Input, bases
from audioforge.reward_functions.scoring import score
from audioforge.utils.audio_processing import Audio

Scorer = Callable[..., float]
NEAR = 0.05
"""How far a harmless copy may lie from its original."""


def ours(
    samples: np.ndarray, sample_rate: int, references: Sequence[tuple[np.ndarray, int]] = ()
) -> float:
    """Score a clip with the combined reward, without a brief.

    Args:
        samples: float32 [channels, time], full scale 1.
        sample_rate: in Hz, 8 000 to 192 000.
        references: the style set as (samples, sample_rate) pairs.
    """
    known = [Audio(*reference) for reference in references]
    return score(Audio(samples, sample_rate), None, known).total


def load(name: str) -> Scorer:
    """Import a scorer by "module:function".

    Raises:
        ValueError: the name has no such form, or there is no such function.
    """
    module, _, function = name.partition(":")
    if not function:
        raise ValueError(f"scorer must be module:function, got {name!r}")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"scorer {name!r} cannot be imported: {error}") from error
    if not callable(found):
        raise ValueError(f"scorer {name!r} must be a function, got {type(found).__name__}")
    return cast(Scorer, found)


@dataclass
class Judge:
    """A scorer whose failures are counted, and do not end the trial."""

    scorer: Scorer
    exceptions: int = 0
    nonfinite: int = 0
    last_error: str = ""
    takes_references: bool = field(init=False)

    def __post_init__(self) -> None:
        self.takes_references = "references" in inspect.signature(self.scorer).parameters

    def __call__(self, clip: Audio, references: Sequence[Audio] = ()) -> float:
        """Return the score, or nan where the scorer raised or gave no finite number."""
        given: dict[str, Any] = {}
        if references and self.takes_references:
            given["references"] = [(r.samples, r.sample_rate) for r in references]
        try:
            value = float(self.scorer(clip.samples, clip.sample_rate, **given))
        except Exception as error:  # noqa: BLE001 - any error of a foreign scorer is a finding
            self.exceptions += 1
            self.last_error = f"{type(error).__name__}: {error}"
            return math.nan
        self.nonfinite += not math.isfinite(value)
        return value if math.isfinite(value) else math.nan


@dataclass(frozen=True)
class Field:
    """Real music and what a scorer gives it."""

    clips: Sequence[Audio]
    scores: Sequence[float]

    @property
    def lower_quarter(self) -> float:
        """The 25th percentile."""
        return float(np.percentile(self.scores, 25))

    @property
    def median(self) -> float:
        """The median."""
        return float(np.median(self.scores))

    def chosen(self, count: int) -> list[int]:
        """Return clips to alter: first the best that is NEAR under the median, then from all ranks.

        A harmless copy may lie NEAR its original, so that the best of all inputs can be held
        against the median only when they were made from a clip that much below it.
        """
        order = np.argsort(self.scores, kind="stable")[::-1]
        under = [int(i) for i in order if self.scores[i] <= self.median - NEAR]
        first = under[0] if under else int(order[-1])
        ranks = np.linspace(0, len(order) - 1, max(count - 1, 0)).round().astype(int)
        return list(dict.fromkeys([first, *(int(order[rank]) for rank in ranks)]))


@dataclass(frozen=True)
class Result:
    """One input, on every base clip."""

    input: Input
    scores: tuple[float, ...]
    """Per base clip, nan where there is none; a made sound has one."""
    passes: tuple[bool, ...]

    @property
    def passed(self) -> bool:
        """Whether the mark is met on every base."""
        return all(self.passes)

    @property
    def worst(self) -> float:
        """The highest score, nan where any is missing."""
        return float(np.max(self.scores))


def compare(judge: Judge, known: Field, inputs: Sequence[Input], count: int) -> Iterator[Result]:
    """Score inputs on `count` base clips and compare them with their marks, one by one."""
    chosen = known.chosen(count)
    for each in inputs:
        rows = []
        for index in chosen if each.altered else chosen[:1]:
            made_from = bases(known.clips, index)
            references = _style_set(known, index, made_from) if each.copies else ()
            found = [judge(clip, references) for clip in each.make(made_from)]
            rows.append((float(np.max(found)), known.scores[index]))
        yield Result(
            each,
            tuple(value for value, _ in rows),
            tuple(meets(each, value, original, known) for value, original in rows),
        )


def meets(each: Input, value: float, original: float, known: Field) -> bool:
    """Say whether a score meets the mark of an input.

    Args:
        each: the input.
        value: its score.
        original: the score of the clip it was made from.
        known: real music.
    """
    if math.isnan(value):
        return False
    if each.mark == HARMLESS:
        return abs(value - original) <= NEAR
    if each.mark == BELOW_P25:
        return value < known.lower_quarter
    return value <= MARKS.get(each.mark, max(known.median, original + NEAR))


def _style_set(known: Field, index: int, made_from: Bases) -> list[Audio]:
    """Return the clip that is copied and up to three other pieces."""
    count = len(known.clips)
    others = {(index + step) % count for step in (5, 11, 17)} - {index}
    return [made_from.clip, *(bases(known.clips, other).clip for other in sorted(others))]
