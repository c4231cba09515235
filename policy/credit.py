"""Credit: only what had a say in the sound is trained on.

Where a run decides that prompts count and settings do not (`--env.decides`), the reward says
nothing about the settings of an answer; trained on all the same, they drift at random, for a
group's luck is theirs as much as anyone's. So the values of fields that do not count are masked.
Their names, and an answer that is no action at all, keep their part in the loss: form counts.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Any

from audioforge.rollouts.action import PUT_ASIDE, Decides
from audioforge.rollouts.outgoing import MASKED, Encoded
from audioforge.rollouts.parser import parse_action

_STRING = r'"(?:[^"\\]|\\.)*"'
# A name and its value, or any other string: so a prompt that quotes a field is not taken for one.
_FIELD = re.compile(rf'"(\w+)"\s*:\s*({_STRING}|[^\s,}}\]"]+)|{_STRING}', re.DOTALL)


def credited(encoded: Encoded, drawn: int, tokenizer: Any, decides: Decides) -> Encoded:
    """Mask the values of an answer's fields that do not count.

    Args:
        encoded: a conversation that ends with the answer.
        drawn: tokens of the answer, the last of `encoded`.
        tokenizer: of transformers; tells which tokens a value is made of.
        decides: what of an answer counts.

    Returns:
        The conversation with more of its answer masked; unchanged when all counts, or when the
        answer holds no action.
    """
    fields = PUT_ASIDE[decides]
    if not fields:
        return encoded
    ids = encoded.tokens[len(encoded.tokens) - drawn :]
    spans = _silent_spans(tokenizer.decode(ids, skip_special_tokens=True), fields)
    if not spans:
        return encoded
    masks = list(encoded.masks)
    first = len(masks) - drawn
    for begin, end in spans:
        low, high = (_tokens_until(ids, place, tokenizer) for place in (begin, end))
        masks[first + low : first + high] = [MASKED] * (high - low)
    return encoded._replace(masks=masks)


def _silent_spans(text: str, fields: frozenset[str]) -> list[tuple[int, int]]:
    """Return where in a text the values of these fields stand, in characters."""
    if parse_action(text).action is None:
        return []
    return [found.span(2) for found in _FIELD.finditer(text) if found[1] in fields]


def _tokens_until(ids: list[int], place: int, tokenizer: Any) -> int:
    """Return how many tokens lie before a character; one that reaches beyond it does not."""

    def beyond(count: int) -> bool:
        return len(tokenizer.decode(ids[:count], skip_special_tokens=True)) > place

    return max(bisect_left(range(len(ids) + 1), True, key=beyond) - 1, 0)
