"""The MusicGen backend against transformers' own generate, and its promises about batches."""

import dataclasses
import random

import musicgen_models
import numpy as np
import pytest
import torch

from audioforge.generation import musicgen_graphs
from audioforge.generation.musicgen import MusicgenBackend
from audioforge.generation.musicgen_graphs import FixedStep
from audioforge.generation.musicgen_player import FEWEST_ROWS
from audioforge.generation.registry import load_backend
from audioforge.generation.request import Clip, Failure, GenerationRequest, InitAudio
from audioforge.utils.audio_processing import Audio

PROMPTS = ["a soft pad", "deep bass drum loop", "rain", "bright bell"]


def ask(prompt="rain", seconds=0.5, seed=1, cfg=3.0, **more):
    return GenerationRequest(prompt, seconds, seed, 1, cfg, "sample", **more)


MIXED = [
    ask("a soft pad", 1.0, 1),
    ask("drum loop", 0.5, 2, 1.0, temperature=0.7, top_k=20),
    ask("", 1.3, 3, 5.0, top_p=0.8),
    ask("bright bell siren rain", 0.77, 4, 0.5, temperature=1.3, top_k=5, negative_prompt="pad"),
    ask("rain", 1.0, 5, 2.0, temperature=0.0),
    ask("deep bass", 0.1, 6, 1.0),
]


@pytest.fixture(scope="module", params=[1, 2], ids=["mono", "stereo"])
def backend(request, musicgen_folders):
    return load_backend(str(musicgen_folders[request.param]), "cpu")


@pytest.fixture(scope="module")
def mono(musicgen_folders):
    return load_backend(str(musicgen_folders[1]), "cpu")


def upstream(backend, prompts, frames, cfg):
    """Waves of transformers' generate at temperature 0, [clips, channels, samples]."""
    told = musicgen_models.tokenizer()(prompts, padding=True, return_tensors="pt")
    with torch.random.fork_rng():
        return backend.model.generate(
            **told, do_sample=False, guidance_scale=cfg, max_new_tokens=frames + 3
        )


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_temperature_zero_is_what_generate_makes(backend, count, cfg):
    requests = [ask(p, 0.5, cfg=cfg, temperature=0.0) for p in PROMPTS[:count]]
    waves = upstream(backend, PROMPTS[:count], 25, cfg)
    for clip, wave in zip(backend.generate(requests), waves, strict=True):
        assert isinstance(clip, Clip)
        assert np.abs(clip.audio.samples - wave.numpy()).max() < 1e-6
    assert len(backend.tokens(requests)[0].tokens.unique()) > 10


def test_a_mixed_batch_equals_solo_runs(backend):
    for made, request in zip(backend.generate(MIXED), MIXED, strict=True):
        (alone,) = backend.generate([request])
        assert np.abs(made.audio.samples - alone.audio.samples).max() < 1e-6


def test_order_and_company_do_not_change_tokens(mono):
    first = mono.tokens(MIXED)
    again = mono.tokens([*MIXED[::-1], ask("siren", 1.5, 9)])[5::-1]
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.tokens, other.tokens)


def test_the_same_batch_twice_is_bit_identical(mono):
    assert [c.sha256 for c in mono.generate(MIXED)] == [c.sha256 for c in mono.generate(MIXED)]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"prompt": "siren"},
        {"temperature": 0.5},
        {"top_k": 2},
        {"top_p": 0.3},
        {"cfg_scale": 1.0},
        {"cfg_scale": 6.0},
        {"negative_prompt": "siren"},
    ],
    ids=str,
)
def test_every_knob_changes_the_clip(mono, change):
    other = dataclasses.replace(ask(), **change)
    first, second = mono.generate([ask(), other])
    assert first.sha256 != second.sha256


def test_without_guidance_toward_the_prompt_the_negative_prompt_is_played(mono):
    turned = ask("rain", cfg=0.0, negative_prompt="a soft pad")
    plain = ask("a soft pad", cfg=1.0)
    first, second = mono.tokens([turned, plain])
    assert torch.equal(first.tokens, second.tokens)


def test_an_empty_prompt_hears_what_the_unguided_row_hears(mono):
    first, second = mono.tokens([ask("", cfg=1.0), ask("", cfg=7.0)])
    assert torch.equal(first.tokens, second.tokens)


def test_only_guided_items_have_two_rows_and_finished_items_leave(mono):
    rows = []
    hook = mono.decoder.layers[0].register_forward_hook(lambda _, x, y: rows.append(len(y)))
    try:
        mono.tokens([ask(seconds=0.2 * i, cfg=3.0 if i < 3 else 1.0) for i in range(1, 7)])
    finally:
        hook.remove()
    assert len(rows) == 60 + 3
    assert rows[0] == 6 + 2
    assert rows[-1] == FEWEST_ROWS
    assert rows == sorted(rows, reverse=True)


@pytest.mark.parametrize("seconds", [0.001, 0.333, 0.5, 1.37])
def test_a_clip_has_the_asked_length_to_the_sample(backend, seconds):
    (clip,) = backend.generate([ask(seconds=seconds)])
    assert clip.audio.samples.shape == (
        backend.capabilities.channels,
        round(seconds * 16_000),
    )


def random_states():
    legacy = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), legacy[1].tolist(), random.getstate()


def test_global_random_state_and_stdout_are_left_alone(musicgen_folders, capfd):
    before = random_states()
    load_backend(str(musicgen_folders[1]), "cpu").generate(MIXED[:3])
    assert random_states() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seconds": 9.0}, "seconds must be at most 6.4, got 9"),
        ({"sampler": "euler"}, "sampler must be one of"),
        ({"steps": 8}, "steps must be at most 1, got 8"),
        ({"cfg_scale": 99.0}, "cfg_scale must be in"),
        ({"sigma_max": 0.5}, "takes no sigma_max"),
        ({"init_audio": InitAudio(Audio(np.zeros((1, 9_000)), 16_000))}, "init_audio must be of"),
        (
            {"init_audio": InitAudio(Audio(np.zeros((1, 9)), 16_000), use="continue")},
            "a sound to continue must last 0.02 s",
        ),
    ],
    ids=lambda x: str(x)[:40],
)
def test_what_the_checkpoint_cannot_do_is_a_failure_and_spares_its_neighbours(mono, change, words):
    failed, made = mono.generate([dataclasses.replace(ask(), **change), ask()])
    assert isinstance(failed, Failure)
    assert failed.kind == "invalid"
    assert words in failed.message
    assert isinstance(made, Clip)


def test_logits_that_are_not_finite_fail_and_say_so(musicgen_folders):
    broken = load_backend(str(musicgen_folders[1]), "cpu")
    broken.decoder.heads[0, 0] = float("nan")
    (failed,) = broken.generate([ask()])
    assert (failed.kind, failed.message) == ("crash", "the model's logits were not finite")


def test_a_step_of_fixed_shapes_gives_the_same_logits(mono, monkeypatch):
    """What CUDA graphs replay, run eagerly: rows and slots rounded up, slots to come masked."""
    monkeypatch.setattr(musicgen_graphs, "SLOTS", 8)
    player, decoder = mono._player, mono.decoder
    caches = [decoder.new_cache(8, 40, 32) for _ in range(2)]
    text = torch.randn(5, 32, 32, generator=torch.Generator().manual_seed(0))
    for cache in caches:
        decoder.hear_text(cache, text, torch.arange(32).expand(5, -1) < 20)
    fixed = FixedStep(decoder, caches[1], graphs=False)
    tokens = torch.randint(0, 64, (5, 4, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for cache in caches:
            player._eager(cache, tokens[..., :3], 0)
        for at in range(3, 20):
            plain = player._eager(caches[0], tokens[..., at : at + 1], at)
            assert torch.allclose(fixed(tokens[..., at : at + 1], at), plain, atol=1e-5)


def test_hooks_on_layers_see_and_change_the_stream(mono):
    (plain,) = mono.tokens([ask()])
    hook = mono.decoder.layers[1].register_forward_hook(lambda _, x, y: y.flip(-1))
    try:
        (hooked,) = mono.tokens([ask()])
    finally:
        hook.remove()
    assert not torch.equal(plain.tokens, hooked.tokens)
    assert torch.equal(plain.tokens, mono.tokens([ask()])[0].tokens)


def test_transformers_still_works_on_the_shared_weights(mono):
    assert isinstance(mono, MusicgenBackend)
    pointers = {p.untyped_storage().data_ptr() for p in mono.model.decoder.parameters()}
    assert mono.decoder.heads.untyped_storage().data_ptr() in pointers
