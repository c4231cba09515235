"""Form checks: loudness and its range, stereo, one-shot or many events, pauses.

Range:   [0, 1] each, or "not checked" where the clip cannot tell.
Source:  loudness after ITU-R BS.1770-4, its range after EBU Tech 3342; the rest are own rules, for
         what they reach on real clips see `docs/rewards.md`.
Blind to: one-shots of several strokes (a flam, a strum), pauses filled with room noise.
"""

from __future__ import annotations

import math

import numpy as np

from audioforge.data.brief import Brief
from audioforge.reward_functions.claims import outcome, unchecked
from audioforge.reward_functions.curves import plateau, ramp
from audioforge.reward_functions.score import CheckOutcome
from audioforge.utils.loudness import loudness_range
from audioforge.utils.spectral_analysis import FRAME_HZ, Features

_LOUDNESS_SLACK, _RANGE_SLACK = 6.0, 4.0
"""How far beyond a window the last credit lies, in LU."""
_AGAIN_DB, _NEAR_DB = 8.0, 30.0
_SILENT_DB = -45.0


def loudness(features: Features, brief: Brief) -> CheckOutcome:
    """Check the integrated loudness against the asked window."""
    assert brief.loudness_lufs is not None
    return _window("loudness_lufs", features.lufs, brief.loudness_lufs, _LOUDNESS_SLACK, "LUFS")


def loudness_spread(features: Features, brief: Brief) -> CheckOutcome:
    """Check the loudness range against the asked window; clips under 3 s have none."""
    assert brief.loudness_range_lu is not None
    heard = loudness_range(*features.hop_energy, features.rate)
    if math.isnan(heard):
        return unchecked("loudness_range_lu", brief.loudness_range_lu, "the clip is under 3 s")
    return _window("loudness_range_lu", heard, brief.loudness_range_lu, _RANGE_SLACK, "LU")


def _window(
    name: str, heard: float, asked: tuple[float, float], slack: float, unit: str
) -> CheckOutcome:
    low, high = asked
    words = f"asked for {low:g} to {high:g} {unit}, heard {heard:.1f}"
    return outcome(name, f"{low:g} to {high:g}", plateau(heard, low, high, slack), words)


def stereo(features: Features, brief: Brief) -> CheckOutcome:
    """Check the width; what is wide must still be there in mono."""
    asked, share = brief.stereo, features.side_share
    if asked != "mono" and features.side is None:
        return unchecked("stereo", asked, "the clip has one channel")
    score = {
        "mono": ramp(share, 0.02, 0.001),
        "narrow": ramp(share, 0.14, 0.06) * ramp(share, 1e-5, 1e-3),
        "wide": ramp(share, 0.06, 0.14) * ramp(share, 0.75, 0.5),
    }[asked or "mono"]
    words = f"asked for {asked}, {100 * share:.1f} % of the energy is in the sides"
    return outcome("stereo", asked, score, words)


def events(features: Features) -> int:
    """Count rises of the level by 8 dB to within 30 dB of its peak, with falls of 8 dB between."""
    power = np.convolve(10 ** (features.level_db / 10), np.ones(5) / 5, "valid")
    level = 10 * np.log10(power + 1e-12)[:: FRAME_HZ // 50]
    audible = level.max() - _NEAR_DB
    count, rising, turn = 0, False, -math.inf
    for value in level:
        turn = max(turn, value) if rising else min(turn, value)
        if rising and value < turn - _AGAIN_DB:
            rising, turn = False, value
        elif not rising and value > max(turn + _AGAIN_DB, audible):
            count, rising, turn = count + 1, True, value
    return count


def one_shot(features: Features, brief: Brief) -> CheckOutcome:
    """Check for one event that dies away, or for several."""
    if len(features.level_db) < FRAME_HZ // 4:
        return unchecked("one_shot", brief.one_shot, "the clip is too short")
    count = events(features)
    fall = float(features.level_db.max() - features.level_db[-8:].mean())
    single = ramp(count, 3.5, 1.5) * ramp(fall, 6, 20)
    heard = f"{count} events are heard, the end lies {fall:.0f} dB down"
    asked = "one event that dies away" if brief.one_shot else "more than one event"
    score = single if brief.one_shot else 1 - single
    return outcome("one_shot", brief.one_shot, score, f"asked for {asked}, {heard}")


def pauses(features: Features) -> tuple[float, float]:
    """Return the longest silence inside the clip and the longer of those at its ends, in s.

    Silent is 45 dB under the loudest frame.
    """
    sounding = np.flatnonzero(features.level_db > features.level_db.max() + _SILENT_DB)
    if not sounding.size:
        return 0.0, features.seconds
    inside = float(np.diff(sounding).max(initial=1) - 1)
    ends = float(max(sounding[0], len(features.level_db) - 1 - sounding[-1]))
    return inside / FRAME_HZ, ends / FRAME_HZ


def gapless(features: Features, brief: Brief) -> CheckOutcome:
    """Check that sound fills the clip from begin to end, or that there are pauses."""
    inside, ends = features.once(pauses)
    if brief.gapless:
        score, asked = ramp(max(inside, ends), 0.6, 0.15), "sound from begin to end"
    else:
        score, asked = ramp(inside, 0.05, 0.25), "pauses"
    words = f"asked for {asked}, longest pause {inside:.2f} s, silence at an end {ends:.2f} s"
    return outcome("gapless", brief.gapless, score, words)
