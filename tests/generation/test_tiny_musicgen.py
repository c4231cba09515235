"""Training of tiny-musicgen: clips say what they hold, every stage runs, the export loads."""

import numpy as np
import pytest
import torch

from audioforge.generation.tiny import musicgen_clips as mc
from audioforge.generation.tiny import musicgen_codec, musicgen_decoder
from audioforge.generation.tiny.musicgen_design import CODEBOOK_SIZE, save_tokenizer
from audioforge.generation.tiny.musicgen_start import lapped
from audioforge.generation.tiny.train_musicgen import Run

RATE = 16_000


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def loudest_hz(wave):
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size)))
    return spectrum.argmax() * RATE / wave.size


@pytest.mark.parametrize("voice", ["piano", "flute", "guitar", "lead"])
def test_a_note_is_in_tune(voice):
    question = mc.Question("note", root=9, voice=voice, octave=4)
    wave = mc.render_question(question, 3).astype(float)
    ratio = loudest_hz(wave) / 440.0
    cents = 1_200 * np.log2(ratio / round(ratio))  # the loudest partial may not be the first
    assert abs(cents) < 20


def test_a_chord_holds_its_notes():
    wave = mc.render_question(mc.Question("chord", 0, "flute", "minor", octave=4), 1) / 32_767
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size)))

    def level(midi):
        centre = 440 * 2 ** ((midi - 69) / 12) * wave.size / RATE
        return spectrum[int(centre * 0.99) : int(centre * 1.01) + 1].max()

    assert min(level(60), level(63), level(67)) > 10 * max(level(61), level(65), level(66))


def test_a_clip_depends_on_seed_and_index_alone():
    assert mc.draw(1, 5) == mc.draw(1, 5)
    assert mc.draw(1, 5) != mc.draw(2, 5)
    question = next(q for i in range(99) if (q := mc.draw(1, i)).kind == "note")
    assert np.array_equal(mc.render_question(question, 4), mc.render_question(question, 4))


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("C# note", "csharp"),
        ("c sharp note", "csharp"),
        ("D flat note", "csharp"),
        ("b flat", "asharp"),
        ("a note", "a"),
        ("loop at 128 bpm", "128"),
    ],
)
def test_a_note_or_tempo_is_one_token_in_every_spelling(tokenizer, text, token):
    assert token in tokenizer.tokenize(text)


def test_every_training_caption_is_all_known_words(tokenizer):
    rng = np.random.default_rng(0)
    texts = [mc.words_for(mc.draw(3, i), rng) for i in range(300)]
    assert len(set(texts)) > 250
    assert not any("[UNK]" in tokenizer.tokenize(text) for text in texts)


def test_the_lapped_transform_reconstructs():
    size, basis = 8, lapped(8).numpy()
    wave = np.random.default_rng(0).standard_normal(10 * size)
    made = np.zeros_like(wave)
    for start in range(0, wave.size - size, size):
        made[start : start + 2 * size] += basis.T @ (basis @ wave[start : start + 2 * size])
    assert made[size:-size] == pytest.approx(wave[size:-size], abs=1e-5)


def test_the_codec_starts_with_low_tones_in_place():
    model = musicgen_codec.build(1)
    wave = 0.5 * torch.sin(2 * torch.pi * 300 / RATE * torch.arange(6_400.0))[None, None]
    with torch.no_grad():
        error = (model.decoder(model.encoder(wave)) - wave)[..., 640:-640]
    assert error.square().mean() < 0.1 * wave.square().mean()


def test_the_decoder_starts_with_attention_on_the_beat(tokenizer):
    bpm, codes = 120, torch.randint(CODEBOOK_SIZE, (24, 4, 80))
    model = musicgen_decoder.build(tokenizer, codes, seed=1).eval()
    attention = model.decoder.model.decoder.layers[0].encoder_attn
    made = {}
    for name in ("q_proj", "k_proj"):
        getattr(attention, name).register_forward_hook(
            lambda module, inputs, output, name=name: made.update({name: output})
        )
    words = tokenizer([f"techno, {bpm} bpm"], return_tensors="pt")
    inputs, _ = musicgen_decoder.delayed(codes[:1])
    with torch.no_grad():
        model(**words, decoder_input_ids=inputs[0])
    key = made["k_proj"][0, words["input_ids"][0].tolist().index(tokenizer.vocab[str(bpm)]), :64]
    score = made["q_proj"][0, :, :64] @ key
    beat = torch.cos(2 * torch.pi * bpm / 60 * 0.04 * torch.arange(len(score)))
    assert torch.corrcoef(torch.stack([score, beat]))[0, 1] > 0.6


def test_targets_are_delayed_by_one_step_per_codebook():
    inputs, targets = musicgen_decoder.delayed(torch.arange(8).view(1, 2, 4))
    assert targets[0].tolist() == [[0, 1, 2, 3, CODEBOOK_SIZE], [CODEBOOK_SIZE, 4, 5, 6, 7]]
    assert inputs[0, :, 1:].equal(targets[0, :, :-1])
    assert inputs[0, :, 0].tolist() == [CODEBOOK_SIZE, CODEBOOK_SIZE]


def test_every_stage_runs_and_the_export_generates(tmp_path, tokenizer):
    from transformers import AutoTokenizer, MusicgenForConditionalGeneration

    run = Run(tmp_path / "work", 8, 2, {"autoencoder": 2, "quantised": 2, "decoder": 2})
    run.export(tmp_path / "model")
    model, report = MusicgenForConditionalGeneration.from_pretrained(
        tmp_path / "model", use_safetensors=True, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert model.dtype == torch.float32
    words = AutoTokenizer.from_pretrained(tmp_path / "model")(
        ["c note, piano"], return_tensors="pt"
    )
    clip = model.generate(**words, max_new_tokens=8)
    assert clip.shape == (1, 1, 5 * 640)
    assert torch.isfinite(clip).all()
    assert model.audio_encoder.encode(clip).audio_codes.shape == (1, 1, 4, 5)
