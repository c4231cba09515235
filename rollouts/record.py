"""Rollout: one answer of a policy, what became of it, and everything needed to make it again.

A rollout is one line of JSON in `rollouts.jsonl`. Its reward is a verdict in [0, 1], or None when
it was dropped: an answer that cannot be parsed is the policy's fault (0, with the reason); a
generator or scorer that failed is ours (None, with the reason). A Group holds those of one target.
"""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from audioforge.generation.request import GenerationRequest
from audioforge.reward_functions.score import CheckOutcome, RewardReport, Score
from audioforge.rollouts.action import AudioAction
from audioforge.rollouts.parser import ParseIssue
from audioforge.utils.audio_processing import Audio

if TYPE_CHECKING:
    from audioforge.data.targets import Target

SCHEMA = 1
"""Raised when a line changes in a way that old readers cannot take."""
_PACKAGES = (
    "audioforge",
    "numpy",
    "scipy",
    "soundfile",
    "torch",
    "transformers",
    "stable-audio-tools",
)


@dataclass(frozen=True)
class StoredClip:
    """Where the sound of a rollout lies."""

    sha256: str
    """Of the sound as 16-bit PCM (`utils.audio_processing.pcm16_sha256`)."""
    path: str | None
    """Relative to the run folder; None when nothing was stored."""
    seconds: float
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class Origin:
    """What made a rollout, apart from its request."""

    policy: str
    """Name of the language model."""
    model: str
    """Name of the generator."""
    weights_sha256: str
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One answer and what became of it."""

    id: str
    """Such as "g00003-r1", unique in its run."""
    group: int
    index: int
    """Place in the group, from 0; in a group with several turns, turn after turn."""
    group_size: int
    """Rollouts of the group, those of all turns."""
    target: Mapping[str, Any]
    """The whole target, as its `to_json` gives it."""
    messages: tuple[Mapping[str, str], ...]
    text: str
    finish_reason: str
    action: AudioAction | None = None
    issues: tuple[ParseIssue, ...] = ()
    notes: tuple[str, ...] = ()
    """What compiling the action to the backend ignored or clamped."""
    request: GenerationRequest | None = None
    duplicate_of: int | None = None
    """Index of the group's first rollout with this request, whose clip and reward it shares."""
    turn: int = 1
    """Of the conversation, from 1."""
    began: int | None = None
    """Index of the first turn of a later turn's conversation; None in the first."""
    attempt: int = 1
    """1, or more when passes it was in have failed before."""
    batch: tuple[str, ...] = ()
    """The short keys of all requests made in the same pass, in order: those of other groups too.
    Empty when they are the group's distinct requests, or the request alone after a failure."""
    clip: StoredClip | None = None
    report: RewardReport | None = None
    reward: float | None = None
    """In [0, 1], or None: dropped."""
    reason: str = ""
    """Why it was dropped, or why the answer is worth 0 without a clip; else empty."""
    cost: Mapping[str, float] | None = None
    """"evaluations", "seconds", and the "charge": what the reward is below the report's total."""
    seeds: Mapping[str, int]
    """"run" and "clip"; the clip's is drawn here, never taken from the action."""
    timings: Mapping[str, float]
    """Seconds: "ask", "generate", "judge" of the group, "clip" of this clip."""
    origin: Origin

    @property
    def member(self) -> int:
        """Which conversation of the group it belongs to: the index of its first turn."""
        return self.index if self.began is None else self.began

    @property
    def outcome(self) -> Literal["scored", "unparsable", "dropped"]:
        """What became of it, in one word."""
        if self.reward is None:
            return "dropped"
        return "unparsable" if self.action is None else "scored"

    def to_json(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "group": self.group,
            "index": self.index,
            "group_size": self.group_size,
            "target": dict(self.target),
            "messages": [dict(message) for message in self.messages],
            "text": self.text,
            "finish_reason": self.finish_reason,
            "action": None if self.action is None else self.action.model_dump(exclude_none=True),
            "issues": [issue._asdict() for issue in self.issues],
            "notes": list(self.notes),
            "request": None if self.request is None else self.request.to_json(),
            "duplicate_of": self.duplicate_of,
            "attempt": self.attempt,
            **({"turn": self.turn, "began": self.began} if self.turn > 1 else {}),
            **({"batch": list(self.batch)} if self.batch else {}),
            "clip": None if self.clip is None else asdict(self.clip),
            "report": None if self.report is None else self.report.to_json(),
            "reward": self.reward,
            "reason": self.reason,
            **({"cost": dict(self.cost)} if self.cost else {}),
            "seeds": dict(self.seeds),
            "timings": {name: round(float(value), 6) for name, value in self.timings.items()},
            "origin": {**asdict(self.origin), "versions": dict(self.origin.versions)},
        }

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Rollout:
        """Read what `to_json` gave.

        Raises:
            ValueError: another schema, a field missing or one that does not fit.
        """
        if not isinstance(line, Mapping) or line.get("schema") != SCHEMA:
            raise ValueError(f"not a rollout of schema {SCHEMA}")
        try:
            known = {name: line[name] for name in _PLAIN_FIELDS}
            return cls(
                **known,
                messages=tuple(line["messages"]),
                action=None
                if line["action"] is None
                else AudioAction.model_validate(line["action"]),
                issues=tuple(ParseIssue(**issue) for issue in line["issues"]),
                notes=tuple(line["notes"]),
                turn=int(line.get("turn", 1)),
                began=line.get("began"),
                batch=tuple(line.get("batch", ())),
                cost=line.get("cost"),
                request=None
                if line["request"] is None
                else GenerationRequest.from_json(line["request"]),
                clip=None if line["clip"] is None else StoredClip(**line["clip"]),
                report=None if line["report"] is None else report_from_json(line["report"]),
                origin=Origin(**line["origin"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a whole rollout: {type(error).__name__} {error}") from error


_PLAIN_FIELDS = (
    *("id", "group", "index", "group_size", "target", "text", "finish_reason"),
    *("duplicate_of", "attempt", "reward", "reason", "seeds", "timings"),
)


class Episode(NamedTuple):
    """One conversation of a group."""

    rollouts: tuple[Rollout, ...]
    """Its turns, in order."""
    reward: float | None
    """Of the whole of it (`rollouts.episode`), or None: dropped."""


@dataclass(frozen=True)
class Group:
    """The rollouts of one target, collected in one go; those of all turns, turn after turn."""

    target: Target
    index: int
    messages: list[dict[str, str]]
    rollouts: tuple[Rollout, ...]
    timings: Mapping[str, float]
    """Seconds for "ask", "generate" and "judge"."""
    drops: Mapping[str, int]
    """How many rollouts were "dropped", "unparsable" and "duplicate"."""
    audios: tuple[Audio | None, ...] = field(default=(), repr=False, compare=False)
    """The clips, one per rollout, None where there is none."""
    episodes: tuple[Episode, ...] = ()
    """The conversations, where there are several turns."""

    @property
    def rewards(self) -> tuple[float | None, ...]:
        """The reward of each rollout, None for dropped ones."""
        return tuple(rollout.reward for rollout in self.rollouts)


def recorded_group(target: Target, rollouts: tuple[Rollout, ...]) -> Group:
    """Return a group as it was recorded, without its sound."""
    timings = {name: value for name, value in rollouts[0].timings.items() if name != "clip"}
    messages = [dict(message) for message in rollouts[0].messages]
    return Group(target, rollouts[0].group, messages, rollouts, timings, drop_counts(rollouts))


def drop_counts(rollouts: Sequence[Rollout]) -> dict[str, int]:
    """Count what a group has lost: dropped, unparsable and duplicate rollouts."""
    return {
        "dropped": sum(r.outcome == "dropped" for r in rollouts),
        "unparsable": sum(r.outcome == "unparsable" for r in rollouts),
        "duplicate": sum(r.duplicate_of is not None for r in rollouts),
    }


def report_from_json(report: Mapping[str, Any]) -> RewardReport:
    """Read what `RewardReport.to_json` gave; None becomes nan again."""

    def number(value: float | None) -> float:
        return math.nan if value is None else float(value)

    return RewardReport(
        total=float(report["total"]),
        parts={
            name: Score(
                number(part["value"]),
                part["reason"],
                {k: number(v) for k, v in part["measured"].items()},
            )
            for name, part in report["parts"].items()
        },
        gates=tuple(report["gates"]),
        checks=tuple(
            CheckOutcome(**{**check, "score": number(check["score"])}) for check in report["checks"]
        ),
        weights=dict(report["weights"]),
        disagreement=float(report["disagreement"]),
    )


def rollout_id(group: int, index: int) -> str:
    """Return the id of a rollout, such as "g00003-r1"."""
    return f"g{group:05d}-r{index}"


def short_key(request: GenerationRequest | str) -> str:
    """Return what a batch calls a request: the first 16 characters of its key."""
    return (request if isinstance(request, str) else request.key)[:16]


def clip_seed(run_seed: int, target_id: str, group: int, index: int) -> int:
    """Return the seed of one clip, in [0, 2**32): a hash, so that neighbours are unrelated."""
    digest = hashlib.sha256(
        f"{run_seed}:{target_id}:{group}:{index}".encode("utf-8", "surrogatepass")
    ).digest()
    return int.from_bytes(digest[:4], "big")


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version())]
    for name in _PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide how a clip sounds."""
    return dict(_versions())
