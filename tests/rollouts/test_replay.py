"""Replay makes the same sound again, or says what differs."""

from dataclasses import replace

import numpy as np
import pytest

from audioforge.generation.request import Clip, Failure
from audioforge.generation.synth_backend import SynthBackend
from audioforge.rollouts.errors import ReplayError, StoreError
from audioforge.rollouts.replay import replay
from audioforge.utils.audio_processing import Audio


@pytest.fixture
def recorded(collect, say, started):
    collect(
        say(prompt="bell"),
        "no idea",
        say(prompt="rain"),
        say(prompt="rain"),
        index=0,
        store=started,
    )
    collect(say(prompt="techno beat"), say(prompt="bell"), index=1, store=started)
    started.close()
    return started.folder


class Louder(SynthBackend):
    """Other weights, and a sound that is 1 % softer."""

    weights_sha256 = "other-weights-entirely"

    def _one(self, request):
        clip = super()._one(request)
        return Clip(request, Audio(clip.audio.samples * 0.99, clip.audio.sample_rate), 0.0)


def test_every_clip_comes_out_the_same(recorded):
    replayed = replay(recorded)
    assert [one.id for one in replayed] == [
        "g00000-r0",
        "g00000-r2",
        "g00000-r3",
        "g00001-r0",
        "g00001-r1",
    ]
    assert all(one.same and one.drift == "" for one in replayed)


def test_the_batch_is_the_recorded_one(recorded):
    batches = []

    class Noting(SynthBackend):
        def generate(self, requests):
            batches.append([request.prompt for request in requests])
            return super().generate(requests)

    assert [one.same for one in replay(recorded, "g00000-r3", backend=Noting())] == [True]
    assert batches == [["bell", "rain"]]


def test_drift_names_the_weights_and_the_distance(recorded):
    (one,) = replay(recorded, "g00001-r0", backend=Louder())
    assert not one.same
    assert one.made != one.expected
    assert "largest difference 0.0089 of full scale" in one.drift
    assert "weights synth-1 then, other-weight now" in one.drift


def test_drift_names_the_versions(recorded, monkeypatch):
    monkeypatch.setattr("audioforge.rollouts.replay.versions", lambda: {"numpy": "99.0"})
    (one,) = replay(recorded, "g00001-r0", backend=Louder())
    assert "99.0 now" in one.drift


def test_another_shape_is_told_and_so_is_a_missing_sound(recorded):
    class Longer(SynthBackend):
        def _one(self, request):
            made = super()._one(replace(request, seconds=1.0))
            return Clip(request, made.audio, 0.0)

    (one,) = replay(recorded, "g00001-r0", backend=Longer())
    assert "22050 samples x 2 at 44100 Hz then, 44100 x 2" in one.drift
    for sound in (recorded / "audio").iterdir():
        sound.unlink()
    assert all(one.same for one in replay(recorded))
    (one,) = replay(recorded, "g00001-r0", backend=Longer())
    assert "the recorded one is gone" in one.drift


def test_a_clip_that_can_no_longer_be_made_says_why(recorded):
    class Failing(SynthBackend):
        def generate(self, requests):
            return [Failure(request, "memory", "out of memory") for request in requests]

    (one,) = replay(recorded, "g00001-r0", backend=Failing())
    assert (one.made, one.drift, one.same) == (None, "could not be made: out of memory", False)


@pytest.mark.parametrize("wanted", ["g00009-r0", "", "../g00000-r0", "g00000-r1"])
def test_what_is_not_there_is_one_clear_error(recorded, wanted):
    with pytest.raises(ReplayError, match=r"holds no rollout .* to replay"):
        replay(recorded, wanted)


def test_a_folder_without_a_run_is_one_clear_error(tmp_path):
    with pytest.raises(StoreError, match="holds no run"):
        replay(tmp_path)


def test_silence_of_broken_sound_is_replayed_too(collect, say, started):
    class Broken(SynthBackend):
        def _one(self, request):
            return Clip(request, Audio(np.full((1, 4_000), np.nan, np.float32), 8_000), 0.0)

    collect(say(), backend=Broken(), store=started)
    assert [one.same for one in replay(started.folder, backend=Broken())] == [True]
