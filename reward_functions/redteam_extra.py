"""More for the red team: attacks of other kinds than the numbered ones, and harmless controls.

It is no pass mark: `--extra` reports it beside the 46. Our reward has met these attacks when
`realism.npz` was fitted; what it makes of attacks it has not met, `fit_realism.py` prints. Controls
must stay within 0.05 of the clip they were made from.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import soundfile as sf
from scipy import signal

from audioforge.reward_functions import redteam_damage as damage
from audioforge.reward_functions.redteam_inputs import BELOW_P25, REJECT, Input, altered, made
from audioforge.reward_functions.redteam_signals import frame_repeated, lowpassed, with_noise
from audioforge.utils.audio_processing import Audio, encode, resample

HARMLESS = "harmless"

ATTACKS: tuple[Input, ...] = (
    made("noise breathing at 3 Hz", REJECT, damage.breathing_noise),
    made("combed noise", REJECT, damage.combed_noise),
    made("noise narrowed to notes", REJECT, damage.pitched_noise),
    made("octaves of noise on a beat", REJECT, damage.noise_kit),
    made("decaying noise on a beat", REJECT, damage.struck_noise),
    made("sines with vibrato", REJECT, damage.vibrato_sines),
    made("random FM bells", REJECT, damage.random_bells),
    made("modem", REJECT, damage.modem),
    made("Shepard tones", REJECT, damage.shepard),
    made("Geiger counter", REJECT, damage.geiger),
    made("integer formula", REJECT, damage.arithmetic),
    made("telephone tones", REJECT, damage.dial_tones),
    made("engine", REJECT, damage.engine),
    made("a voice", REJECT, damage.talking),
    made("one syllable looped", REJECT, damage.one_syllable),
    made("one sentence looped", REJECT, damage.one_sentence),
    made("a voice stretched four times", REJECT, damage.slow_voice),
    altered("bits reversed", REJECT, damage.bits_reversed),
    altered("one moment frozen", REJECT, damage.frozen),
    altered("ring modulation", BELOW_P25, damage.ring_modulated),
    altered("grains scattered", BELOW_P25, damage.scattered),
    altered("every second piece reversed", BELOW_P25, damage.turned_pieces),
    altered("3 % of the clip repeated", BELOW_P25, lambda b: frame_repeated(b, 0.24)),
    altered("strong hiss", BELOW_P25, lambda b: with_noise(b, 8)),
    altered("nothing but reverberation", BELOW_P25, damage.washed),
    altered("phases drawn at random", BELOW_P25, damage.whispered),
    altered("stretched four times", BELOW_P25, lambda b: damage.stretched(b, 4.0)),
    altered("three quarters of the cells lost", BELOW_P25, damage.holed),
    altered("aliased", BELOW_P25, damage.aliased),
    altered("chopped 25 times a second", BELOW_P25, damage.chopped),
    altered("rectified", BELOW_P25, damage.rectified),
    altered("warbled", BELOW_P25, damage.warbled),
    altered("telephone line", BELOW_P25, damage.telephoned),
    altered("stuttered on the half second", BELOW_P25, damage.stuttered),
    altered("dark and under hiss", BELOW_P25, lambda b: with_noise(lowpassed(b, 800), 20)),
    Input(
        "two songs at once",
        BELOW_P25,
        lambda bases: (damage.mixed(bases.clip, bases.other),),
        altered=True,
    ),
)


def _control(name: str, change: Callable[[np.ndarray, int], np.ndarray]) -> Input:
    return altered(name, HARMLESS, lambda b: Audio(change(b.samples, b.sample_rate), b.sample_rate))


def _back(rate: int) -> Callable[[np.ndarray, int], np.ndarray]:
    return lambda x, own: resample(resample(Audio(x, own), rate), own).samples


def _coded(container: str, subtype: str | None = None) -> Callable[[np.ndarray, int], np.ndarray]:
    def change(x: np.ndarray, rate: int) -> np.ndarray:
        decoded, _ = sf.read(io.BytesIO(encode(Audio(x, rate), container, subtype)), always_2d=True)
        return decoded.T

    return change


def _shelf(gain_db: float, hz: float) -> Callable[[np.ndarray, int], np.ndarray]:
    """Raise or lower what lies above a frequency, first order."""

    def change(x: np.ndarray, rate: int) -> np.ndarray:
        high = np.asarray(signal.sosfilt(signal.butter(1, hz, "high", fs=rate, output="sos"), x))
        return x + (10 ** (gain_db / 20) - 1) * high

    return change


def _faded(x: np.ndarray, rate: int) -> np.ndarray:
    size = round(0.01 * rate)
    curve = np.ones(x.shape[1])
    curve[:size] = np.linspace(0, 1, size)
    curve[-size:] = np.linspace(1, 0, size)
    return x * curve


def _widened(gain_db: float) -> Callable[[np.ndarray, int], np.ndarray]:
    def change(x: np.ndarray, rate: int) -> np.ndarray:
        mid, side = x.mean(0), 10 ** (gain_db / 20) * (x[0] - x[-1]) / 2
        return np.stack([mid + side, mid - side])

    return change


CONTROLS: tuple[Input, ...] = (
    _control("6 dB quieter", lambda x, rate: 0.5 * x),
    _control("18 dB quieter", lambda x, rate: 0.125 * x),
    _control("polarity turned", lambda x, rate: -x),
    _control("sides swapped", lambda x, rate: x[::-1]),
    _control("resampled to 48 kHz and back", _back(48_000)),
    _control("resampled to 96 kHz and back", _back(96_000)),
    _control("24 bits", _coded("WAV", "PCM_24")),
    _control("16 bits, FLAC", _coded("FLAC", "PCM_16")),
    _control("Ogg Vorbis", _coded("OGG", "VORBIS")),
    _control("MP3", _coded("MP3")),
    _control("20 ms cut off the start", lambda x, rate: x[:, rate // 50 :]),
    _control("50 ms cut off the end", lambda x, rate: x[:, : -rate // 20]),
    _control("2 dB more treble", _shelf(2.0, 5_000)),
    _control("1.5 dB less treble", _shelf(-1.5, 3_000)),
    _control("10 ms fades", _faded),
    _control("2 dB wider", _widened(2.0)),
    _control("2 dB narrower", _widened(-2.0)),
    _control("inaudible dither", lambda x, rate: with_noise(Audio(x, rate), 75).samples),
)
