"""No file can crash the reader, fill the memory, or be more than one line of complaint."""

import struct

import numpy as np
import pytest
import soundfile as sf
from mutants import base, mutant, read_mutants, read_one

from audioforge.reward_functions.lanes import Lanes
from audioforge.utils.audio_processing import MAX_SAMPLES, read_audio

RATE = 16_000
MUTANTS = 2_000


def noise(seconds, channels=1):
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal((round(seconds * RATE), channels))


def with_flac_length(path, frames):
    """Write another number of frames into a FLAC header; 0 means unknown."""
    content = bytearray(path.read_bytes())
    told = int.from_bytes(content[18:26], "big") >> 36 << 36
    content[18:26] = (told | frames).to_bytes(8, "big")
    path.write_bytes(content)


@pytest.fixture(scope="module")
def bomb(tmp_path_factory):
    """A quarter of a megabyte of FLAC that decodes to three hours of silence."""
    path = tmp_path_factory.mktemp("bomb") / "bomb.flac"
    with sf.SoundFile(path, "w", 8_000, 1, "PCM_16") as file:
        for _ in range(18):
            file.write(np.zeros(8_000 * 600, np.int16))
    assert path.stat().st_size < 300_000
    return path


@pytest.mark.parametrize("length", [8_000 * 600 * 18, 0, 2**36 - 1])
def test_a_flac_bomb_is_refused_whatever_its_header_says(bomb, length):
    with_flac_length(bomb, length)
    with pytest.raises(ValueError, match="longer than 600 s of 1-channel sound, cut it first"):
        read_audio(bomb)


def test_a_header_that_says_too_much_yields_what_is_there(tmp_path):
    flac, wav = tmp_path / "liar.flac", tmp_path / "liar.wav"
    for path in (flac, wav):
        sf.write(path, noise(1.0), RATE)
    with_flac_length(flac, RATE * 599)
    content = bytearray(wav.read_bytes())
    at = content.index(b"data")
    content[at + 4 : at + 8] = struct.pack("<I", 0xFFFFFFF0)
    wav.write_bytes(content)
    assert read_audio(flac).samples.shape == read_audio(wav).samples.shape == (1, RATE)


def test_a_flac_stream_without_a_length_is_read_whole(tmp_path):
    path = tmp_path / "stream.flac"
    sf.write(path, noise(2.5, 2), RATE)
    whole = read_audio(path)
    with_flac_length(path, 0)
    assert np.array_equal(read_audio(path).samples, whole.samples)


def test_long_files_are_the_same_block_by_block_as_in_one_piece(tmp_path):
    path = tmp_path / "long.wav"
    sf.write(path, noise(80.0, 2), RATE, subtype="FLOAT")
    assert np.array_equal(read_audio(path).samples, sf.read(path, dtype="float32")[0].T)


def test_memory_is_bounded_by_samples_not_by_what_a_file_claims(tmp_path):
    path = tmp_path / "wide.flac"
    with sf.SoundFile(path, "w", 192_000, 8, "PCM_16") as file:
        for _ in range(9):
            file.write(np.zeros((192_000 * 5, 8), np.int16))
    with_flac_length(path, 0)
    small = tmp_path / "small.flac"
    sf.write(small, noise(0.1), RATE)
    with Lanes(read_one, workers=1) as lanes:
        told = []
        for task in (str(small), str(path)):
            lanes.start(task)
            told += [answer for _, answer in lanes.finished()]
    (words, before), (refused, after) = told
    assert words == "read 0.100 s"
    assert "longer than 43.69" in refused
    assert after - before < 1.5 * MAX_SAMPLES * 4 / 2**20


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.wav", b"", "it is empty"),
        ("text.wav", b"these are words, not sounds\n" * 40, "not a readable sound file"),
        ("page.mp3", b"<!doctype html><p>moved</p>", "not a readable sound file"),
        ("none.raw", bytes(100), "raw samples have no header"),
    ],
)
def test_what_is_no_sound_says_so_in_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_audio(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_damage_inside_a_file_is_a_value_error_too(tmp_path):
    path = tmp_path / "torn.flac"
    sf.write(path, noise(2.0), RATE)
    content = bytearray(path.read_bytes())
    content[5_000:6_000] = bytes(1_000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a readable sound file"):
        read_audio(path)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_two_thousand_mutants_of_each_format_crash_nothing(tmp_path, container):
    whole = base(container)
    assert len({mutant(whole, number) for number in range(60)}) > 50
    with Lanes(read_mutants, workers=1, limit_seconds=240) as lanes:
        lanes.start((container, str(tmp_path), range(MUTANTS)))
        ((_, answer),) = lanes.finished()
    outcomes, cost_mb = answer
    assert outcomes.total() == MUTANTS
    assert not outcomes["unclear"]
    assert outcomes["refused"] > 50
    assert cost_mb < 1_000
