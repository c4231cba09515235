"""Cost: what is counted, what is charged, and what a charge can never do."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audioforge.generation import rf_sampler, v_sampler
from audioforge.generation.request import GenerationRequest
from audioforge.generation.sat_imports import stable_audio_tools
from audioforge.generation.synth_backend import SynthBackend
from audioforge.rollouts.cost import CostWeights, charged, evaluations, steps_share
from audioforge.rollouts.errors import ChangedConfigError
from audioforge.rollouts.metrics import group_metrics
from audioforge.rollouts.record import Rollout
from audioforge.rollouts.replay import replay
from audioforge.rollouts.report import write_report
from audioforge.rollouts.session import Session
from audioforge.rollouts.settings import EnvSettings

DIFFUSION = replace(
    SynthBackend.capabilities,
    steps=(1, 50),
    cfg_scale=(1.0, 8.0),
    max_seconds=10.0,
    looks={**rf_sampler.LOOKS, **v_sampler.LOOKS},
)
TOKENS = replace(DIFFUSION, tokens=True)
SHARES = st.floats(0, 1).map(lambda x: x if x > 1e-9 else 0.0)
WEIGHTS = st.tuples(SHARES, SHARES, SHARES).map(lambda w: [x / (sum(w) + 0.01) * 0.99 for x in w])


def asked(steps=8, cfg=1.0, sampler="euler", seconds=5.0):
    return GenerationRequest("x", seconds, 0, steps, cfg, sampler)


@pytest.mark.parametrize(
    ("request_", "looks"),
    [
        (asked(), 8),
        (asked(cfg=3.0), 16),
        (asked(cfg=0.0), 16),
        (asked(sampler="rk4"), 32),
        (asked(sampler="k-heun", cfg=2.0), 32),
        (asked(sampler="k-dpm-fast"), 8),
    ],
)
def test_guidance_and_samplers_that_look_more_often_cost_more_evaluations(request_, looks):
    assert evaluations(request_, DIFFUSION) == looks


@pytest.mark.parametrize("steps", [3, 4, 8, 20])
def test_the_count_is_that_of_the_samplers_themselves(steps):
    stable_audio_tools()  # makes k_diffusion importable
    made = {s: rf_sampler.program(s, steps, warp=None) for s in rf_sampler.SAMPLERS}
    made |= {s: v_sampler.program(s, steps, 0.3, 500.0) for s in v_sampler.SAMPLERS}
    for sampler, program in made.items():
        told = evaluations(asked(steps, sampler=sampler), DIFFUSION)
        # second-order samplers need no second look in their last step
        assert told - len(program.steps) == (1 if sampler in v_sampler.LOOKS else 0), sampler


def test_a_token_model_is_charged_by_length_and_guidance():
    assert "evaluations" not in charged(0.5, asked(), 0.1, TOKENS).cost
    assert steps_share(asked(seconds=5.0), TOKENS) == pytest.approx(0.25)
    assert steps_share(asked(seconds=5.0, cfg=3.0), TOKENS) == pytest.approx(0.5)
    assert steps_share(asked(seconds=99.0, cfg=3.0), TOKENS) == 1.0


def test_nothing_is_charged_by_default():
    bill = charged(0.7, asked(), 0.1, DIFFUSION)
    assert bill == (0.7, {"evaluations": 8.0, "seconds": 5.0, "charge": 0.0})


@pytest.mark.parametrize(
    ("weights", "charge"),
    [
        (CostWeights(steps=0.1), 0.5 * 0.1 * 16 / 100),
        (CostWeights(seconds=0.2), 0.5 * 0.2 * 5 / 10),
        (CostWeights(wall=0.3), 0.5 * 0.3 * 1 / 2),
        (CostWeights(0.1, 0.2, 0.3), 0.5 * (0.016 + 0.1 + 0.15)),
    ],
)
def test_every_cost_is_charged_by_its_weight(weights, charge):
    bill = charged(0.5, asked(cfg=3.0), 1.0, DIFFUSION, weights)
    assert bill.cost["charge"] == pytest.approx(charge)
    assert bill.reward == pytest.approx(0.5 - charge)


@given(
    totals=st.tuples(SHARES, SHARES),
    weights=WEIGHTS,
    steps=st.tuples(st.integers(1, 500), st.integers(1, 500)),
    walls=st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)),
)
def test_no_clip_falls_below_0_or_overtakes_one_better_by_the_weights(
    totals, weights, steps, walls
):
    cost = CostWeights(*weights)
    bills = [
        charged(total, asked(n, cfg=2.0, seconds=40.0), wall, DIFFUSION, cost)
        for total, n, wall in zip(totals, steps, walls, strict=True)
    ]
    for bill, total in zip(bills, totals, strict=True):
        assert (1 - sum(weights)) * total - 1e-9 <= bill.reward <= total
        assert (bill.reward == 0) == (total == 0)
    if totals[0] - totals[1] > sum(weights):
        assert bills[0].reward > bills[1].reward


def test_fewer_steps_pay_less_for_the_same_sound():
    cost = CostWeights(steps=0.1)
    rewards = [charged(0.8, asked(n, cfg=3.0), 0.1, DIFFUSION, cost).reward for n in (4, 8, 20, 50)]
    assert rewards == sorted(rewards, reverse=True)
    assert len(set(rewards)) == 4


@pytest.mark.parametrize("weights", [(-0.1, 0, 0), (1.0, 0, 0), (0.5, 0.4, 0.2), (float("nan"),)])
def test_weights_that_could_take_a_whole_reward_are_refused(weights):
    with pytest.raises(ValueError, match="cost weights must be at least 0 and less than 1"):
        CostWeights(*weights)


def test_a_group_is_charged_and_the_report_keeps_the_total(collect, say):
    cost = CostWeights(seconds=0.5)
    group = collect(say(), say(prompt="bell", seconds_total=3.0), "no idea", cost=cost)
    short, long, unread = group.rollouts
    for rollout, seconds in ((short, 0.5), (long, 3.0)):
        charge = rollout.report.total * 0.5 * seconds / 60
        assert rollout.cost == pytest.approx(
            {"evaluations": 1.0, "seconds": seconds, "charge": charge}
        )
        assert rollout.reward == pytest.approx(rollout.report.total - charge)
    assert (unread.reward, unread.cost) == (0.0, None)
    mean = (short.cost["charge"] + long.cost["charge"]) / 2
    assert group_metrics([group])["cost/charge"] == pytest.approx(mean)


def test_a_bill_survives_its_record_and_old_records_have_none(collect, say):
    rollout = collect(say(), cost=CostWeights(steps=0.2)).rollouts[0]
    line = json.loads(json.dumps(rollout.to_json()))
    assert Rollout.from_json(line).cost == rollout.cost
    del line["cost"]
    assert Rollout.from_json(line).cost is None


def test_a_report_says_what_was_charged(collect, say, started):
    group = collect(say(), store=started, cost=CostWeights(steps=0.5))
    charge, total = group.rollouts[0].cost["charge"], group.rollouts[0].report.total
    page = write_report(started.folder).read_text()
    assert f"{charge:.3f} of {total:.3f}" in page
    assert f"{charge:.3f} of a reward on average" in page


def test_a_run_that_charges_wall_time_replays_all_the_same(collect, say, started):
    collect(say(), say(prompt="bell"), store=started, cost=CostWeights(wall=0.9))
    assert all(again.same for again in replay(started.folder, backend=SynthBackend()))


@pytest.mark.parametrize(
    "changed", [{}, {"cost_steps": 0.2}, {"cost_steps": 0.1, "cost_wall": 0.1}]
)
def test_a_run_goes_on_only_with_the_same_weights(tmp_path, changed):
    def session(**cost):
        settings = EnvSettings(model="synth", out=str(tmp_path), **cost)
        return Session(settings.session_config("process", "policy"))

    session(cost_steps=0.1).close()
    again = session(cost_steps=0.1)
    assert again.studio.cost == CostWeights(steps=0.1)
    again.close()
    with pytest.raises(ChangedConfigError, match="cost = "):
        session(**changed)


def test_a_free_run_is_recorded_as_before(tmp_path):
    session = Session(
        EnvSettings(model="synth", out=str(tmp_path)).session_config("process", "policy")
    )
    assert "cost" not in session.store.run_facts()["config"]
    session.close()
