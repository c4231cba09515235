"""MusicGen beyond its window, and going on from a given sound."""

import musicgen_models
import numpy as np
import pytest
import torch

from audioforge.generation.registry import load_backend
from audioforge.generation.request import GenerationRequest, InitAudio
from audioforge.utils.audio_processing import Audio, resample

WINDOW, OVERLAP = 80, 32


def ask(prompt="rain", seconds=0.5, seed=1, cfg=3.0, **more):
    return GenerationRequest(prompt, seconds, seed, 1, cfg, "sample", **more)


def noise(samples, channels=1, rate=16_000):
    return Audio(np.random.default_rng(3).normal(0, 0.1, (channels, samples)), rate)


def from_sound(audio):
    return InitAudio(audio, use="continue")


@pytest.fixture(scope="module", params=[1, 2], ids=["mono", "stereo"])
def backend(request, musicgen_folders):
    return load_backend(str(musicgen_folders[request.param]), "cpu")


@pytest.fixture(scope="module")
def mono(musicgen_folders):
    return load_backend(str(musicgen_folders[1]), "cpu")


def continued_upstream(backend, prompt, tokens, frames):
    """Tokens of transformers' generate from given ones at temperature 0, with them, by hand."""
    told = musicgen_models.tokenizer()([prompt], return_tensors="pt")
    captured = []
    decode = backend.model.audio_encoder.decode

    def spy(codes, **more):
        captured.append(codes[0, 0])
        return decode(codes, **more)

    backend.model.audio_encoder.decode = spy
    try:
        backend.model.generate(
            **told,
            decoder_input_ids=tokens,
            do_sample=False,
            guidance_scale=3.0,
            max_new_tokens=frames + 3,
        )
    finally:
        backend.model.audio_encoder.decode = decode
    return torch.stack(captured, 1).flatten(0, 1)


def test_windows_are_what_the_decoder_has_positions_for(mono):
    assert (mono.window, mono.overlap) == (WINDOW, OVERLAP)
    assert mono.capabilities.max_seconds == 4 * WINDOW / 50


def test_a_long_clip_begins_as_a_short_one_of_the_same_seed(mono):
    short, long = mono.tokens([ask(seconds=WINDOW / 50), ask(seconds=3.3)])
    assert long.tokens.shape[1] == 165
    assert torch.equal(long.tokens[:, :WINDOW], short.tokens)


def test_a_later_window_is_generate_continued_from_the_last_frames(backend):
    (item,) = backend.tokens([ask(seconds=2.4, temperature=0.0)])
    past, new = item.tokens[:, WINDOW - OVERLAP : WINDOW], item.tokens[:, WINDOW:]
    upstream = continued_upstream(backend, "rain", past, new.shape[1])
    assert torch.equal(upstream[:, :OVERLAP], past)
    assert torch.equal(upstream[:, OVERLAP:], new)


def test_a_given_sound_is_continued_as_generate_does(backend):
    sound = noise(9_600, backend.capabilities.channels)
    (item,) = backend.tokens([ask(temperature=0.0, init_audio=from_sound(sound))])
    told = backend.model._prepare_audio_encoder_kwargs_for_generation(
        torch.tensor(sound.samples)[None], {}
    )["decoder_input_ids"]
    assert torch.equal(item.tokens[:, : item.given], told)
    upstream = continued_upstream(backend, "rain", told, 25)
    assert torch.equal(item.tokens, upstream)


@pytest.mark.parametrize("seconds", [0.5, 1.711])
def test_the_clip_holds_only_what_follows_the_sound(backend, seconds):
    (clip,) = backend.generate([ask(seconds=seconds, init_audio=from_sound(noise(8_000)))])
    assert clip.audio.samples.shape == (backend.capabilities.channels, round(seconds * 16_000))


def test_sound_and_clip_are_decoded_as_one(mono):
    request = ask(init_audio=from_sound(noise(8_000)))
    (item,), (clip,) = mono.tokens([request]), mono.generate([request])
    (whole,) = mono.codec.decode([item.tokens])
    assert np.array_equal(clip.audio.samples, whole[:, 8_000:].numpy())


def test_only_the_end_of_a_long_sound_is_heard(mono):
    sound = noise(40_000)
    tail = Audio(sound.samples[:, -OVERLAP * 320 :], 16_000)
    first, second = mono.tokens([ask(init_audio=from_sound(s)) for s in (sound, tail)])
    assert torch.equal(first.tokens, second.tokens)


def test_a_sound_is_cut_to_whole_frames_at_its_begin(mono):
    sound = noise(3_333)
    whole = Audio(sound.samples[:, -3_200:], 16_000)
    assert torch.equal(mono.codec.encode(sound, 99), mono.codec.encode(whole, 99))


def test_a_sound_of_another_rate_and_layout_is_converted(mono):
    stereo = noise(22_050, 2, 44_100)
    mean = Audio(stereo.samples.mean(0, keepdims=True), 44_100)
    assert torch.equal(mono.codec.encode(stereo, 99), mono.codec.encode(resample(mean, 16_000), 99))


def test_long_short_and_continuing_items_share_a_batch_without_touching_each_other(mono):
    requests = [
        ask("drum loop", 2.0, 4, top_k=10),
        ask("a soft pad", 0.4, 5, 1.0),
        ask("rain", 1.2, 6, init_audio=from_sound(noise(20_000))),
        ask("deep bass", 1.0, 7, init_audio=from_sound(noise(3_200))),
        ask("siren", 2.5, 8, temperature=0.6),
    ]
    for together, request in zip(mono.tokens(requests), requests, strict=True):
        (alone,) = mono.tokens([request])
        assert torch.equal(together.tokens, alone.tokens)
