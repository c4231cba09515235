import numpy as np
import pytest
import signals
from scipy import signal

from audioforge.reward_functions.faults import DETECTORS, faults
from audioforge.utils.audio_processing import Audio
from audioforge.utils.spectral_analysis import Features

RATE = signals.RATE


def changed(change, base=None):
    base = base or signals.mix()
    return Features(Audio(change(base.samples.astype(np.float64).copy()), base.sample_rate))


def clipped(gain_db):
    return lambda x: np.clip(x * 10 ** (gain_db / 20), -np.abs(x).max(), np.abs(x).max())


def clicked(count):
    def change(x):
        rng = np.random.default_rng(1)
        for at in rng.integers(1000, x.shape[1] - 1000, count):
            x[:, at] += 0.9 * np.sign(rng.standard_normal())
        return x

    return change


def dropped(count, seconds):
    def change(x):
        for at in np.linspace(0.1, 0.9, count):
            start = round(at * x.shape[1])
            x[:, start : start + round(seconds * RATE)] = 0
        return x

    return change


def stuttered(seconds):
    def change(x):
        size = round(seconds * RATE)
        return np.tile(x[:, 40_000 : 40_000 + size], x.shape[1] // size)

    return change


def crushed(bits):
    return lambda x: np.round(x * 2 ** (bits - 1)) / 2 ** (bits - 1)


def low_passed(hz):
    return lambda x: signal.sosfiltfilt(signal.butter(12, hz, fs=RATE, output="sos"), x)


def held(factor):
    return lambda x: np.repeat(x[:, ::factor], factor, axis=1)[:, : x.shape[1]]


@pytest.mark.parametrize(
    ("name", "mild", "strong"),
    [
        ("clipping", clipped(6), clipped(15)),
        ("clicks", clicked(16), clicked(60)),
        ("dropouts", dropped(3, 0.01), dropped(12, 0.05)),
        ("DC offset", lambda x: x + 0.03, lambda x: x + 0.1),
        (
            "noise floor",
            lambda x: x + 0.01 * np.random.default_rng(0).standard_normal(x.shape),
            lambda x: x + 0.1 * np.random.default_rng(0).standard_normal(x.shape),
        ),
        ("repetition", stuttered(0.5), stuttered(0.1)),
        ("stutter", stuttered(0.1), stuttered(0.02)),
        ("coarse steps", crushed(8), crushed(5)),
        ("spectral edge", low_passed(8_000), low_passed(4_000)),
        ("inverted channel", lambda x: x * [[1], [-0.7]], lambda x: x * [[1], [-1]]),
        ("held samples", held(2), held(8)),
        ("silence", dropped(1, 3.0), dropped(1, 5.0)),
        ("lost channel", lambda x: x * [[1], [0.15]], lambda x: x * [[1], [0.0]]),
    ],
)
def test_each_detector_hears_its_fault_and_more_of_it(name, mild, strong):
    clips = (Features(signals.mix()), changed(mild), changed(strong))
    clean, some, much = (DETECTORS[name](features) for features in clips)
    assert clean.value > 0.9
    assert some.value <= clean.value
    assert much.value <= some.value + 0.01
    assert much.value <= 0.65
    assert clean.severity < some.severity <= much.severity + 1e-6


def test_a_severity_and_its_value_never_rise_together():
    bases = [signals.mix(), *(signals.lowpassed(signals.mix(), hz) for hz in (12_000, 6_000))]
    for name in DETECTORS:
        found = [DETECTORS[name](Features(base)) for base in bases]
        for one in found:
            for other in found:
                assert one.severity <= other.severity or one.value <= other.value + 1e-9


def test_every_detector_judges_silence_and_ten_milliseconds_without_complaint():
    for audio in (signals.silence(1.0), Audio(signals.mix().samples[:, :441], RATE)):
        for fault in faults(Features(audio)):
            assert 0 <= fault.value <= 1
            assert np.isfinite(fault.severity)


def test_a_bass_tone_is_not_called_clipped_and_a_saw_is_not_called_clicks():
    assert DETECTORS["clipping"](Features(signals.sine(50.0))).value == 1
    assert DETECTORS["clicks"](Features(signals.saw_drone())).value > 0.9


def test_a_held_tone_is_not_called_repetition():
    assert DETECTORS["repetition"](Features(signals.sine(110.0))).value == 1


def test_a_delayed_copy_on_one_side_is_found_at_either_side():
    late = signals.haas(signals.mix())
    swapped = Audio(late.samples[::-1], late.sample_rate)
    assert DETECTORS["delayed channel"](Features(late)).value < 0.3
    assert DETECTORS["delayed channel"](Features(swapped)).value == pytest.approx(
        DETECTORS["delayed channel"](Features(late)).value, abs=0.02
    )
    assert DETECTORS["delayed channel"](Features(signals.mix())).value == 1


def test_a_steady_bass_note_is_no_stutter_and_a_single_overtone_is_no_spectral_edge():
    note = np.sum([np.sin(2 * np.pi * 55.3 * k * signals.timeline()) / k for k in range(1, 30)], 0)
    assert DETECTORS["stutter"](Features(signals.stereo(0.3 * note))).value > 0.8
    assert DETECTORS["spectral edge"](Features(signals.sine(6_000.0))).value == 1


def test_mono_is_told_and_never_punished():
    collapsed = changed(lambda x: np.repeat(x.mean(0, keepdims=True), 2, axis=0))
    told = DETECTORS["narrow stereo"](collapsed)
    assert told.severity > 80
    assert told.value == 1


def test_mains_hum_under_sparse_music_is_found_and_a_bass_note_is_not_hum():
    t = signals.timeline()
    hum = sum(
        a * np.sin(2 * np.pi * 50 * k * t)
        for k, a in ((1, 1), (2, 0.6), (3, 0.5), (4, 0.3), (6, 0.2))
    )
    pause = signals.with_dropped(signals.mix(), 0.5)
    assert DETECTORS["hum"](changed(lambda x: x + 0.003 * hum, pause)).value < 0.6
    assert DETECTORS["hum"](Features(pause)).value > 0.9
    assert DETECTORS["hum"](Features(signals.mix())).value > 0.9


@pytest.mark.parametrize("gain_db", [-45, -30, -12])
@pytest.mark.parametrize("change", [lambda x: x, dropped(4, 0.04), lambda x: x + 0.02])
def test_holes_and_dc_are_heard_alike_at_any_level(change, gain_db):
    base = Audio(0.5 * signals.kicks().samples, RATE)
    for name in ("dropouts", "DC offset"):
        loud = DETECTORS[name](changed(change, base))
        quiet = DETECTORS[name](changed(lambda x: change(x) * 10 ** (gain_db / 20), base))
        assert quiet.value == pytest.approx(loud.value, abs=0.02), name


def test_a_decay_to_silence_is_no_hole_and_a_hole_before_a_decay_is():
    t = np.arange(RATE) / RATE
    struck = 0.5 * np.sin(2 * np.pi * 200 * t) * np.exp(-t / 0.04)
    struck[round(0.24 * RATE) :] = 0  # a fortieth of the clip's RMS
    beats = np.tile(struck, 4)[None]
    assert DETECTORS["dropouts"](Features(Audio(beats, RATE))).value == 1
    early, late = RATE // 100, RATE // 5
    cut = beats.copy()
    cut[:, 2 * RATE + early : 2 * RATE + late] = 0
    heard = DETECTORS["dropouts"](Features(Audio(cut, RATE)))
    assert heard.words.startswith("1 hole")
    assert heard.value < 0.95


def test_bright_overtones_are_no_noise_and_hiss_is():
    t = signals.timeline()
    tones = sum(np.sin(2 * np.pi * 210 * k * t + k * k) / k for k in range(1, 100))
    bright = Audio(np.tile(0.2 * tones, (2, 1)), RATE)
    clean = DETECTORS["noise floor"](Features(bright))
    hiss = 0.05 * np.random.default_rng(0).standard_normal((2, t.size))
    noisy = DETECTORS["noise floor"](Features(Audio(bright.samples + hiss, RATE)))
    assert clean.value > 0.95
    assert noisy.value < 0.6
    assert noisy.severity > clean.severity + 10
