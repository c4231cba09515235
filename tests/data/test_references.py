"""The evaluation references: several per family, small, and what the command renders."""

import hashlib

import numpy as np
import pytest

from audioforge.data.families import CATEGORIES, FAMILIES
from audioforge.data.references import REFERENCES, reference_files
from audioforge.generation import render_references
from audioforge.utils.audio_processing import flac_bytes, read_audio


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda f: f.name)
def test_every_family_is_a_set_of_short_distinct_clips(family):
    files = reference_files(family.category, family.name)
    assert len(files) == render_references.PER_FAMILY
    clips = [read_audio(path) for path in files]
    for clip in clips:
        assert 2.0 <= clip.seconds <= 4.0
        assert 0.1 < np.abs(clip.samples).max() <= 1.0
    for i, clip in enumerate(clips):
        for other in clips[i + 1 :]:
            size = min(clip.samples.size, other.samples.size)
            likeness = np.corrcoef(clip.samples[0, :size], other.samples[0, :size])[0, 1]
            assert abs(likeness) < 0.95


def test_all_references_together_are_under_six_megabytes():
    files = [path for path in REFERENCES.rglob("*") if path.is_file()]
    assert len(files) == render_references.PER_FAMILY * len(FAMILIES)
    assert sum(path.stat().st_size for path in files) < 6_000_000


@pytest.mark.parametrize("name", ["techno", "piano", "impact", "wind", "arpeggio"])
def test_the_command_renders_the_committed_clips(name):
    family = FAMILIES[name]
    plan = render_references.reference_briefs(family)
    assert plan == render_references.reference_briefs(family)
    for path, (brief, seed) in zip(reference_files(family.category, name), plan, strict=True):
        made = render_references.render_reference(brief, seed)
        again = render_references.render_reference(brief, seed)
        assert (
            hashlib.sha256(flac_bytes(made)).digest() == hashlib.sha256(flac_bytes(again)).digest()
        )
        # Another processor may round a sine differently: a few steps of 16 bit, not more.
        stored = read_audio(path)
        assert stored.sample_rate == made.sample_rate
        np.testing.assert_allclose(stored.samples, made.samples, atol=4 / 32_768)


def test_a_category_without_a_family_gives_all_its_references():
    for category in CATEGORIES:
        whole = reference_files(category)
        parts = [
            reference_files(category, f.name) for f in FAMILIES.values() if f.category == category
        ]
        assert set(whole) == {path for part in parts for path in part}


def test_a_family_of_another_category_is_refused():
    with pytest.raises(
        ValueError, match=r"family must be one of .* in category 'drums', got 'piano'"
    ):
        reference_files("drums", "piano")
