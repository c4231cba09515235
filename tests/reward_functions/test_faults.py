import numpy as np
import pytest
import signals

from audioforge.reward_functions import faults
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


def held(factor):
    return lambda x: np.repeat(x[:, ::factor], factor, axis=1)[:, : x.shape[1]]


@pytest.mark.parametrize(
    ("detector", "mild", "strong"),
    [
        (faults.flat_tops, clipped(6), clipped(15)),
        (faults.clicks, clicked(16), clicked(60)),
        (faults.dropouts, dropped(3, 0.01), dropped(12, 0.05)),
        (faults.direct_current, lambda x: x + 0.03, lambda x: x + 0.1),
        (
            faults.noise_floor,
            lambda x: x + 0.01 * np.random.default_rng(0).standard_normal(x.shape),
            lambda x: x + 0.1 * np.random.default_rng(0).standard_normal(x.shape),
        ),
        (faults.repetition, stuttered(0.5), stuttered(0.1)),
        (faults.held_steps, held(2), held(8)),
        (faults.silence_run, dropped(1, 3.0), dropped(1, 5.0)),
        (faults.lost_channel, lambda x: x * [[1], [0.15]], lambda x: x * [[1], [0.0]]),
    ],
    ids=lambda d: (
        getattr(d, "__name__", None) if callable(d) and d.__module__.endswith("faults") else None
    ),
)
def test_each_detector_hears_its_fault_and_more_of_it(detector, mild, strong):
    clean, some, much = (
        detector(Features(signals.mix())).value,
        detector(changed(mild)).value,
        detector(changed(strong)).value,
    )
    assert clean > 0.9
    assert some <= clean
    assert much <= some + 0.01
    assert much <= 0.6


def test_a_bass_tone_is_not_called_clipped_and_a_saw_is_not_called_clicks():
    assert faults.flat_tops(Features(signals.sine(50.0))).value == 1
    assert faults.clicks(Features(signals.saw_drone())).value > 0.9


def test_a_held_tone_is_not_called_repetition():
    assert faults.repetition(Features(signals.sine(110.0))).value == 1


def test_a_delayed_copy_on_one_side_is_found_at_either_side():
    late = signals.haas(signals.mix())
    swapped = Audio(late.samples[::-1], late.sample_rate)
    assert faults.delayed_channel(Features(late)).value < 0.3
    assert faults.delayed_channel(Features(swapped)).value == pytest.approx(
        faults.delayed_channel(Features(late)).value, abs=0.02
    )
    assert faults.delayed_channel(Features(signals.mix())).value == 1


def test_mains_hum_under_sparse_music_is_found_and_a_bass_note_is_not_hum():
    t = signals.timeline()
    hum = sum(
        a * np.sin(2 * np.pi * 50 * k * t)
        for k, a in ((1, 1), (2, 0.6), (3, 0.5), (4, 0.3), (6, 0.2))
    )
    pause = signals.with_dropped(signals.mix(), 0.5)
    assert faults.hum(changed(lambda x: x + 0.003 * hum, pause)).value < 0.6
    assert faults.hum(Features(pause)).value > 0.9
    assert faults.hum(Features(signals.mix())).value > 0.9
