"""What must not matter, what must only cost, and what must not depend on company or order.

Measured on real music where it is there and on the teacher's mix otherwise. Where a rate is below
what was aimed at, the aim stands beside it.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import signals
from hypothesis import given, settings
from hypothesis import strategies as st
from invariants import (
    BRIEF,
    EXEMPT,
    damage_totals,
    kept_order,
    moved,
    mp3_cost,
    noise_rise,
    silence_rise,
    values,
    with_room,
)

from audioforge.data.brief import Brief
from audioforge.data.families import FAMILIES
from audioforge.generation.synth import render
from audioforge.reward_functions import CombinedReward, score
from audioforge.reward_functions.prompt_alignment import score as alignment
from audioforge.utils.audio_processing import Audio, encode
from audioforge.utils.spectral_analysis import Features

JUDGE = CombinedReward()


@cache
def music():
    """The mix and a few real clips, with 6 dB of room, each with its values."""
    clips = [with_room(clip) for clip in (signals.mix(), *signals.real_music()[5::12])]
    return [(clip, values(clip)) for clip in clips]


@pytest.mark.parametrize(
    ("what", "most"),
    [
        ("gain", 0.02),
        ("polarity and sides", 1e-4),
        ("start 5 ms later", 0.03),
        ("start 20 ms later", 0.03),
        ("start 50 ms later", 0.03),  # nine of ten pieces: a loop may lose its first beat
        ("rate and files", 0.01),
    ],
)
def test_what_must_not_matter_moves_little(what, most):
    for clip, before in music():
        assert moved(clip, before, what) < most


def test_a_good_mp3_costs_little():
    for clip, before in music():
        assert mp3_cost(clip, before["total"]) < 0.05


@cache
def damaged_totals():
    """(fault, totals of a clip and of its three damages)."""
    pieces = enumerate(music()[:2])
    return [pair for i, (clip, _) in pieces for pair in damage_totals(clip, str(i), 5.0)]


def test_more_of_a_fault_seldom_scores_higher():
    # 0.95 of all pieces; the mix, which lies outside a band, is moved inside by hum and low-pass.
    assert np.mean([kept_order(totals) for _, totals in damaged_totals()]) >= 0.85


def test_strong_damage_costs_where_it_is_a_fault():
    falls = [t[0] - t[-1] for fault, t in damaged_totals() if fault not in EXEMPT]
    assert np.mean(np.array(falls) >= 0.15) >= 0.85  # aim 0.9: single clicks cost less


@given(st.lists(st.floats(0.0, 0.4), min_size=1, max_size=2))
@settings(max_examples=6, deadline=None, derandomize=True)
def test_more_noise_never_scores_higher(levels):
    assert noise_rise(music()[0][0], levels) <= 0.01


@given(st.floats(0.0, 3.0))
@settings(max_examples=6, deadline=None, derandomize=True)
def test_appended_silence_never_scores_higher(ratio):
    clip, before = music()[0]
    assert silence_rise(clip, before["total"], ratio) <= 0.01


def test_the_right_brief_beats_shuffled_briefs_for_clips_with_checkable_claims():
    rng = np.random.default_rng(8)
    asked, clips = [], []
    for index, family in enumerate(FAMILIES.values()):
        bpm = float(rng.integers(80, 150)) if family.bpm else None
        brief = Brief(family.category, family.name, seconds=4.0, bpm=bpm)
        asked.append(brief)
        clips.append(Features(render(brief, 70_000 + index)))
    order = np.roll(np.arange(len(asked)), 11)
    wins = [
        alignment(clip, asked[i]).value > alignment(clip, asked[j]).value
        for i, (clip, j) in enumerate(zip(clips, order, strict=True))
    ]
    assert np.mean(wins) >= 0.95  # aim 0.8


def short(seed, channels, rate, exponent):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 12_000))
    tone = np.sin(2 * np.pi * rng.uniform(30, 3_000) * np.arange(size) / rate)
    samples = tone + rng.uniform(0, 1) * rng.standard_normal((channels, size))
    return Audio(samples * 10.0**exponent, rate)


CLIPS = st.builds(
    short,
    st.integers(0, 2**31),
    st.integers(1, 8),
    st.sampled_from([8_000, 16_000, 44_100, 96_000, 192_000]),
    st.integers(-6, 2),
)


@given(st.lists(CLIPS, min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_any_clip_is_judged_in_range_and_alike_in_any_company_order_and_thread(clips, random):
    alone = [JUDGE.judge([clip], BRIEF)[0] for clip in clips]
    for report in alone:
        told = [report.total, *(p.value for p in report.parts.values() if p.scored)]
        assert all(math.isfinite(value) and 0 <= value <= 1 for value in told)
    order = list(range(len(clips)))
    random.shuffle(order)
    together = JUDGE.judge([clips[i] for i in order], BRIEF)
    with ThreadPoolExecutor(3) as pool:
        threads = list(pool.map(lambda clip: JUDGE.judge([clip], BRIEF)[0].total, clips))
    assert [r.total for r in together] == [alone[i].total for i in order]
    assert threads == [r.total for r in alone]


def test_names_and_order_of_files_do_not_matter(tmp_path):
    clips = [signals.mix(), signals.kicks(), signals.spliced(signals.mix(), signals.mix(seed=40))]
    totals = {}
    for names in (["a", "b", "c"], ["good", "zero", "1.0"]):
        folder = tmp_path / names[0]
        folder.mkdir()
        for name, clip in zip(names, clips, strict=True):
            (folder / f"{name}.wav").write_bytes(encode(clip, "WAV"))
        found = {path.name: score(path).total for path in sorted(folder.iterdir(), reverse=True)}
        totals[names[0]] = [found[f"{name}.wav"] for name in names]
    assert totals["a"] == totals["good"]
