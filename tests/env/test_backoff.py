"""Backoff: doubling windows that many collectors share, and an end."""

from __future__ import annotations

import asyncio

import pytest

from audioforge.rollouts.backoff import Backoff


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_windows_double_up_to_the_cap():
    clock = Clock()
    backoff = Backoff(patience=1_000, first=1, cap=4, clock=clock)
    seen = []
    for _ in range(4):
        assert backoff.failed()
        seen.append(backoff.delay)
        clock.now += backoff.delay
    assert seen == [1, 2, 4, 4]


def test_failures_within_one_window_count_once():
    clock = Clock()
    backoff = Backoff(patience=1_000, first=1, cap=64, clock=clock)
    for _ in range(8):
        backoff.failed()
    assert backoff.delay == 1


def test_patience_ends_when_nothing_but_failures_came():
    clock = Clock()
    backoff = Backoff(patience=10, clock=clock)
    assert backoff.failed()
    clock.now += 9.9
    assert backoff.failed()
    clock.now += 0.2
    assert not backoff.failed()


def test_one_success_forgets_everything():
    clock = Clock()
    backoff = Backoff(patience=10, first=1, clock=clock)
    backoff.failed()
    backoff.succeeded()
    assert backoff.delay == 0
    clock.now += 60
    assert backoff.failed()
    assert backoff.delay == 1


def test_a_named_wait_is_kept_but_bounded():
    clock = Clock()
    backoff = Backoff(patience=10, first=1, cap=8, clock=clock)
    backoff.hold(5)
    assert backoff.delay == 5
    backoff.hold(3)  # never shorter than what was named before
    assert backoff.delay == 5
    backoff.hold(3_600)
    assert backoff.delay == 8


def test_those_that_wait_do_not_all_come_back_at_once():
    clock, slept = Clock(), []

    async def sleep(seconds):
        slept.append(seconds)
        clock.now += seconds

    draws = iter([0.0, 0.5])
    backoff = Backoff(
        patience=10, first=4, jitter=0.5, clock=clock, draw=lambda: next(draws), sleep=sleep
    )
    for _ in range(2):
        backoff.failed()
        asyncio.run(backoff.wait())
        backoff.succeeded()
    assert slept == [4, 5]


def test_without_patience_the_first_failure_is_the_last():
    assert not Backoff(patience=0).failed()


def test_waiting_lasts_as_long_as_the_window():
    async def waited():
        backoff = Backoff(patience=10, first=0.05)
        backoff.failed()
        loop = asyncio.get_running_loop()
        started = loop.time()
        await backoff.wait()
        return loop.time() - started

    assert 0.04 < asyncio.run(waited()) < 2.0


@pytest.mark.parametrize(
    ("settings", "told"), [({"first": 0}, "first must be"), ({"patience": -1}, "patience must be")]
)
def test_impossible_settings_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        Backoff(**settings)
