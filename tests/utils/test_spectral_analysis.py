import numpy as np
import pytest
import signals

from audioforge.utils.audio_processing import Audio, resample
from audioforge.utils.loudness import loudness_range
from audioforge.utils.spectral_analysis import BANDS, FRAME_HZ, Features


def mono_sine(hz, level, seconds=4.0, rate=48_000, phase=0.0):
    return Audio(
        level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate + phase)[None], rate
    )


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_full_scale_997_hz_sine_reads_minus_3_lufs_as_bs1770_says(rate):
    assert Features(mono_sine(997, 1.0, rate=rate)).lufs == pytest.approx(-3.01, abs=0.05)


def test_loudness_agrees_with_pyloudnorm_within_a_tenth():
    pyloudnorm = pytest.importorskip("pyloudnorm")
    for audio in (signals.mix(), signals.white(), signals.kicks(), resample(signals.mix(), 48_000)):
        oracle = pyloudnorm.Meter(audio.sample_rate).integrated_loudness(
            audio.samples.T.astype(float)
        )
        assert Features(audio).lufs == pytest.approx(oracle, abs=0.1)


def test_loudness_range_agrees_with_pyloudnorm():
    pyloudnorm = pytest.importorskip("pyloudnorm")
    base = np.tile(signals.mix().samples, 2)
    for swing in (0, 12, 30):
        gain = 10 ** (np.sin(np.linspace(0, 9, base.shape[1])) * swing / 40)
        audio = Audio(0.3 * base * gain, 44_100)
        oracle = pyloudnorm.Meter(44_100).loudness_range(audio.samples.T.astype(float))
        heard = loudness_range(*Features(audio).hop_energy, 44_100)
        assert heard == pytest.approx(oracle, abs=0.2)


def test_gating_ignores_silence_after_the_music():
    base = signals.mix()
    longer = Audio(np.pad(base.samples, ((0, 0), (0, base.samples.shape[1]))), base.sample_rate)
    assert Features(longer).lufs == pytest.approx(Features(base).lufs, abs=0.3)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_frames_come_a_hundred_times_a_second_at_every_rate(rate):
    features = Features(mono_sine(440, 0.5, 2.0, rate))
    assert len(features.power) == pytest.approx(2 * FRAME_HZ, abs=3)
    assert features.mel.shape == (len(features.power), BANDS)
    assert abs(features.hz[features.spectrum.argmax()] - 440) < 25


def test_a_16_khz_mono_copy_has_nearly_the_same_mel_bands():
    base = signals.mix()
    narrow = resample(Audio(base.samples.mean(0, keepdims=True), base.sample_rate), 16_000)
    a, b = Features(base), Features(narrow)
    size = min(len(a.mel_db), len(b.mel_db))
    # Loudness is normalised over the whole band, so the copies differ by one constant; take it out.
    apart = a.mel_db[5 : size - 5] - b.mel_db[5 : size - 5]
    assert np.median(np.abs(apart - np.median(apart))) < 0.5


def test_the_analysed_copy_is_the_same_at_any_level_and_offset():
    base = signals.mix()
    moved = Audio(base.samples * np.float32(0.1) + np.float32(0.05), base.sample_rate)
    assert np.allclose(Features(base).sound, Features(moved).sound, atol=1e-4)


def test_a_sine_is_one_line_and_noise_is_flat():
    tone, noise = Features(signals.sine()), Features(signals.white())
    assert np.median(tone.line_share) > 0.99
    assert np.median(noise.line_share) < 0.05
    assert np.median(noise.frame_flatness_db) == pytest.approx(-2.5, abs=0.3)


def test_chroma_of_an_a_peaks_at_a():
    assert Features(signals.sine(440.0)).chroma.mean(0).argmax() == 9


@pytest.mark.parametrize("name", list(signals.adversarial()))
def test_every_measurement_survives_every_adversarial_clip(name):
    for clip in signals.adversarial()[name]:
        features = Features(clip)
        for attribute in (
            "power",
            "mel_db",
            "flux_db",
            "line_share",
            "chroma",
            "frame_flatness_db",
            "sound",
        ):
            assert np.isfinite(getattr(features, attribute)).all(), attribute
        assert 0 <= features.side_share <= 1


def test_measuring_twice_gives_the_same_bits():
    assert np.array_equal(Features(signals.mix()).mel, Features(signals.mix()).mel)
