"""A task that crashes, hangs or raises is one broken task; all others get their answers."""

import os
import time

import pytest

from audioforge.reward_functions.lanes import Broken, Lanes


def answers(lanes, tasks):
    told = {}
    for task in tasks:
        while not lanes.free:
            told.update(lanes.finished())
        lanes.start(task)
    while lanes.busy:
        told.update(lanes.finished())
    return told


def test_a_process_that_dies_takes_only_its_own_task():
    with Lanes(os._exit, workers=1) as lanes:
        told = answers(lanes, [1, 0])
    assert all(isinstance(answer, Broken) for answer in told.values())
    assert "the process that read it died" in told[1].words


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_is_told_and_the_lane_goes_on(workers):
    with Lanes(int, workers) as lanes:
        told = answers(lanes, ["1", "no number", "3"])
    assert (told["1"], told["3"]) == (1, 3)
    assert told["no number"].words.startswith("the scorer broke: ValueError: invalid literal")


def test_a_task_that_hangs_is_given_up():
    with Lanes(time.sleep, workers=1, limit_seconds=0.5) as lanes:
        told = answers(lanes, [0.0, 600.0, 0.01])
    assert told[0.0] is None
    assert told[0.01] is None
    assert "more than 0.5 s" in told[600.0].words


@pytest.mark.parametrize("options", [{"workers": -1}, {"workers": 1, "limit_seconds": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="workers must be 0 or more and limit_seconds positive"):
        Lanes(int, **options)
