"""Files from the hub: what counts as an id, and repositories that are already in the cache."""

import shutil

import pytest

from audioforge.generation.hub import from_hub, is_hub_id
from audioforge.generation.registry import load_backend


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Offline, with an empty cache; a function (hub id) -> the folder its files lie in."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def repository(source):
        place = tmp_path / f"models--{source.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("0" * 40)
        folder = place / "snapshots" / ("0" * 40)
        folder.mkdir(parents=True)
        return folder

    return repository


@pytest.mark.parametrize(
    ("source", "is_one"),
    [("owner/name", True), ("name", False), ("./name", False), ("/name", False), ("a/b/c", False)],
)
def test_an_id_is_an_owner_and_a_name(source, is_one):
    assert is_hub_id(source) == is_one


def test_a_repository_in_the_cache_is_found_and_another_is_one_clear_line(cached):
    folder = cached("owner/name")
    assert from_hub("owner/name", ["*.json"]) == folder
    with pytest.raises(ValueError, match=r"cannot get owner/other from the hub.*HF_TOKEN") as told:
        from_hub("owner/other", ["*.json"])
    assert "\n" not in str(told.value)


def test_a_model_from_the_cache_is_the_model_of_the_folder(cached, small_checkpoint):
    checkpoint = small_checkpoint("rectified_flow")
    folder = cached("owner/name")
    shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
    local, hub = load_backend(str(checkpoint), "cpu"), load_backend("owner/name", "cpu")
    assert hub.weights_sha256 == local.weights_sha256
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"owner/name .* model\.safetensors is missing"):
        load_backend("owner/name", "cpu")


def test_a_pipeline_that_is_no_folder_and_no_id_is_one_clear_line():
    pytest.importorskip("diffusers")
    with pytest.raises(ValueError, match="no diffusers pipeline 'nowhere'"):
        load_backend("diffusers:nowhere", "cpu")
