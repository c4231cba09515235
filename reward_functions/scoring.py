"""Scoring: judge one clip, whatever it comes as, with or without a brief."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audioforge.data.brief import Brief
from audioforge.data.free_words import Meaning
from audioforge.data.wording import read_text
from audioforge.reward_functions.combined_reward import CombinedReward
from audioforge.reward_functions.config import RewardConfig
from audioforge.reward_functions.score import CheckOutcome, RewardReport
from audioforge.utils.audio_processing import MAX_CHANNELS, Audio, read_audio

if TYPE_CHECKING:
    from torch import Tensor


def as_audio(sound: Audio | np.ndarray | Tensor | str | Path, sample_rate: int = 44_100) -> Audio:
    """Turn an array, tensor, path or Audio into Audio.

    Args:
        sound: [time] or [channels, time] floats (full scale 1) or integers (full scale by their
            type); a path is decoded; [time, channels] is turned when the first axis is the longer
            one.
        sample_rate: of arrays and tensors, in Hz.

    Raises:
        ValueError: another shape, not real numbers, or a file that cannot be read.
    """
    if isinstance(sound, Audio):
        return sound
    if isinstance(sound, (str, Path)):
        return read_audio(sound)
    array = _as_array(sound)
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise ValueError(f"sound must be [time] or [channels, time], got shape {array.shape}")
    if array.shape[0] > MAX_CHANNELS >= array.shape[1] > 0:
        array = array.T
    return Audio(_full_scale(array), sample_rate)


def _as_array(sound: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(sound, np.ndarray):
        return sound
    if hasattr(sound, "detach"):
        tensor = sound.detach().cpu()
        # numpy has no bfloat16
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return np.asarray(sound)


def _full_scale(array: np.ndarray) -> np.ndarray:
    """Return floats with full scale 1; unsigned integers are silent at the middle of their range.

    Raises:
        ValueError: the array holds something else than real numbers.
    """
    kind = array.dtype.kind
    if kind not in "iuf":
        raise ValueError(f"sound must hold real numbers, got {array.dtype}")
    if kind == "f":
        return array
    half = 2.0 ** (8 * array.dtype.itemsize - 1)
    return array / half - (1.0 if kind == "u" else 0.0)


def score(
    sound: Audio | np.ndarray | Tensor | str | Path,
    brief: Brief | str | None = None,
    references: Sequence[Audio | np.ndarray | str | Path] = (),
    *,
    sample_rate: int = 44_100,
    config: RewardConfig | None = None,
    meaning: Meaning | None = None,
) -> RewardReport:
    """Judge one clip, with or without a brief.

    Args:
        sound: Audio, path, numpy array or torch tensor.
        brief: a Brief, free text that is read by rule ("techno drum loop, 128 bpm"), or None. Text
            in which no kind of sound is recognised is judged without a brief.
        references: the style set.
        sample_rate: of arrays and tensors, in Hz.
        config: other weights.
        meaning: puts words of a text that no rule knows on ones that a rule knows, such as
            `data.word_meaning.NearestWord()`; none unless given.

    What a text says that no check can hear is among the report's checks as "not checked".
    """
    audio = as_audio(sound, sample_rate)
    known = [as_audio(reference, sample_rate) for reference in references]
    compiled = as_brief(brief, audio.seconds, meaning)
    (report,) = CombinedReward(config).judge([audio], compiled, references=known)
    return with_unchecked(report, brief) if compiled is not None else report


def as_brief(
    brief: Brief | str | None, seconds: float, meaning: Meaning | None = None
) -> Brief | None:
    """Compile free text to a Brief, `seconds` long unless it says so; None if it names no sound."""
    if not isinstance(brief, str):
        return brief
    fields: dict[str, Any] = dict(read_text(brief, meaning).fields)
    if "category" not in fields:
        return None
    return Brief(**{"seconds": min(max(seconds, 0.1), 190.0), **fields})


def with_unchecked(report: RewardReport, brief: Brief | str | None) -> RewardReport:
    """Add to a report, as not checked, what a text says that no check can hear."""
    if not isinstance(brief, str):
        return report
    claims = (
        CheckOutcome("word", claim, math.nan, 0.0, f"{claim}: not checked, nothing here hears it")
        for claim in read_text(brief).unchecked
    )
    return replace(report, checks=(*report.checks, *claims))
