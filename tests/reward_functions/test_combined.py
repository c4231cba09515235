import json
import math
import sys

import numpy as np
import pytest
import signals
from hypothesis import given, settings
from hypothesis import strategies as st

from audioforge import reward_functions
from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES
from audioforge.generation.synth import render
from audioforge.reward_functions import REWARDS, CombinedReward, RewardConfig, score
from audioforge.reward_functions.curves import geometric_mean, toe
from audioforge.utils.audio_processing import Audio, flac_bytes, resample

BRIEF = Brief("drums", "rock", seconds=8.0, bpm=118, brightness="bright", percussion=True)
JUDGE = CombinedReward()


def in_range(report):
    values = [
        report.total,
        *(p.value for p in report.parts.values() if p.scored),
        *(c.score for c in report.checks if c.passed is not None),
    ]
    return all(math.isfinite(v) and 0 <= v <= 1 for v in values)


@pytest.fixture(scope="module")
def real_reports():
    if not signals.real_music():
        pytest.skip("no real audio here")
    return [score(a) for a in signals.real_music()]


@pytest.mark.parametrize("name", list(signals.adversarial()))
def test_every_adversarial_kind_gets_a_finite_report_with_and_without_a_brief(name):
    for brief in (None, BRIEF):
        report = JUDGE.judge(
            signals.adversarial()[name],
            brief,
            references=[signals.mix(seed=9)],
            recent=[np.ones(157)],
        )[0]
        assert in_range(report)
        assert set(report.parts) == set(REWARDS)
        assert all(p.reason for p in report.parts.values())
        json.dumps(report.to_json(), allow_nan=False)


def test_most_real_music_is_called_undamaged_and_hardly_any_half_lost(real_reports):
    quality = [r.parts["audio_quality"].value for r in real_reports]
    assert np.percentile(quality, 30) >= 0.9
    assert np.percentile(quality, 8) >= 0.5


def test_the_asked_family_scores_far_above_others_at_both_formats():
    rng = np.random.default_rng(2)
    for name in ("techno", "piano", "laser", "waves", "chords"):
        family = FAMILIES[name]
        clip = render(Brief(family.category, name, seconds=4.0), int(rng.integers(10**6)))
        for heard in (clip, Audio(resample(clip, 16_000).samples.mean(0, keepdims=True), 16_000)):
            right = JUDGE.judge([heard], Brief(family.category, name, seconds=4.0))[0].total
            wrong = [
                JUDGE.judge([heard], Brief(f.category, f.name, seconds=4.0))[0].total
                for f in list(FAMILIES.values())[::3]
                if f.category != family.category
            ]
            assert right >= 0.5
            assert max(wrong) < 0.6 * right


def test_duplicates_share_one_report():
    clips = [signals.mix(), signals.mix(seed=8), signals.mix()]
    reports = JUDGE.judge(clips, BRIEF, duplicates=[0, 1, 0])
    assert reports[2] is reports[0]
    with pytest.raises(ValueError, match="duplicates must name an earlier clip"):
        JUDGE.judge(clips, BRIEF, duplicates=[0, 2, 0])


def test_a_shut_gate_is_named_and_nothing_else_is_judged():
    report = JUDGE.judge([signals.silence()], BRIEF)[0]
    assert report.total == 0
    assert report.gates == ("silent",)
    assert not any(p.scored for p in report.parts.values())


def test_weights_sum_to_one_over_the_parts_that_judged():
    alone, full = (
        JUDGE.judge([signals.mix()], None)[0],
        JUDGE.judge(
            [signals.mix()], BRIEF, references=[signals.mix(seed=9)], recent=[np.ones(157)]
        )[0],
    )
    assert sum(alone.weights.values()) == pytest.approx(1)
    assert set(alone.weights) == {"audio_quality", "technical_characteristics"}
    assert set(full.weights) == set(REWARDS)
    assert sum(full.weights.values()) == pytest.approx(1)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=5), st.integers(0, 4), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_raising_one_part_never_lowers_the_total(values, index, higher):
    index %= len(values)
    raised = [max(v, higher) if i == index else v for i, v in enumerate(values)]
    assert (
        geometric_mean((v, 1.0) for v in raised) >= geometric_mean((v, 1.0) for v in values) - 1e-12
    )


def test_score_takes_arrays_tensors_paths_and_text(tmp_path):
    torch = pytest.importorskip("torch")
    base = signals.mix()
    path = tmp_path / "mix.flac"
    path.write_bytes(flac_bytes(base))
    plain = score(base, "rock drum loop, 118 bpm").total
    assert plain == score(base.samples, "rock drum loop, 118 bpm").total
    assert plain == score(torch.from_numpy(base.samples.copy()), "rock drum loop, 118 bpm").total
    assert plain == score(base.samples.T, "rock drum loop, 118 bpm").total
    assert score(path, "rock drum loop, 118 bpm").total == pytest.approx(plain, abs=0.01)
    assert score(path, "nothing anyone knows").parts["prompt_alignment"].scored is False


def test_configuration_refuses_unknown_names_and_reads_differences(tmp_path):
    with pytest.raises(ValueError, match="no reward named 'loudness'; have"):
        RewardConfig({"loudness": 1.0})
    with pytest.raises(ValueError, match="weight of creativity must be 0 or more, got -1"):
        RewardConfig({"creativity": -1.0})
    path = tmp_path / "rewards.yaml"
    path.write_text("weights: {creativity: 0.0}\nby_category: {sfx: {audio_quality: 3.0}}\n")
    config = RewardConfig.load(path)
    assert config.weights["prompt_alignment"] == RewardConfig().weights["prompt_alignment"]
    assert config.weights_for("sfx")["audio_quality"] == 3.0
    assert config.weights["creativity"] == 0


def test_the_committed_configuration_loads():
    from pathlib import Path

    assert (
        RewardConfig.load(Path(__file__).parents[2] / "configs" / "rewards.yaml") != RewardConfig()
    )


@pytest.mark.parametrize("name", list(REWARDS))
def test_every_reward_documents_its_contract(name):
    text = sys.modules[f"audioforge.reward_functions.{name}"].__doc__ or ""
    assert all(part in text for part in ("Range:", "Unscored:", "Source:", "Blind to:"))


def test_no_heavy_package_is_imported_to_judge():
    import subprocess

    code = (
        "import sys, audioforge.reward_functions; "
        "heavy = {'torch', 'librosa', 'numba', 'transformers', 'matplotlib'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    assert reward_functions.score is score


def test_totals_of_ruined_clips_fall_off_without_a_step():
    assert toe(0.1, 0.1) == pytest.approx(0.1)
    assert toe(0.03, 0.1) - toe(0.01, 0.1) == pytest.approx(0.008)
    assert (toe(0.0, 0.1), toe(0.7, 0.1)) == (0.0, 0.7)
