"""Audio is frozen and bounded, files are checked before decoding, hashes are of the sound."""

import numpy as np
import pytest
import soundfile as sf

from audioforge.utils.audio_processing import (
    Audio,
    encode,
    flac_bytes,
    pcm16_sha256,
    read_audio,
    resample,
    to_mono,
    trim,
)

TONE = Audio(0.5 * np.sin(np.arange(32_000) / 16_000 * 2 * np.pi * 440)[None], 16_000)


def test_samples_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        TONE.samples[0, 0] = 1


def test_the_callers_array_is_copied():
    array = np.zeros((1, 8), np.float32)
    audio = Audio(array, 16_000)
    array[0, 0] = 1
    assert audio.samples[0, 0] == 0


@pytest.mark.parametrize(
    ("shape", "rate", "words"),
    [
        ((8,), 16_000, "samples must be"),
        ((9, 8), 16_000, "channels must be 1 to 8, got 9"),
        ((1, 8), 4_000, "sample_rate must be 8000 to 192000 Hz, got 4000"),
    ],
)
def test_a_wrong_layout_is_refused(shape, rate, words):
    with pytest.raises(ValueError, match=words):
        Audio(np.zeros(shape, np.float32), rate)


def test_flac_round_trip_keeps_sixteen_bits(tmp_path):
    path = tmp_path / "a.flac"
    path.write_bytes(flac_bytes(TONE))
    again = read_audio(path)
    assert again.sample_rate == 16_000
    assert np.abs(again.samples - TONE.samples).max() <= 1 / 32_767
    assert pcm16_sha256(again) == pcm16_sha256(Audio(again.samples, 16_000))


def test_the_hash_tells_rate_layout_and_sound():
    hashes = {
        pcm16_sha256(a)
        for a in (
            TONE,
            Audio(TONE.samples, 8_000),
            Audio(TONE.samples.reshape(2, -1), 16_000),
            Audio(-TONE.samples, 16_000),
        )
    }
    assert len(hashes) == 4


@pytest.mark.parametrize("container", ["WAV", "OGG", "MP3"])
def test_other_containers_hold_the_tone(tmp_path, container):
    path = tmp_path / f"a.{container.lower()}"
    path.write_bytes(encode(TONE, container))
    spectrum = np.abs(np.fft.rfft(read_audio(path).samples[0, :16_000]))
    assert spectrum.argmax() == 440


def test_a_file_that_is_no_sound_is_one_clear_error(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"not a sound")
    with pytest.raises(ValueError, match="not a readable sound file"):
        read_audio(path)
    with pytest.raises(ValueError, match="not a readable sound file"):
        read_audio(tmp_path / "absent.wav")


def test_a_file_longer_than_the_bound_is_refused_before_decoding(tmp_path):
    path = tmp_path / "long.flac"
    sf.write(path, np.zeros(16_000 * 20, np.int16), 16_000)
    with pytest.raises(ValueError, match="longer than 5 s"):
        read_audio(path, max_seconds=5)


def test_too_many_channels_are_refused(tmp_path):
    path = tmp_path / "many.wav"
    sf.write(path, np.zeros((10, 12), np.int16), 16_000)
    with pytest.raises(ValueError, match="1-8 channels"):
        read_audio(path)


def test_resampling_keeps_pitch_and_length():
    up = resample(TONE, 44_100)
    assert up.samples.shape == (1, 88_200)
    assert np.abs(np.fft.rfft(up.samples[0, :44_100])).argmax() == 440
    assert resample(TONE, 16_000) is TONE


def test_trim_and_mono():
    stereo = Audio(np.stack([np.ones(100), np.zeros(100)]), 16_000)
    assert to_mono(stereo).samples[0, 0] == pytest.approx(0.5)
    assert trim(TONE, 0.5).samples.shape == (1, 8_000)
