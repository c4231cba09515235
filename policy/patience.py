"""Patience with language-model servers that tell their tokens: waits they ask for, answers checked.

A framework's server retries on any error, but does not see what a broken answer is, nor the time
that a server names. `patient` puts both around the one call through which the tokens come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from audioforge.rollouts.backoff import Backoff


class BrokenAnswer(ValueError):
    """What came is not what was asked for: too few answers, none of a token, no log-probability."""


def patient(server: Any, backoff: Backoff) -> None:
    """Make a framework's server wait when it is told to, and check what it gets.

    Args:
        server: with the coroutine `_tokens_and_logprobs_completion_wrapper`, which gives (prompt
            tokens, tokens, logprobs, finish reasons), the last three a list of n.
        backoff: shared by all that ask; it only holds while a server has named a time.
    """
    call = server._tokens_and_logprobs_completion_wrapper

    async def waited(**options: Any) -> Any:
        wanted = int(options.get("n") or 1)
        await backoff.wait()
        try:
            told = await call(**options)
        except Exception as error:
            backoff.hold(named_seconds(error))
            raise
        check_answers(told[1], told[2], wanted)
        return told

    server._tokens_and_logprobs_completion_wrapper = waited


def check_answers(tokens: Sequence[Any], logprobs: Sequence[Any], wanted: int) -> None:
    """Find out whether n whole answers have come, before anything is paid for.

    Raises:
        BrokenAnswer: fewer answers, one without a token, or log-probabilities that do not fit.
    """
    if len(tokens) != wanted or len(logprobs) != wanted:
        raise BrokenAnswer(f"{wanted} answers were asked for, {len(tokens)} came")
    for ids, values in zip(tokens, logprobs, strict=True):
        if not ids or len(ids) != len(values):
            raise BrokenAnswer(f"{len(ids)} tokens came with {len(values)} log-probabilities")
        if not all(math.isfinite(value) for value in values):
            raise BrokenAnswer("log-probabilities must be finite")


def named_seconds(error: BaseException) -> float:
    """Return the seconds that a refusal names in Retry-After, as a number or a date; else 0."""
    headers = getattr(error, "headers", None) or {}
    named = str(headers.get("Retry-After", "")).strip()
    try:
        seconds = float(named)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(named) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
