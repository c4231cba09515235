"""Two sets of rows: pairs, differences with intervals, effects, and what is said about them."""

import json
from pathlib import Path

import numpy as np
import pytest

from audioforge.reward_functions.comparison import BETWEEN, WITHIN, ScoredSet, compare
from audioforge.reward_functions.families import family_model
from audioforge.reward_functions.file_score import SCORED, UNREADABLE, FileScore
from audioforge.reward_functions.folder import Scored

MODEL = family_model()


def scored(folder, name, total, *, seed=None, **fields):
    row = FileScore(f"{folder}/{name}", "x", SCORED, total, {"audio_quality": total}, **fields)
    if seed is None:
        return Scored(row, True)
    noise = np.random.default_rng(seed).standard_normal(MODEL.mean.size)
    return Scored(row, True, MODEL.mean + noise * MODEL.scale)


def side(folder, totals, name="{:03}.wav", **fields):
    seeds = 1_000 if folder == "b" else 0
    rows = [
        scored(folder, name.format(i), total, seed=seeds + i, **fields)
        for i, total in enumerate(totals)
    ]
    return ScoredSet(Path(folder), rows)


BASE = np.random.default_rng(0).uniform(0.2, 0.8, 40)
BETTER = np.clip(BASE + 0.05 + 0.02 * np.random.default_rng(1).standard_normal(40), 0, 1)


def test_pairs_take_the_variation_between_files_out_of_the_difference():
    within, between = (
        compare(side("a", BASE), side("b", BETTER)),
        compare(side("a", BASE), side("b", BETTER), pairing=False),
    )
    total, apart = within.parts[0], between.parts[0]
    assert (within.pairs, within.paired, between.paired) == (40, True, False)
    assert total.difference == pytest.approx(apart.difference) == pytest.approx(0.05, abs=0.01)
    assert total.clear
    assert not apart.clear
    assert total.high - total.low < 0.2 * (apart.high - apart.low)
    assert (total.effect_name, apart.effect_name) == (WITHIN, BETWEEN)


def test_intervals_hold_what_they_promise():
    rng, hit = np.random.default_rng(7), 0
    for _ in range(40):
        x, y = rng.normal(0.4, 0.1, 25), rng.normal(0.5, 0.1, 25)
        part = compare(side("a", x), side("b", y), pairing=False).parts[0]
        hit += part.low <= 0.1 <= part.high
    assert hit >= 34


def test_cliffs_delta_is_its_definition():
    x, y = BASE[:12], BETTER[5:30]
    told = compare(side("a", x), side("b", y), pairing=False).parts[0]
    assert told.effect == pytest.approx(np.mean([np.sign(b - a) for a in x for b in y]))
    pairs = compare(side("a", BASE), side("b", BETTER)).parts[0]
    assert pairs.effect == pytest.approx(np.mean(np.sign(BETTER - BASE)))


def test_swapping_the_sides_swaps_the_signs():
    there = compare(side("a", BASE), side("b", BETTER))
    back = compare(side("b", BETTER), side("a", BASE))
    assert back.parts[0].difference == pytest.approx(-there.parts[0].difference)
    assert back.parts[0].effect == -there.parts[0].effect
    assert back.mmd.squared == pytest.approx(there.mmd.squared)


def test_suffix_does_not_matter_for_a_pair_but_folder_brief_and_doubles_do():
    a = ScoredSet(Path("a"), [scored("a", n, 0.5) for n in ("1.wav", "x/2.wav", "3.wav", "4.wav")])
    others = [scored("b", n, 0.5) for n in ("1.flac", "2.wav", "4.wav", "4.mp3")]
    b = ScoredSet(Path("b"), [*others, scored("b", "3.wav", 0.5, brief="rain")])
    told = compare(a, b)
    assert (told.pairs, told.paired) == (1, False)
    assert told.notes[0] == "1 pairs by file name; compared as separate sets"


def test_rejected_files_are_counted_and_in_no_figure():
    a, b = side("a", BASE), side("b", BETTER)
    bad = Scored(FileScore("b/bad.wav", "", UNREADABLE, reason="not a sound"), True)
    told = compare(a, ScoredSet(b.path, [*b.scored, bad]))
    assert told.rejected == (0, 1)
    assert told.parts == compare(a, b).parts


def test_a_side_without_a_score_is_one_clear_error():
    bad = Scored(FileScore("b/bad.wav", "", UNREADABLE, reason="not a sound"), True)
    with pytest.raises(ValueError, match="b: no file here could be scored"):
        compare(side("a", BASE), ScoredSet(Path("b"), [bad]))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_or_equal_clips_have_an_answer_without_nan(count):
    told = compare(side("a", [0.5] * count), side("b", [0.25] * count))
    assert told.parts[0].difference == -0.25
    text = json.dumps(told.to_json(), allow_nan=False)
    assert json.loads(text)["difference"] == "B minus A"
    assert any("expect wide intervals" in note for note in told.notes)


def test_the_frechet_distance_says_why_it_is_not_there():
    told = compare(side("a", BASE), side("b", BETTER))
    assert told.frechet is None
    assert any("no Fréchet distance: it needs more than 157 clips" in note for note in told.notes)


def test_the_order_of_rows_changes_nothing():
    a, b = side("a", BASE), side("b", BETTER)
    turned = ScoredSet(b.path, b.scored[::-1])
    assert compare(a, turned) == compare(a, b)
