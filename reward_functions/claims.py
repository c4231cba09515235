"""Claims: how a check tells what was asked and what was heard, and how far each can be trusted."""

from __future__ import annotations

import math

from audioforge.reward_functions.score import CheckOutcome

CONFIDENCE = {
    "category": 0.7, "family": 1.0, "bpm": 0.9, "key": 0.35, "loop": 0.4, "brightness": 0.6,
    "space": 0.4, "drive": 0.4, "attack": 0.3, "percussion": 0.6, "sustained": 0.6,
    "loudness_lufs": 0.9, "loudness_range_lu": 0.8, "stereo": 0.8, "one_shot": 0.5, "gapless": 0.7,
    "required": 0.4, "forbidden": 0.4,
}  # fmt: skip
"""Trust in each check; category is a fallback for family and weighs less."""


def outcome(
    name: str, asked: object, score: float, words: str, confidence: float | None = None
) -> CheckOutcome:
    """Return the outcome of a check, with its usual confidence if none is given."""
    trust = CONFIDENCE[name] if confidence is None else confidence
    return CheckOutcome(name, str(asked), float(score), float(trust), words)


def unchecked(name: str, asked: object, why: str) -> CheckOutcome:
    """Return "not checked": neither passed nor failed, without weight."""
    return outcome(name, asked, math.nan, f"{name} {asked}: not checked, {why}", 0.0)
