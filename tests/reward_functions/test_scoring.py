"""Whatever a sound comes as, it is the same sound."""

import numpy as np
import pytest
import torch

from audioforge.reward_functions import score
from audioforge.reward_functions.scoring import as_audio
from audioforge.utils.audio_processing import Audio, flac_bytes

WAVE = (0.5 * np.sin(np.arange(22_050) * 0.05)).astype(np.float32)


@pytest.mark.parametrize(
    ("sound", "step"),
    [
        (WAVE, 0),
        (WAVE[None], 0),
        (WAVE[:, None], 0),
        (WAVE.astype(np.float64).tolist(), 0),
        (torch.from_numpy(WAVE), 0),
        (torch.from_numpy(WAVE).to(torch.bfloat16).requires_grad_(), 2**-8),
        (torch.from_numpy(WAVE).half(), 2**-10),
        ((WAVE * 2**15).astype(np.int16), 2**-15),
        ((WAVE.astype(np.float64) * 2**31).astype(np.int32), 2**-20),
        (((WAVE + 1) * 2**7).astype(np.uint8), 2**-7),
    ],
)
def test_arrays_and_tensors_of_any_type_are_the_same_sound(sound, step):
    audio = as_audio(sound, 22_050)
    assert audio.samples.shape == (1, 22_050)
    assert np.abs(audio.samples[0] - WAVE).max() <= step


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (np.zeros((2, 3, 4)), "sound must be"),
        (np.zeros((1, 100), complex), "real numbers, got complex128"),
        (np.zeros((1, 100), bool), "real numbers, got bool"),
        (["a", "b"], "real numbers"),
        (np.zeros((20, 30)), "channels must be 1 to 8"),
    ],
)
def test_what_is_no_sound_is_one_clear_error(sound, words):
    with pytest.raises(ValueError, match=words):
        as_audio(sound)


def test_a_path_an_array_and_a_tensor_get_the_same_report(tmp_path):
    rng = np.random.default_rng(3)
    samples = (0.2 * rng.standard_normal((1, 32_000))).astype(np.float32)
    path = tmp_path / "a.flac"
    path.write_bytes(flac_bytes(Audio(samples, 16_000)))
    decoded = as_audio(path).samples
    totals = {
        score(sound, "rain", sample_rate=16_000).total
        for sound in (path, str(path), decoded, torch.from_numpy(decoded.copy()))
    }
    assert len(totals) == 1
