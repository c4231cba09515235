"""Batched features: what torch measures in batches is what numpy measures clip by clip."""

import subprocess
import sys

import numpy as np
import pytest
import signals

from audioforge.data.brief import Brief
from audioforge.reward_functions import CombinedReward, batched_features
from audioforge.reward_functions.batched_features import measured_in_batches
from audioforge.utils.audio_processing import Audio, resample
from audioforge.utils.spectral_analysis import Features

torch = pytest.importorskip("torch")

BRIEF = Brief("phrases", "chords", seconds=3.0, bpm=118, key="A minor", loop=True)
SHARE_OF_LARGEST = 1e-5
"""Largest difference allowed in any array, as a share of its largest value; 6e-7 was seen."""
ABSOLUTE = {"lufs": 1e-3, "frame_flatness_db": 1e-3, "mel_db": 1e-3, "level_db": 1e-3}
"""In LU or dB."""
ARRAYS = ("sound", "mid", "power", "frame_power", "spectrum", "mel", "line_share")
LAID = (*ARRAYS, "long_power", "chroma", "hop_energy", "frame_flatness_db")
FOLLOWING = ("lufs", "mel_db", "level_db", "flux_db", "active", "side_share")


def mixed_clips():
    """Clips of five shapes, shuffled, two of some; the last four are for the per-clip path."""
    base = signals.mix(3.0)
    quiet = Audio(0.01 * base.samples[::-1], base.sample_rate)
    mono = resample(Audio(base.samples[:1, :126_000], base.sample_rate), 16_000)
    faded = Audio(base.samples * np.linspace(0, 1, base.samples.shape[1])[None], base.sample_rate)
    other = Audio(0.3 * mono.samples[:, ::-1], mono.sample_rate)
    broken = np.array(base.samples)
    broken[0, 100] = np.nan
    usual = (
        *(base, mono, quiet, resample(base, 48_000), other, faded, resample(base, 96_000)),
        Audio(np.concatenate([base.samples, base.samples[:1]]), base.sample_rate),
    )
    odd = (
        Audio(np.zeros((2, 0)), 16_000),
        Audio(np.zeros((2, base.samples.shape[1])), base.sample_rate),
        Audio(broken, base.sample_rate),
        Audio(base.samples[:, :400], base.sample_rate),
    )
    return usual, odd


def assert_same(batched, clip, allowed=1.0):
    """Compare every measurement, also those that follow from what was measured in a batch."""
    alone = Features(clip)
    assert batched.hop_energy[1] == alone.hop_energy[1]
    for name in (*LAID, *FOLLOWING):
        want, got = getattr(alone, name), getattr(batched, name)
        if name == "hop_energy":
            want, got = want[0], got[0]
        want, got = np.asarray(want), np.asarray(got)
        assert (want.shape, want.dtype) == (got.shape, got.dtype), name
        largest = ABSOLUTE.get(name, SHARE_OF_LARGEST * np.abs(want).max(initial=0))
        np.testing.assert_allclose(got, want, rtol=0, atol=allowed * largest, err_msg=name)


@pytest.fixture(scope="module")
def clips():
    return mixed_clips()


def test_batches_measure_what_numpy_measures_clip_by_clip(clips):
    usual, _ = clips
    for clip, features in zip(usual, batched_features.batched_features(usual, "cpu"), strict=True):
        assert set(LAID) <= set(vars(features))
        assert features.audio is clip
        assert_same(features, clip)


def test_odd_clips_take_the_per_clip_path_to_the_bit(clips):
    usual, odd = clips
    found = batched_features.batched_features([*odd, *usual[:1]], "cpu")[: len(odd)]
    for clip, features in zip(odd, found, strict=True):
        assert not set(LAID) & set(vars(features))
        assert features.lufs == Features(clip).lufs


def test_a_batch_holds_no_more_bytes_than_allowed(clips, monkeypatch):
    usual, _ = clips
    several = [usual[0], usual[2], usual[5]]
    whole = batched_features.batched_features(several, "cpu")
    monkeypatch.setattr(batched_features, "BATCH_BYTES", 1)
    assert batched_features._batches(several) == [[0], [1], [2]]
    for index, features in measured_in_batches(several, "cpu"):
        np.testing.assert_allclose(features.mel, whole[index].mel, rtol=0, atol=1e-6)


def test_loudness_in_batches_follows_the_standard():
    tone = np.sin(2 * np.pi * 997 * np.arange(2 * 48_000) / 48_000)[None]
    (features,) = batched_features.batched_features([Audio(tone, 48_000)], "cpu")
    assert features.lufs == pytest.approx(-3.01, abs=0.05)


def largest_total_difference(clips, device):
    batched, numpys = CombinedReward(device=device), CombinedReward()
    history = {"references": [signals.mix(3.0, seed=9)], "recent": [np.ones(157)]}
    worst = 0.0
    for brief in (BRIEF, None):
        got = batched.judge(clips, brief, **history)
        want = numpys.judge(clips, brief, **history)
        assert [r.gates for r in got] == [r.gates for r in want]
        assert max(r.total for r in want) > 0.2
        worst = max(worst, *(abs(g.total - w.total) for g, w in zip(got, want, strict=True)))
    return worst


def test_totals_agree_within_a_thousandth(clips):
    usual, odd = clips
    assert largest_total_difference([*usual, *odd], "cpu:0") <= 1e-3


def test_a_judge_with_batches_gives_duplicates_one_report(clips):
    usual, _ = clips
    group = [usual[0], usual[1], usual[0], usual[1], usual[0]]
    reports = CombinedReward(device="cpu:0").judge(group, BRIEF, duplicates=[0, 1, 0, 1, 2])
    assert [[r is reports[0], r is reports[1]].index(True) for r in reports] == [0, 1, 0, 1, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_device_agrees_with_numpy(clips):
    usual, odd = clips
    for clip, features in zip(usual, batched_features.batched_features(usual, "cuda"), strict=True):
        assert_same(features, clip, allowed=10)
    assert largest_total_difference([*usual, *odd], "cuda") <= 1e-3


@pytest.mark.parametrize("device", ["cuda:99", "meta", "a drawer"])
def test_a_device_that_is_not_there_is_one_clear_line(device):
    with pytest.raises(ValueError, match=f"device .*{device}") as caught:
        CombinedReward(device=device)
    assert "\n" not in str(caught.value)


def test_the_rewards_import_and_score_without_torch():
    code = (
        "import sys, numpy as np\n"
        "from audioforge.reward_functions import score\n"
        "score(np.zeros((1, 16_000), np.float32), 'techno')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
