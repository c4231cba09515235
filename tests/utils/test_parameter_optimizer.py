"""A search finds the front, in full batches, without paying for what leads nowhere."""

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audioforge.utils.parameter_optimizer import (
    Between,
    Choice,
    Outcome,
    Plan,
    Tried,
    front,
    search,
)

SPACE = {"steps": Between(1, 50, log=True), "sampler": Choice(("good", "bad", "broken"))}
PLAN = Plan(trials=32, batch=8, rungs=(2, 6))


class Curve:
    """Reward saturates with steps; case i is worth a bit more or less than the mean."""

    def __init__(self):
        self.calls = []

    def __call__(self, jobs):
        self.calls.append(list(jobs))
        return [self.outcome(job) for job in jobs]

    def outcome(self, job):
        steps, sampler = job.setting["steps"], job.setting["sampler"]
        count = job.last - job.first
        if sampler == "broken":
            return Outcome((0.0,) * count, float(steps), count, "silent")
        value = (1 - math.exp(-steps / 6)) * (0.9 if sampler == "good" else 0.6)
        cases = range(job.first, job.last)
        return Outcome(tuple(value + 0.01 * (-1) ** case for case in cases), float(steps))

    def paid(self):
        return sum(job.last - job.first for call in self.calls for job in call)


def tried(reward, cost, pruned=""):
    return Tried({"cost": cost}, Outcome((reward,), cost), pruned)


def test_the_front_of_a_known_curve_is_found():
    found = front(search(SPACE, Curve(), PLAN))
    assert found[0].cost <= 3
    assert found[-1].reward > 0.85
    dear = [point for point in found if point.cost > 4]
    assert len(dear) > 2
    for point in dear:
        assert point.setting["sampler"] == "good"
        assert point.reward == pytest.approx(0.9 * (1 - math.exp(-point.cost / 6)))


def test_every_batch_is_asked_for_at_once_and_cases_come_in_the_same_order():
    curve = Curve()
    search({**SPACE, "steps": Between(1.0, 50.0, log=True)}, curve, PLAN)  # no two are equal
    firsts = [call for call in curve.calls if call[0].first == 0]
    assert [len(call) for call in firsts] == [8, 8, 8, 8]
    assert {(job.first, job.last) for call in curve.calls for job in call} == {(0, 2), (2, 6)}


def test_what_fails_its_gates_is_given_up_after_the_first_cases():
    curve = Curve()
    found = search(SPACE, curve, PLAN)
    broken = [one for one in found if one.setting["sampler"] == "broken"]
    assert broken
    assert {one.pruned for one in broken} == {"2 of 2 rejected: silent"}
    later = [job for call in curve.calls for job in call if job.first]
    assert "broken" not in {job.setting["sampler"] for job in later}


def test_what_is_clearly_beaten_at_no_less_cost_is_given_up_and_the_rest_is_saved():
    curve = Curve()
    found = search(SPACE, curve, PLAN)
    beaten = [one for one in found if "beaten" in one.pruned]
    assert beaten
    for one in beaten:
        rivals = [r for r in found if r.cost <= one.cost and r.reward > one.reward + PLAN.margin]
        assert rivals, one
    assert curve.paid() < 6 * len(found)


def test_a_lead_that_may_be_chance_prunes_nothing():
    def noisy(jobs):
        rewards = {1: (0.9, 0.1, 0.5, 0.5), 2: (0.1, 0.8, 0.5, 0.5)}
        return [
            Outcome(rewards[job.setting["cost"]][job.first : job.last], job.setting["cost"])
            for job in jobs
        ]

    plan = Plan(trials=8, batch=2, rungs=(2, 4))
    assert not any(one.pruned for one in search({"cost": Choice((1, 2))}, noisy, plan))


def test_equal_settings_are_paid_for_once():
    curve = Curve()
    space = {"steps": Between(1, 2), "sampler": Choice(("good",))}
    assert len(search(space, curve, PLAN)) == 2
    assert len([job for call in curve.calls for job in call if job.first == 0]) == 2


def test_settings_to_start_from_come_first():
    start = [{"steps": 37, "sampler": "bad"}, {"steps": 3, "sampler": "good"}]
    assert [one.setting for one in search(SPACE, Curve(), PLAN, start)][:2] == start


def test_the_same_seed_takes_the_same_way_and_another_seed_another():
    ways = [search(SPACE, Curve(), Plan(trials=24, rungs=(2, 6), seed=seed)) for seed in (1, 1, 2)]
    assert ways[0] == ways[1] != ways[2]


def test_what_is_done_with_is_told_as_it_comes():
    told = []
    assert search(SPACE, Curve(), PLAN, told=told.append) == told


def test_numbers_keep_to_their_grid_and_their_ends():
    space = {"cfg": Between(1.0, 3.0, step=0.5), "sigma": Between(0.1, 1.0, log=True)}

    def flat(jobs):
        return [Outcome((0.5,) * (job.last - job.first), 1.0) for job in jobs]

    for one in search(space, flat, PLAN):
        assert one.setting["cfg"] in (1.0, 1.5, 2.0, 2.5, 3.0)
        assert 0.1 <= one.setting["sigma"] <= 1.0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 100)), max_size=12))
def test_a_front_holds_exactly_what_nothing_beats(points):
    settings_ = [tried(reward, cost) for reward, cost in points]
    found = front(settings_)
    for one in settings_:
        beaten = any(
            (o.cost <= one.cost and o.reward > one.reward)
            or (o.cost < one.cost and o.reward >= one.reward)
            for o in settings_
        )
        assert beaten != any((f.reward, f.cost) == (one.reward, one.cost) for f in found)
    assert [f.cost for f in found] == sorted(f.cost for f in found)


def test_what_was_given_up_is_never_on_the_front():
    assert front([tried(0.9, 1.0, "beaten"), tried(0.5, 2.0)])[0].reward == 0.5


def test_without_optuna_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'audioforge\[optimize\]'"):
        search(SPACE, Curve(), PLAN)


@pytest.mark.parametrize(
    "plan", [{"trials": 0}, {"batch": 0}, {"rungs": (3, 3)}, {"rungs": (8, 3)}, {"rungs": (0, 3)}]
)
def test_a_plan_that_cannot_be_is_refused(plan):
    with pytest.raises(ValueError, match="trials and batch must be at least 1 and rungs rise"):
        Plan(**plan)


def test_a_space_without_anything_is_refused():
    with pytest.raises(ValueError, match="something that may vary"):
        search({}, Curve(), PLAN)
