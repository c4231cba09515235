"""outgoing_group: the one gate through which a group leaves for a trainer.

A trainer takes whole groups of exactly the promised size, plain JSON types and finite numbers only;
one nan loses it a batch. So a group either leaves in that shape or is withheld with the reason:

- A dropped rollout (reward None) keeps its place, so that the size stays exact: it leaves with the
  mean score of the others, which moves no baseline, and with `set_advantage_to_zero`.
- A group in which fewer than half of the rollouts (or fewer than two) were scored is withheld.
- With `distinct`, a group whose scores are all equal is withheld: it teaches nothing.
- A group with a sequence at or over the trainer's limit is withheld; nothing is cut.

Everything that leaves is a fresh object: the trainer's side writes into what it is given.
"""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from audioforge.rollouts.record import Group, Rollout

_log = logging.getLogger("audioforge.outgoing")
MASKED = -100
"""The mask of a position that is not trained on."""


class Encoded(NamedTuple):
    """One conversation as token ids."""

    tokens: list[int]
    masks: list[int]
    """MASKED on the prompt, the token id on the answer."""
    logprobs: list[float] | None = None
    """Of the answer's tokens when they were drawn, 1.0 on the prompt; None when unknown."""


class Outgoing(NamedTuple):
    """What the gate decided."""

    payload: dict[str, Any] | None
    """The group in the trainer's shape, or None: withheld."""
    reason: str = ""
    """Why it was withheld, one line."""


@dataclass(frozen=True)
class Limits:
    """What the trainer accepts."""

    group_size: int
    max_tokens: int | None = None
    """A sequence must be shorter than this; None is no limit."""
    distinct: bool = False
    """Whether a group with equal scores is withheld."""


def groups_ahead(batch: int, batches: int, group_size: int) -> int:
    """Return how many groups may wait for a trainer, at least 1; warn where batches cannot be made.

    Args:
        batch: rollouts of one batch.
        batches: that may wait.
        group_size: rollouts of one group.
    """
    if batch % group_size:
        _log.warning(
            "batches of %d cannot be made of groups of %d: the trainer may wait for ever",
            batch,
            group_size,
        )
    return max(batches * batch // group_size, 1)


def encode_answer(tokenizer: Any, messages: Sequence[dict[str, str]], answer: str) -> Encoded:
    """Tokenise a conversation again, for servers that do not tell their tokens.

    Args:
        tokenizer: of transformers, with a chat template.
        messages: what was asked.
        answer: what came.

    Raises:
        ValueError: the chat template does not give a flat list of token ids.
    """
    prompt = _ids(tokenizer, messages, True)
    told = [*messages, {"role": "assistant", "content": answer}]
    tokens = _ids(tokenizer, told, False)
    shared = 0
    for ours, theirs in zip(prompt, tokens, strict=False):
        if ours != theirs:
            break
        shared += 1
    return Encoded(tokens, [MASKED] * shared + tokens[shared:])


def _ids(tokenizer: Any, messages: Sequence[dict[str, str]], ask: bool) -> list[int]:
    # transformers 5 gives a dict unless told not to, and its length is the number of its keys.
    ids = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=ask, return_dict=False
    )
    if not isinstance(ids, list) or not all(isinstance(i, int) for i in ids):
        raise ValueError(
            f"the chat template must give a list of token ids, got {type(ids).__name__}; "
            "choose another tokenizer_name"
        )
    return ids


def outgoing_group(group: Group, encoded: Sequence[Encoded], limits: Limits) -> Outgoing:
    """Bring a collected group into the trainer's shape, or withhold it.

    Args:
        group: as collected.
        encoded: one conversation per rollout, in order.
        limits: of the trainer.
    """
    rewards = [rollout.reward for rollout in group.rollouts]
    scored = [float(reward) for reward in rewards if reward is not None]
    if reason := _refusal(scored, rewards, encoded, limits):
        return Outgoing(None, reason)
    mean = statistics.fmean(scored)
    payload: dict[str, Any] = {
        "tokens": [sequence.tokens for sequence in encoded],
        "masks": [sequence.masks for sequence in encoded],
        "scores": [mean if reward is None else float(reward) for reward in rewards],
        "messages": [
            [*map(dict, rollout.messages), {"role": "assistant", "content": rollout.text}]
            for rollout in group.rollouts
        ],
        "overrides": [_override(rollout) for rollout in group.rollouts],
        "generation_params": {"target": group.target.id, "group": group.index},
    }
    if all(sequence.logprobs is not None for sequence in encoded):
        payload["inference_logprobs"] = [sequence.logprobs for sequence in encoded]
    try:
        return Outgoing(json.loads(json.dumps(payload, default=_plain, allow_nan=False)))
    except (TypeError, ValueError) as error:
        return Outgoing(None, f"not plain and finite: {error}")


def _refusal(
    scored: list[float], rewards: Sequence[float | None], encoded: Sequence[Encoded], limits: Limits
) -> str:
    """Say why a group cannot leave, or nothing."""
    size = limits.group_size
    if len(rewards) != size or len(encoded) != size:
        return f"size: the trainer wants {size}, got {len(rewards)} and {len(encoded)} tokenised"
    if len(scored) < min(size, max(2, (size + 1) // 2)):
        return f"dropped: only {len(scored)} of {size} rollouts were scored"
    for tokens, masks, logprobs in encoded:
        if len(masks) != len(tokens) or (logprobs is not None and len(logprobs) != len(tokens)):
            return "shape: tokens, masks and logprobs differ in length"
        if all(mask == MASKED for mask in masks):
            return "empty: an answer without tokens"
    longest = max(len(sequence.tokens) for sequence in encoded)
    if limits.max_tokens is not None and longest >= limits.max_tokens:
        return f"long: {longest} tokens, the trainer takes fewer than {limits.max_tokens}"
    if limits.distinct and len(set(scored)) == 1:
        return "equal: all scores are the same"
    return ""


def _override(rollout: Rollout) -> dict[str, Any]:
    """What travels with one rollout; the trainer reads `set_advantage_to_zero`."""
    report, clip, request = rollout.report, rollout.clip, rollout.request
    override: dict[str, Any] = {
        "rollout": rollout.id,
        "outcome": rollout.outcome,
        "prompt": request.prompt if request else None,
        "clip": clip.path if clip else None,
        "sha256": clip.sha256 if clip else None,
        "parts": {name: part["value"] for name, part in report.to_json()["parts"].items()}
        if report
        else {},
        "reason": rollout.reason,
    }
    return override | ({"set_advantage_to_zero": True} if rollout.reward is None else {})


def _plain(value: Any) -> Any:
    """Turn a numpy scalar into a Python number; refuse anything else JSON does not know."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a plain type")
