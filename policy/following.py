"""How a conversation goes on as tokens: what stands between one answer and the next.

A trainer must see the very tokens that were drawn, so a later prompt is never tokenised again: it
is the tokens so far, and then those that the chat template writes after an answer. Atropos'
ManagedServer means to do the same by comparing texts, and goes wrong in three ways:

- Its text of an answer lacks the end token that its tokens have. A template that writes that token
  after every answer (ours, and the usual ones) then writes it a second time.
- It goes on with the first conversation whose text fits: members of a group with the same answer,
  or with one that begins like another's, are mixed up.
- A template that changes old answers (strips them, leaves out reasoning) breaks the comparison; the
  earlier answers are then masked without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from audioforge.rollouts.outgoing import MASKED, Encoded

_ANSWER = "@@ANSWER@@"
"""Stands for the last answer while the template writes what follows it."""


def following_ids(tokenizer: Any, messages: Sequence[dict[str, str]], last: int) -> list[int]:
    """Return the tokens from the end of the last answer to the beginning of the next one.

    Args:
        tokenizer: of transformers, with a chat template.
        messages: the conversation; its last two are the answer and the message that follows it.
        last: the last token that was drawn; where it is the end token, it is not written again.

    Raises:
        ValueError: the messages do not end so, or the template leaves the answer out.
    """
    if [message["role"] for message in messages[-2:]] != ["assistant", "user"]:
        raise ValueError("a conversation goes on with a user message after an answer")
    said = [*messages[:-2], {"role": "assistant", "content": _ANSWER}, messages[-1]]
    text = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    _, found, rest = str(text).rpartition(_ANSWER)
    if not found:
        raise ValueError("the chat template leaves out earlier answers; set turns to 1")
    ids = list(tokenizer.encode(rest, add_special_tokens=False))
    return ids[1:] if ids[:1] == [last] and last in tokenizer.all_special_ids else ids


def gone_on(
    before: Encoded, between: Sequence[int], drawn: Sequence[int], logprobs: Sequence[float]
) -> Encoded:
    """Return a conversation with one more answer: earlier answers keep their masks and logprobs.

    Args:
        before: the conversation up to the last answer.
        between: tokens of the template and of what was said to the policy.
        drawn: tokens of the new answer.
        logprobs: theirs, of the same length.

    Raises:
        ValueError: lengths that differ, or an earlier answer without log-probabilities.
    """
    if before.logprobs is None or len(drawn) != len(logprobs):
        raise ValueError(
            f"every drawn token needs its log-probability, got {len(logprobs)} for {len(drawn)}"
        )
    return Encoded(
        [*before.tokens, *between, *drawn],
        [*before.masks, *[MASKED] * len(between), *drawn],
        [*before.logprobs, *[1.0] * len(between), *logprobs],
    )


def told_again(before: Encoded, whole: Encoded) -> Encoded:
    """Return a conversation that was tokenised again, with the earlier answers unmasked too.

    For servers that do not tell their tokens. Where the earlier tokens are no longer its beginning
    only the last answer stays unmasked.
    """
    size = len(before.tokens)
    if whole.tokens[:size] != before.tokens:
        return whole
    return Encoded(whole.tokens, [*before.masks, *whole.masks[size:]], whole.logprobs)
