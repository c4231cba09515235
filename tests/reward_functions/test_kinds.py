"""Categories by kernel: the teacher's new clips, real ones, and sounds like nothing heard."""

import numpy as np
import pytest
import signals

from audioforge.data.brief import Brief
from audioforge.data.families import CATEGORIES, FAMILIES
from audioforge.generation.synth import render
from audioforge.reward_functions.description import describe
from audioforge.reward_functions.kernel_model import KernelModel, Shape, fit
from audioforge.reward_functions.kinds import category_score, kinds_model, struck_likeness
from audioforge.utils.audio_processing import resample
from audioforge.utils.spectral_analysis import Features


def test_new_clips_of_the_teacher_are_put_in_their_category_at_both_formats():
    right = []
    for index, family in enumerate(FAMILIES.values()):
        clip = render(Brief(family.category, family.name, seconds=4.0), 940_000 + index)
        for heard in (clip, resample(clip, 16_000)):
            described = describe(Features(heard))
            right.append(category_score(described, family.category)[1] == family.category)
    assert np.mean(right) >= 0.95


def test_real_drums_are_struck_and_real_textures_are_not():
    if not signals.real_clips():
        pytest.skip("no real audio here")
    told = {"drum": [], "ambient": []}
    for _, category, _, audio in signals.real_clips():
        described = describe(Features(audio)) if category in told else None
        if described is not None:
            told[category].append(struck_likeness(described) > 0)
    assert np.mean(told["drum"]) >= 0.9
    assert np.mean(told["ambient"]) <= 0.2


def test_a_sound_like_nothing_heard_passes_for_no_category():
    model = kinds_model()
    strange = model.middle + 4 * model.spread * np.where(np.arange(model.middle.size) % 2, 1, -1)
    for category in CATEGORIES:
        assert category_score(strange.astype(float), category)[0] <= 0.45


def test_a_kernel_model_meets_its_targets_and_survives_its_file(tmp_path):
    rows = np.random.default_rng(0).standard_normal((30, 5))
    target = np.sign(rows[:, :1])
    shape = Shape(width=0.5, ridge=1e-6, limit=4.0, least_spread=1e-6)
    model = fit(rows, target, np.ones(30), np.arange(30), shape)
    assert np.abs(model(rows) - target).max() < 0.01
    model.save(tmp_path / "model.npz", levels=np.arange(3))
    with np.load(tmp_path / "model.npz") as stored:
        kept = KernelModel(**{name: stored[name] for name in KernelModel._fields})
        assert stored["levels"].tolist() == [0, 1, 2]
    assert np.array_equal(kept(rows), model(rows))
