"""Checks: each asked field of a brief, tested on a clip and put in words.

`compile_checks` gives one check per asked field; a check it cannot make is "not checked" (nan),
never 0 and never 1. Confidence is how far the check itself can be trusted, from its measured
accuracy on unseen renders (`docs/rewards.md`); it is also the check's share of the weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from audioforge.data.brief import Brief
from audioforge.reward_functions import element_checks, form_checks
from audioforge.reward_functions.claims import CONFIDENCE, outcome, unchecked
from audioforge.reward_functions.curves import ramp, through
from audioforge.reward_functions.description import describe
from audioforge.reward_functions.families import TONES, family_model, names_for
from audioforge.reward_functions.kinds import category_score, struck_likeness
from audioforge.reward_functions.score import CheckOutcome
from audioforge.reward_functions.tempo import match_tempo
from audioforge.reward_functions.tonality import match_key
from audioforge.utils.spectral_analysis import FRAME_HZ, Features

_SHORT = "the clip is too short or too narrow"
_TONE_KNOTS = ((-0.8, 0.0), (-0.25, 0.25), (0.0, 0.5), (0.3, 0.85), (0.6, 1.0))


def compile_checks(features: Features, brief: Brief) -> tuple[CheckOutcome, ...]:
    """Check every asked field apart from the length, which technical_characteristics judges."""
    described = features.once(describe)
    asked = brief.asked()
    known = [_CHECKS[name](features, brief, described) for name in _CHECKS if name in asked]
    return (*known, *(_PLAIN[name](features, brief) for name in _PLAIN if name in asked))


def _category(features: Features, brief: Brief, description: np.ndarray | None) -> CheckOutcome:
    if description is None:
        return unchecked("category", brief.category, _SHORT)
    score, nearest = category_score(description, brief.category)
    trust = CONFIDENCE["category"] * (0.5 if brief.family else 1.0)
    words = f"asked for {brief.category}, {_heard(nearest, brief.category, score)}"
    return outcome("category", brief.category, score, words, trust)


def _heard(nearest: str, asked: str, score: float) -> str:
    if nearest == asked and score < 0.5:
        return f"like {asked} more than anything else, but not much"
    return f"nearest to {nearest}"


def _family(features: Features, brief: Brief, description: np.ndarray | None) -> CheckOutcome:
    assert brief.family is not None
    if description is None:
        return unchecked("family", brief.family, _SHORT)
    score, nearest, strangeness = family_model().resemblance(description, (brief.family,))
    strange = " and unlike any kind known" if strangeness > 3 else ""
    words = f"asked for {brief.family}, {_heard(nearest, brief.family, score)}{strange}"
    return outcome("family", brief.family, score, words)


def _tempo(features: Features, brief: Brief, description: np.ndarray | None) -> CheckOutcome:
    assert brief.bpm is not None
    match = match_tempo(features, brief.bpm)
    heard = "no clear pulse" if match.clarity < 0.3 else f"strongest pulse at {match.heard_bpm:.0f}"
    return outcome("bpm", f"{brief.bpm:g}", match.score, f"asked for {brief.bpm:g} BPM, {heard}")


def _key(features: Features, brief: Brief, description: np.ndarray | None) -> CheckOutcome:
    assert brief.key is not None
    match = match_key(features, brief.key)
    heard = "no clear pitch" if match.tonal < 0.3 else f"closest to {match.heard}"
    return outcome("key", brief.key, match.score, f"asked for {brief.key}, {heard}")


def _tone(name: str) -> Callable[[Features, Brief, np.ndarray | None], CheckOutcome]:
    def check(features: Features, brief: Brief, description: np.ndarray | None) -> CheckOutcome:
        asked = getattr(brief, name)
        if description is None:
            return unchecked(name, asked, _SHORT)
        where = family_model().tone(description, name, names_for(brief.category, brief.family))
        low, high = TONES[name]
        toward = where if asked == high else -where
        side = high if where > 0 else low
        words = f"asked for {asked}, {abs(where):.1f} towards {side} of what is usual for its kind"
        return outcome(name, asked, through(toward, _TONE_KNOTS), words)

    return check


def struck_share(features: Features) -> float:
    """Share of the onset curve in sharp, broad rises: about 0 for pads, above 0.2 for drums."""
    rise = np.maximum(features.mel_db[2:] - features.mel_db[:-2], 0)
    if len(rise) < 10:
        return 0.0
    broad = (rise > 4).mean(1)
    events = np.sort(broad)[-max(len(broad) // 12, 1) :]
    return float(events.mean())


def _percussion(features: Features, brief: Brief, description: np.ndarray | None) -> CheckOutcome:
    present = ramp(struck_share(features), 0.15, 0.5)
    if description is not None:
        alike = ramp(struck_likeness(description), -0.7, 0.3)
        present = math.sqrt(max(present, 0.05) * max(alike, 0.05))
    score = present if brief.percussion else 1 - present
    heard = "struck sounds are heard" if present >= 0.5 else "hardly any struck sound is heard"
    return outcome(
        "percussion",
        brief.percussion,
        score,
        f"asked for {'' if brief.percussion else 'no '}percussion, {heard}",
    )


def continuity(features: Features) -> float:
    """How continuous the clip is, 0 for separate short events, 1 for an unbroken texture."""
    level = np.convolve(10 ** (features.level_db / 10), np.ones(5) / 5, "valid")
    db = 10 * np.log10(np.maximum(level, level.max() * 1e-6) + 1e-12)
    loud, low = np.percentile(db, (90, 15))
    jumps = np.percentile(np.diff(db[:: FRAME_HZ // 20]), 97) if len(db) > 20 else 0.0
    return ramp(loud - low, 24, 8) * ramp(float(jumps), 9, 3)


def _sustained(features: Features, brief: Brief, description: np.ndarray | None) -> CheckOutcome:
    held = continuity(features)
    score = held if brief.sustained else 1 - held
    asked = "a continuous texture" if brief.sustained else "separate events"
    return outcome("sustained", brief.sustained, score, f"asked for {asked}, continuity {held:.2f}")


def seam_jump(features: Features) -> float:
    """Step in the spectrum across the loop point, in units of the largest steps inside the clip."""
    db = features.mel_db
    if len(db) < 60:
        return math.nan
    ends, starts = db[-8:-2].mean(0), db[2:8].mean(0)
    total = np.cumsum(db, axis=0, dtype=np.float64)
    means = (total[6:] - total[:-6]) / 6  # of frames i + 1 to i + 6
    at = np.arange(9, len(db) - 11, 2)
    inside = np.abs(means[at] - means[at - 8]).mean(1)
    return float(np.abs(starts - ends).mean() / (np.percentile(inside, 97) + 1.0))


def _loop(features: Features, brief: Brief, description: np.ndarray | None) -> CheckOutcome:
    jump = features.once(seam_jump)
    if math.isnan(jump):
        return unchecked("loop", brief.loop, _SHORT)
    tail = float(features.active[-max(len(features.active) // 12, 4) :].mean())
    seamless = ramp(jump, 2.5, 1.1) * ramp(tail, 0.2, 0.6)
    score = seamless if brief.loop else math.nan
    if not brief.loop:
        return outcome("loop", brief.loop, score, "a clip that need not loop: not checked", 0.0)
    return outcome(
        "loop",
        brief.loop,
        score,
        f"asked for a loop, the step at the seam is {jump:.1f} times the clip's own large steps",
    )


_CHECKS: dict[str, Callable[[Features, Brief, np.ndarray | None], CheckOutcome]] = {
    "category": _category,
    "family": _family,
    "bpm": _tempo,
    "key": _key,
    "loop": _loop,
    "percussion": _percussion,
    "sustained": _sustained,
} | {name: _tone(name) for name in TONES}
_PLAIN: dict[str, Callable[[Features, Brief], CheckOutcome]] = {
    "loudness_lufs": form_checks.loudness,
    "loudness_range_lu": form_checks.loudness_spread,
    "stereo": form_checks.stereo,
    "one_shot": form_checks.one_shot,
    "gapless": form_checks.gapless,
    "required": element_checks.required,
    "forbidden": element_checks.forbidden,
}
"""Checks that need no description of the clip."""
