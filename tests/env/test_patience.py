"""Patience: answers are checked before anything is paid for, and waits that are named are kept."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from audioforge.policy.patience import BrokenAnswer, check_answers, named_seconds, patient
from audioforge.rollouts.backoff import Backoff


@pytest.mark.parametrize(
    ("tokens", "logprobs", "told"),
    [
        ([], [], "2 answers were asked for, 0 came"),
        ([[1]], [[-1.0]], "2 answers were asked for, 1 came"),
        ([[1], []], [[-1.0], []], "0 tokens"),
        ([[1], [2, 3]], [[-1.0], [-1.0]], "2 tokens came with 1"),
        ([[1], [2]], [[-1.0], [math.nan]], "must be finite"),
    ],
)
def test_a_broken_answer_is_an_error(tokens, logprobs, told):
    with pytest.raises(BrokenAnswer, match=told):
        check_answers(tokens, logprobs, 2)


def test_whole_answers_pass():
    check_answers([[1], [2, 3]], [[-1.0], [-1.0, -0.5]], 2)


class Refusal(Exception):
    def __init__(self, named):
        super().__init__("429")
        self.headers = {"Retry-After": named}


@pytest.mark.parametrize(
    ("named", "seconds"), [("7", 7.0), ("0.5", 0.5), ("soon", 0.0), ("-3", 0.0), ("inf", 0.0)]
)
def test_retry_after_is_read_as_seconds(named, seconds):
    assert named_seconds(Refusal(named)) == seconds


def test_retry_after_is_read_as_a_date():
    later = datetime.now(UTC) + timedelta(seconds=100)
    assert 90 < named_seconds(Refusal(format_datetime(later, usegmt=True))) <= 100
    assert named_seconds(RuntimeError("no headers")) == 0.0


def test_a_named_wait_holds_all_that_ask():
    slept: list[float] = []
    now = [100.0]

    async def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    answers = iter([Refusal("5"), (None, [[1]], [[-1.0]], ["stop"])])

    async def call(**_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    server = SimpleNamespace(_tokens_and_logprobs_completion_wrapper=call)
    backoff = Backoff(patience=0, cap=60.0, clock=lambda: now[0], draw=lambda: 0.0, sleep=sleep)
    patient(server, backoff)

    async def run():
        with pytest.raises(Refusal):
            await server._tokens_and_logprobs_completion_wrapper(n=1)
        assert backoff.delay == 5.0
        return await server._tokens_and_logprobs_completion_wrapper(n=1)

    assert asyncio.run(run())[1] == [[1]]
    assert slept == [5.0]
