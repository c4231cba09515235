"""A model's name and its weights: remembered, and told when they change."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from audioforge.cli import app
from audioforge.generation import model_manifest
from audioforge.generation.model_manifest import known_models, manifest_path, remember
from audioforge.generation.registry import load_engine
from audioforge.generation.synth_backend import SynthBackend

CAN = replace(SynthBackend.capabilities, licence="CC-BY-NC-4.0")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(model_manifest.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    (folder / "transformer").mkdir(parents=True)
    (folder / "transformer" / "model.safetensors").write_bytes(b"weights")
    (folder / "vae.safetensors").write_bytes(b"more weights")
    return folder


def test_the_first_time_is_noted_with_licence_size_and_checksums(folder):
    assert remember(str(folder), CAN) == ""
    (entry,) = known_models().values()
    assert entry["licence"] == "CC-BY-NC-4.0"
    assert {name: file["bytes"] for name, file in entry["files"].items()} == {
        "transformer/model.safetensors": 7,
        "vae.safetensors": 12,
    }


def test_the_same_weights_are_not_told_and_not_hashed_again(folder, monkeypatch):
    remember(str(folder), CAN)
    before = manifest_path().read_bytes()
    monkeypatch.setattr(model_manifest, "_sha256", lambda path: pytest.fail("hashed again"))
    assert remember(str(folder), CAN) == ""
    assert manifest_path().read_bytes() == before


def test_a_copy_of_the_same_weights_is_not_told(folder):
    remember(str(folder), CAN)
    (folder / "vae.safetensors").unlink()
    (folder / "vae.safetensors").write_bytes(b"more weights")
    assert remember(str(folder), CAN) == ""


@pytest.mark.parametrize("change", ["other", "gone", "new"])
def test_other_weights_of_the_same_name_are_told_once(folder, change):
    remember(str(folder), CAN)
    file = folder / ("extra.safetensors" if change == "new" else "vae.safetensors")
    file.unlink() if change == "gone" else file.write_bytes(b"other weights")
    told = remember(str(folder), CAN)
    assert f"{folder} has other weights than on 20" in told
    assert f"({file.name})" in told
    assert remember(str(folder), CAN) == ""


@pytest.mark.parametrize("content", ["", "[]", '{"x": 1}', '{"x": {"files": {"a": 1}}}', "\udcff"])
def test_a_damaged_manifest_is_started_anew(folder, content):
    manifest_path().parent.mkdir(parents=True)
    manifest_path().write_bytes(content.encode("utf-8", "surrogateescape"))
    assert known_models() == {}
    assert remember(str(folder), CAN) == ""
    assert len(known_models()) == 1


@pytest.mark.parametrize("name", ["nobody/nothing", "not a name", "../x/y"])
def test_what_is_not_there_is_not_noted(name):
    assert remember(name, CAN) == ""
    assert not manifest_path().exists()


def test_a_cache_that_cannot_be_written_holds_nothing_up(folder, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    assert remember(str(folder), CAN) == ""


def test_loading_a_folder_notes_it_and_tells_other_weights(checkpoint, tmp_path, caplog):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in checkpoint.iterdir():
        (copy / file.name).symlink_to(file)
    load_engine(str(copy), "cpu").stop()
    assert str(copy) in known_models()
    assert caplog.text == ""
    (copy / "another.safetensors").write_bytes(b"x")
    load_engine(str(copy), "cpu").stop()
    assert "has other weights than on" in caplog.text


def test_the_command_lists_embedded_and_remembered_models(folder):
    remember(str(folder), CAN)
    told = CliRunner().invoke(app, ["models", "--json"])
    models = {model["name"]: model for model in json.loads(told.output)}
    assert models["synth"]["licence"] == models["tiny-stable-audio"]["licence"] == "MIT"
    assert models["tiny-stable-audio"]["megabytes"] > 1
    assert len(models["tiny-stable-audio"]["sha256"]) == 64
    assert models[str(folder)]["licence"] == "CC-BY-NC-4.0"
    assert CliRunner().invoke(app, ["models"]).exit_code == 0
