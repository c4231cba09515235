"""Clips that were made before come back bit for bit, or are made again."""

import asyncio

import numpy as np
import pytest
from engine_doubles import Double, request, sound

from audioforge.generation.engine import Engine, EngineSettings
from audioforge.generation.engine_cache import FolderCache, MemoryCache
from audioforge.generation.request import Clip, GenerationRequest
from audioforge.generation.synth_backend import SynthBackend


def clip(seed):
    return Clip(request(seed), sound(request(seed)), 0.25)


@pytest.fixture
def folder(tmp_path):
    return FolderCache(tmp_path / "clips", "weights-1", most_mb=1.0)


def test_a_clip_asked_for_again_is_the_same_object_and_is_not_made():
    async def run():
        backend = Double()
        async with Engine.in_process(backend) as engine:
            first = await engine.generate([request(0), request(1)])
            second = await engine.generate([request(1), request(2)])
        return first, second, backend.batches, engine.metrics().cache_hits

    first, second, batches, hits = asyncio.run(run())
    assert second[0] is first[1]
    assert (batches, hits) == ([[0, 1], [2]], 1)


def test_failures_are_not_kept():
    async def run():
        backend = Double()
        async with Engine.in_process(backend) as engine:
            for _ in range(2):
                await engine.generate([request(0, "invalid")])
        return backend.batches

    assert asyncio.run(run()) == [[0], [0]]


def test_memory_lets_go_of_what_was_used_longest_ago():
    size = sound(request(0)).samples.nbytes
    cache = MemoryCache(2 * size / 1e6)
    for seed in (0, 1):
        cache.put(clip(seed))
    assert cache.get(request(0))
    cache.put(clip(2))
    assert [cache.get(request(seed)) is not None for seed in range(3)] == [True, False, True]


def test_no_memory_keeps_nothing():
    cache = MemoryCache(0)
    cache.put(clip(0))
    assert cache.get(request(0)) is None


def test_a_folder_gives_a_real_clip_back_to_the_last_bit(folder):
    (made,) = SynthBackend().generate([GenerationRequest("techno beat", 0.5, 1)])
    folder.put(made)
    back = folder.get(made.request)
    assert np.array_equal(back.audio.samples, made.audio.samples)
    assert not back.audio.samples.flags.writeable
    assert (back.audio.sample_rate, back.seconds_taken, back.sha256) == (
        made.audio.sample_rate,
        made.seconds_taken,
        made.sha256,
    )


def test_other_weights_and_other_requests_are_not_found(folder):
    folder.put(clip(0))
    assert folder.get(request(1)) is None
    assert FolderCache(folder.folder, "weights-2", 1.0).get(request(0)) is None


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text"])
def test_a_damaged_file_is_deleted_and_not_believed(folder, damage):
    folder.put(clip(0))
    path = folder.path(request(0))
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
    path.write_bytes(
        {"flip": bytes(content), "cut": bytes(content[:-40]), "empty": b"", "text": b"hello" * 50}[
            damage
        ]
    )
    assert folder.get(request(0)) is None
    assert not path.exists()


def test_a_folder_stays_within_its_bound(tmp_path):
    folder = FolderCache(tmp_path, "weights-1", most_mb=0.005)
    for seed in range(30):
        folder.put(clip(seed))
    files = list(tmp_path.iterdir())
    assert sum(file.stat().st_size for file in files) <= 5_000
    assert folder.get(request(29))
    assert folder.get(request(0)) is None


def test_a_folder_that_cannot_be_written_holds_nothing_up(tmp_path):
    (tmp_path / "file").write_text("in the way")

    async def run():
        settings = EngineSettings(cache_folder=tmp_path / "file")
        async with Engine.in_process(Double(), settings) as engine:
            return await engine.generate([request(0)])

    assert isinstance(asyncio.run(run())[0], Clip)


def test_an_engine_finds_in_the_folder_what_another_has_made(tmp_path):
    def made(backend, seeds):
        async def run():
            settings = EngineSettings(cache_folder=tmp_path)
            async with Engine.in_process(backend, settings) as engine:
                clips = await engine.generate([request(seed) for seed in seeds])
            return clips, engine.metrics()

        return asyncio.run(run())

    made(Double(), range(3))
    backend = Double()
    clips, metrics = made(backend, range(5))
    assert backend.batches == [[3, 4]]
    assert metrics.cache_hits == 3
    assert [c.sha256 for c in clips] == [clip(seed).sha256 for seed in range(5)]
