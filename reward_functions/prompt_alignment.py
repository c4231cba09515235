"""Prompt alignment: does the clip do what the brief asked? The policy's own prompt is never read.

Every asked field is compiled to a check (`checks.py`); the value is their geometric mean, weighted
by confidence. Claims that cannot be checked are counted and shown, and weigh nothing.

Range:   [0, 1]
Unscored: no brief, or none of its claims can be checked on this clip.
Source:  `docs/rewards.md` gives each check's measured accuracy.
Blind to: free words that are no brief field; moods; instruments outside the known families.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from audioforge.data.brief import Brief
from audioforge.reward_functions.checks import compile_checks
from audioforge.reward_functions.curves import geometric_mean
from audioforge.reward_functions.score import CheckOutcome, Score, unscored
from audioforge.utils.spectral_analysis import Features

_FLOOR = 0.04
"""A failed check sinks the value without erasing what the others say, so that there is a slope to
climb."""


def score(features: Features, brief: Brief | None) -> Score:
    """Check a clip against a brief and join the outcomes."""
    if brief is None:
        return unscored("no brief to judge against")
    return join(compile_checks(features, brief))


def join(checks: Sequence[CheckOutcome]) -> Score:
    """Join check outcomes into one score."""
    judged = [c for c in checks if not math.isnan(c.score) and c.confidence > 0]
    counts = {"checked": float(len(judged)), "not_checked": float(len(checks) - len(judged))}
    if not judged:
        return unscored("nothing in the brief can be checked on this clip", counts)
    value = geometric_mean((max(c.score, _FLOOR), c.confidence) for c in judged)
    failed = [c.words for c in judged if c.score < 0.5]
    skipped = f" ({int(counts['not_checked'])} not checked)" if counts["not_checked"] else ""
    return Score(
        value, ("; ".join(failed[:3]) or f"all {len(judged)} checks passed") + skipped, counts
    )
