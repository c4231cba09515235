"""The words of a report: rollouts as the template shows them, numbers in the form a reader wants.

Plain values only; the template escapes them. Nothing here knows HTML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from audioforge.reward_functions.score import RewardReport
from audioforge.rollouts.record import Rollout, rollout_id

MAX_TEXT = 8_000
"""Characters of a raw answer that the page shows."""


@dataclass(frozen=True)
class Media:
    """Where the page finds a clip's sound and picture, and what the picture shows."""

    audio: str = ""
    """A data: URI or a relative address; empty when there is nothing to play."""
    audio_type: str = ""
    picture: str = ""
    caption: str = ""


@dataclass(frozen=True)
class PartView:
    """One part of the reward."""

    name: str
    value: float | None
    figure: str
    weight: str
    reason: str


@dataclass(frozen=True)
class RolloutView:
    """One rollout, ready to be shown."""

    rollout: Rollout
    rank: int
    original: str
    """Id of the rollout whose clip this one shares; empty when it has its own."""
    outcome: str
    figure: str
    """The reward, two decimals, or a dash."""
    share: float
    """The reward as a bar length in [0, 1]."""
    settings: tuple[tuple[str, str], ...]
    parts: tuple[PartView, ...]
    failed: tuple[str, ...]
    passed: tuple[str, ...]
    gates: tuple[str, ...]
    media: Media
    text: str
    facts: str


@dataclass(frozen=True)
class GroupView:
    """One target and its rollouts, best first."""

    index: int
    anchor: str
    target: Mapping[str, Any]
    asked: tuple[str, ...]
    messages: Sequence[Mapping[str, str]]
    rollouts: tuple[RolloutView, ...]
    rewards: tuple[float, ...]
    mean: str
    best: str
    timings: tuple[tuple[str, str], ...] = field(default=())


def group_view(group: Sequence[Rollout], media: Mapping[str, Media]) -> GroupView:
    """Show one group.

    Args:
        group: its rollouts.
        media: sound and picture by sha256.
    """
    first = group[0]
    ranked = sorted(group, key=lambda r: -1.0 if r.reward is None else r.reward, reverse=True)
    rewards = tuple(r.reward for r in group if r.reward is not None)
    return GroupView(
        index=first.group,
        anchor=f"g{first.group:05d}",
        target=first.target,
        asked=asked_words(first.target),
        messages=first.messages,
        rollouts=tuple(_rollout_view(r, rank, media) for rank, r in enumerate(ranked, 1)),
        rewards=rewards,
        mean=figure(sum(rewards) / len(rewards)) if rewards else "\N{EN DASH}",
        best=figure(max(rewards)) if rewards else "\N{EN DASH}",
        timings=tuple(
            (name, f"{seconds:.1f} s") for name, seconds in first.timings.items() if name != "clip"
        ),
    )


def asked_words(target: Mapping[str, Any]) -> tuple[str, ...]:
    """Say in a few words each what a target asks for, apart from its description."""
    asked = target.get("parameters", {})
    words = [f"{asked['seconds_total']:g} s"] if asked.get("seconds_total") else []
    words += [f"{asked['target_bpm']:g} BPM"] if asked.get("target_bpm") else []
    words += [
        asked[name]
        for name in ("key", "brightness", "space", "drive", "attack", "stereo")
        if asked.get(name)
    ]
    words += [
        f"{asked[name][0]:g} to {asked[name][1]:g} {unit}"
        for name, unit in (("loudness_lufs", "LUFS"), ("loudness_range_lu", "LU range"))
        if asked.get(name)
    ]
    words += [
        f"{said}{element}"
        for name, said in (("required", "with "), ("forbidden", "no "))
        for element in asked.get(name) or ()
    ]
    switches = {
        "loop": ("loop", "no loop"),
        "percussion": ("with percussion", "no percussion"),
        "sustained": ("sustained", "separate events"),
        "one_shot": ("one-shot", "several events"),
        "gapless": ("gapless", "with pauses"),
    }
    words += [
        yes if asked[name] else no
        for name, (yes, no) in switches.items()
        if asked.get(name) is not None
    ]
    return tuple(str(word) for word in words)


def figure(reward: float) -> str:
    """Return a reward with two decimals."""
    return f"{reward:.2f}"


def title_words(name: str) -> str:
    """Return "audio_quality" as "Audio quality"."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _rollout_view(rollout: Rollout, rank: int, media: Mapping[str, Media]) -> RolloutView:
    report = rollout.report
    checks = report.checks if report else ()
    shares_clip = rollout.duplicate_of is not None or rollout.clip is None
    unjudged = _unjudged(report)
    return RolloutView(
        rollout=rollout,
        rank=rank,
        original=""
        if rollout.duplicate_of is None
        else rollout_id(rollout.group, rollout.duplicate_of),
        outcome=rollout.outcome,
        figure="\N{EN DASH}" if rollout.reward is None else figure(rollout.reward),
        share=rollout.reward or 0.0,
        settings=_settings(rollout),
        parts=() if unjudged else _parts(rollout),
        failed=(*unjudged, *(check.words for check in checks if check.passed is False)),
        passed=tuple(check.words for check in checks if check.passed),
        gates=_gates(report) if report and not unjudged else (),
        media=Media()
        if shares_clip or rollout.clip is None
        else media.get(rollout.clip.sha256, Media()),
        text=_shortened(rollout.text),
        facts=_facts(rollout),
    )


def _settings(rollout: Rollout) -> tuple[tuple[str, str], ...]:
    request = rollout.request
    if request is None:
        return ()
    settings = [
        ("steps", str(request.steps)),
        ("cfg", f"{request.cfg_scale:g}"),
        ("sampler", request.sampler),
        ("length", f"{request.seconds:g} s"),
    ]
    if request.sigma_max not in (None, 1.0):
        settings.append(("sigma max", f"{request.sigma_max:g}"))
    if rollout.report is not None and rollout.cost and rollout.cost["charge"]:
        charge, total = rollout.cost["charge"], rollout.report.total
        settings.append(("charged for cost", f"{charge:.3f} of {total:.3f}"))
    return tuple(settings)


def _parts(rollout: Rollout) -> tuple[PartView, ...]:
    report = rollout.report
    if report is None:
        return ()
    return tuple(
        PartView(
            name=title_words(name),
            value=score.value if score.scored else None,
            figure=figure(score.value) if score.scored else "unscored",
            weight=f"weight {report.weights[name]:.0%}" if report.weights.get(name) else "",
            reason=score.reason,
        )
        for name, score in report.parts.items()
    )


def _gates(report: RewardReport) -> tuple[str, ...]:
    effect = (
        "shut, so the reward is 0"
        if report.total == 0
        else "half shut, which lowers the whole reward"
    )
    return tuple(f"{title_words(name)}: this gate is {effect}" for name in report.gates)


def _unjudged(report: RewardReport | None) -> tuple[str, ...]:
    """Return the one reason why no part could judge, said once instead of once per part."""
    if report is None or any(score.scored for score in report.parts.values()):
        return ()
    return tuple(dict.fromkeys(score.reason for score in report.parts.values()))


def _shortened(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}\n[{len(text) - MAX_TEXT} more characters in rollouts.jsonl]"


def _facts(rollout: Rollout) -> str:
    facts = {
        "request": rollout.request.to_json() if rollout.request else None,
        "measured": {n: dict(s.measured) for n, s in rollout.report.parts.items() if s.measured}
        if rollout.report
        else None,
        "clip": asdict(rollout.clip) if rollout.clip else None,
        "seeds": dict(rollout.seeds),
        "timings": dict(rollout.timings),
        "cost": dict(rollout.cost or {}),
        "attempt": rollout.attempt,
    }
    return json.dumps(
        {name: value for name, value in facts.items() if value}, indent=2, default=str
    )
