"""What MusicGen checkpoints are accepted, what is said of them, and what is refused."""

import json

import musicgen_models
import pytest
import torch
from safetensors.torch import load_file, save_file

from audioforge.generation.musicgen import MusicgenBackend
from audioforge.generation.musicgen_load import is_musicgen
from audioforge.generation.registry import load_backend
from audioforge.generation.request import GenerationRequest


@pytest.fixture
def folder(musicgen_folders, tmp_path):
    for part in musicgen_folders[1].iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    return tmp_path


def load(folder):
    return MusicgenBackend.load(str(folder), name="spoilt", device="cpu")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def without_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["decoder.lm_heads.0.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def of_another_width(folder):
    config = json.loads((folder / "config.json").read_text())
    config["decoder"]["ffn_dim"] = 96
    (folder / "config.json").write_text(json.dumps(config))


def with_other_codebooks(folder):
    config = json.loads((folder / "config.json").read_text())
    config["audio_encoder"]["target_bandwidths"] = [0.6]
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "config.json").unlink(), "is not a model's configuration"),
        (lambda f: (f / "config.json").write_text("nonsense"), "is not a model's configuration"),
        (lambda f: edit(f / "config.json", model_type="musicgen_melody"), "must be musicgen, got"),
        (lambda f: (f / "model.safetensors").unlink(), "must hold config.json and model.safet"),
        (lambda f: (f / "model.safetensors").write_bytes(b"nonsense"), "cannot be loaded from"),
        (pickled, "pickled weights .* are not read"),
        (without_a_weight, "decoder.lm_heads.0.weight is missing"),
        (of_another_width, "cannot be loaded from|do not fit"),
        (with_other_codebooks, "codebooks must be the codec's 2, got 4|cannot be loaded"),
        (lambda f: (f / "tokenizer.json").unlink(), "cannot be loaded from"),
    ],
    ids=range(10),
)
def test_a_spoilt_checkpoint_is_one_clear_line(folder, spoil, words):
    spoil(folder)
    with pytest.raises(ValueError, match=words) as told:
        load(folder)
    assert "\n" not in str(told.value)


def test_a_folder_is_known_by_its_configuration_and_a_hub_id_by_its_name(folder, tmp_path):
    assert is_musicgen(str(folder))
    assert is_musicgen("facebook/musicgen-stereo-small")
    assert not is_musicgen("stabilityai/stable-audio-open-small")
    assert not is_musicgen(str(tmp_path.parent))


def test_a_hub_model_that_cannot_be_had_is_one_clear_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="cannot get nobody/musicgen-none from the hub"):
        load_backend("nobody/musicgen-none")
    with pytest.raises(ValueError, match="no model 'musicgen-none'"):
        load_backend("musicgen-none")


def test_the_card_says_what_the_model_can_do(folder):
    card = {"licence": "MIT", "note": "Plays notes.", "window_seconds": 0.8, "max_seconds": 2.0}
    card |= {"cfg_scale": [1, 6], "recommended": {"steps": 1, "cfg_scale": 2, "sampler": "sample"}}
    (folder / "audioforge.json").write_text(json.dumps(card))
    backend = load(folder)
    can = backend.capabilities
    assert (can.licence, can.note, can.max_seconds, backend.window) == (
        "MIT",
        "Plays notes.",
        2.0,
        40,
    )
    assert (can.cfg_scale, can.recommended.cfg_scale, can.steps) == ((1, 6), 2, (1, 1))


def test_capabilities_of_published_weights_name_their_licence(folder):
    can = MusicgenBackend.load(
        str(folder), name="facebook/musicgen-small", device="cpu"
    ).capabilities
    assert can.licence == "CC-BY-NC-4.0"
    assert (can.tokens, can.samplers, can.init_audio) == (True, ("sample",), ("continue",))
    assert can.model_mb == pytest.approx((folder / "model.safetensors").stat().st_size / 1e6, 0.05)


def test_a_text_encoder_of_another_width_is_projected(tmp_path):
    backend = load(musicgen_models.write(tmp_path, text_width=24))
    request = GenerationRequest("a soft pad", 0.3, 1, 1, 3.0, "sample", temperature=0.0)
    told = musicgen_models.tokenizer()(["a soft pad"], return_tensors="pt")
    wave = backend.model.generate(**told, do_sample=False, guidance_scale=3.0, max_new_tokens=18)[0]
    assert abs(backend.generate([request])[0].audio.samples - wave.numpy()).max() < 1e-6


def test_the_weights_hash_follows_the_weights(folder):
    before = load(folder).weights_sha256
    weights = load_file(folder / "model.safetensors")
    weights["decoder.lm_heads.0.weight"] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert load(folder).weights_sha256 != before
