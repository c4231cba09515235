import json
import math

import numpy as np
import pytest
import signals

from audioforge.reward_functions import redteam, redteam_extra, redteam_inputs, redteam_trial
from audioforge.reward_functions.redteam_inputs import INPUTS, MARKS, Input
from audioforge.utils.audio_processing import Audio, encode


def two_seconds(seed):
    return Audio(signals.mix(seed=seed).samples[:, : 2 * signals.RATE], signals.RATE)


BASES = redteam_inputs.Bases(two_seconds(3), two_seconds(40))
EVERY = {i.name: i for i in (*INPUTS, *redteam_extra.ATTACKS, *redteam_extra.CONTROLS)}


def peak(samples, rate):
    return float(np.abs(samples).max(initial=0.0))


def fails_on_short(samples, rate):
    if samples.shape[1] < 1000:
        raise RuntimeError("too short for me")
    return float(np.nanmean(samples))


def asks_for_references(samples, rate, references=()):
    return float(len(references))


def field(scores=(0.2, 0.4, 0.6, 0.8)):
    return redteam_trial.Field([signals.white(0.1 + 0.1 * i) for i in range(len(scores))], scores)


def test_the_list_has_46_inputs_with_names_of_their_own():
    assert len(INPUTS) == len({i.name for i in INPUTS}) == 46
    assert len(EVERY) == 46 + len(redteam_extra.ATTACKS) + len(redteam_extra.CONTROLS)
    assert len(redteam_extra.ATTACKS) >= 15
    assert len(redteam_extra.CONTROLS) >= 12


@pytest.mark.parametrize("name", list(EVERY))
def test_every_input_is_made_the_same_twice_and_fits_the_contract_of_a_scorer(name):
    first, again = (EVERY[name].make(BASES) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.samples, b.samples, equal_nan=True)
        assert a.samples.dtype == np.float32
        assert a.seconds <= 9


def test_integers_reach_the_most_negative_number_and_no_further():
    clip = EVERY["integers at negative full scale"].make(BASES)[0]
    assert clip.samples.min() == -1.0
    assert np.array_equal(clip.samples * 32768, np.round(clip.samples * 32768))


def test_marks_are_met_at_the_mark_and_missed_beyond_it_or_without_a_number():
    known = field()
    at = {mark: Input("x", mark, lambda bases: ()) for mark in ("nothing", "reject", "below p25")}
    at |= {mark: Input("x", mark, lambda bases: ()) for mark in ("unpaid", "harmless")}
    assert redteam_trial.meets(at["nothing"], MARKS["nothing"], 1, known)
    assert not redteam_trial.meets(at["reject"], 0.26, 1, known)
    assert not redteam_trial.meets(at["below p25"], known.lower_quarter, 1, known)
    assert redteam_trial.meets(at["unpaid"], known.median, 0, known)
    assert redteam_trial.meets(at["unpaid"], 0.84, 0.8, known)
    assert not redteam_trial.meets(at["unpaid"], 0.52, 0.3, known)
    assert not redteam_trial.meets(at["harmless"], 0.7, 0.8, known)
    assert not any(redteam_trial.meets(each, math.nan, 1, known) for each in at.values())


def test_the_first_base_lies_under_the_median_and_the_others_come_from_all_ranks():
    assert field().chosen(1) == [1]
    assert field().chosen(3) == [1, 3, 0]


def test_a_scorer_that_breaks_is_counted_and_does_not_end_the_trial():
    judge = redteam_trial.Judge(fails_on_short)
    results = list(redteam_trial.compare(judge, field(), INPUTS[32:36], 1))
    assert judge.exceptions == 2
    assert judge.last_error == "RuntimeError: too short for me"
    assert judge.nonfinite == 1
    assert [r.passed for r in results if r.input.name in ("empty", "10 ms")] == [False, False]


def test_copies_are_judged_with_what_they_copy_among_the_references():
    judge = redteam_trial.Judge(asks_for_references)
    told = [r.worst for r in redteam_trial.compare(judge, field(), INPUTS[16:18], 1)]
    assert told == [0.0, 3.0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "scorer must be module:function, got 'nothing'"),
        ("no_such_module:f", "cannot be imported"),
        ("math:pi", "must be a function, got float"),
    ],
)
def test_a_scorer_that_cannot_be_loaded_says_why(name, message):
    with pytest.raises(ValueError, match=message):
        redteam_trial.load(name)


def test_the_command_prints_one_object_last_and_fails_for_a_bad_scorer(tmp_path, capsys):
    for i in range(3):
        (tmp_path / f"{i}.wav").write_bytes(encode(signals.white(0.1, seconds=1 + i), "WAV"))
    out = tmp_path / "told.json"
    scorer = f"{__name__}:peak"
    status = redteam.main(
        ["--real", str(tmp_path), "--scorer", scorer, "--quick", "--out", str(out)]
    )
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert status == 1
    assert told == json.loads(out.read_text())
    assert told["total"] == 46
    assert 0 < told["passed"] < 46
    assert told["real_clips"] == 7
    assert set(told) >= {"best_adversarial", "median_real", "nonfinite", "exceptions", "device",
                         "versions", "command", "seconds"}  # fmt: skip


def test_a_folder_without_music_says_so(tmp_path):
    with pytest.raises(ValueError, match="must hold music, found none"):
        redteam_inputs.music(tmp_path)


def ours(clips):
    return max(redteam_trial.ours(c.samples, c.sample_rate) for c in clips)


@pytest.mark.parametrize("name", [i.name for i in INPUTS if i.mark in MARKS])
def test_what_must_be_rejected_is(name):
    assert ours(signals.adversarial()[name]) <= MARKS[EVERY[name].mark]


@pytest.fixture(scope="module")
def known():
    clips = signals.real_music()
    if not clips:
        pytest.skip("no real audio here")
    return redteam_trial.Field(clips, [redteam_trial.ours(c.samples, c.sample_rate) for c in clips])


def test_our_reward_meets_every_mark_on_a_real_clip(known):
    judge = redteam_trial.Judge(redteam_trial.ours)
    altered = [i for i in INPUTS if i.altered and i.mark not in MARKS]
    results = list(redteam_trial.compare(judge, known, altered, 1))
    assert [r.input.name for r in results if not r.passed] == []
    assert max(r.worst for r in results) < known.median
    assert judge.exceptions == judge.nonfinite == 0
