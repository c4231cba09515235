"""A random-weight checkpoint in the hub's layout, and its backend."""

import json

import musicgen_models
import pytest
import torch
from safetensors.torch import save_file

from audioforge.generation.stable_audio import StableAudioBackend
from audioforge.generation.tiny import design
from audioforge.generation.tiny.diffusion_stage import build


def write_checkpoint(folder, objective="rectified_flow"):
    """Write a small random checkpoint whose output layers are not zero."""
    design.save_tokenizer(folder / design.TOKENIZER_FOLDER)
    torch.manual_seed(0)
    model = build(str(folder / design.TOKENIZER_FOLDER), 1.0, {})
    for weight in model.model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.02)
    config = design.model_config(design.TOKENIZER_FOLDER, 1.0)
    config["model"]["diffusion"]["diffusion_objective"] = objective
    (folder / "model_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="session")
def backend(checkpoint):
    return StableAudioBackend.load(str(checkpoint), name="random", device="cpu")


@pytest.fixture(scope="session")
def musicgen_folders(tmp_path_factory):
    """Checkpoints by their channels."""
    return {
        channels: musicgen_models.write(tmp_path_factory.mktemp("musicgen"), channels)
        for channels in (1, 2)
    }
