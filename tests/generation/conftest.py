"""Random-weight checkpoints in the hub's layout, their backends, and upstream's own solo call."""

import json
from functools import cache

import musicgen_models
import pytest
import torch
from safetensors.torch import save_file

from audioforge.data.wording import tempo_of
from audioforge.generation.sat_imports import quiet, stable_audio_tools
from audioforge.generation.stable_audio import StableAudioBackend
from audioforge.generation.tiny import design

SMALL_SIZE = 16_384
"""Audio samples of a small checkpoint: 1.024 s."""


def config_of(objective="rectified_flow", *, small=False, inpaints=False):
    """Return the embedded model's configuration with another objective, smaller or inpainting."""
    config = design.model_config(design.TOKENIZER_FOLDER, 1.0)
    diffusion = config["model"]["diffusion"]
    diffusion["diffusion_objective"] = objective
    if small:
        config["sample_size"] = SMALL_SIZE
        diffusion["config"]["depth"] = 2
        diffusion["config"]["embed_dim"] = 128
    if inpaints:
        config["model_type"] = "diffusion_cond_inpaint"
        diffusion["input_concat_ids"] = ["inpaint_mask", "inpaint_masked_input"]
        diffusion["config"]["input_concat_dim"] = design.LATENT_CHANNELS + 1
        config["model"]["conditioning"]["configs"].pop()
    return config


def write_checkpoint(folder, config):
    """Write a random checkpoint whose output layers are not zero."""
    design.save_tokenizer(folder / design.TOKENIZER_FOLDER)
    told = json.loads(json.dumps(config))
    prompt = told["model"]["conditioning"]["configs"][0]["config"]
    prompt["tokenizer_name"] = str(folder / design.TOKENIZER_FOLDER)
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        model = stable_audio_tools().create_model_from_config(told)
        for weight in model.model.parameters():
            if not weight.any():
                torch.nn.init.normal_(weight, std=0.02)
    (folder / "model_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), config_of())


@pytest.fixture(scope="session")
def backend(checkpoint):
    return StableAudioBackend.load(str(checkpoint), name="random", device="cpu")


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory):
    """A function (objective, inpaints=False) -> folder."""

    @cache
    def made(objective, inpaints=False):
        folder = tmp_path_factory.mktemp(objective)
        return write_checkpoint(folder, config_of(objective, small=True, inpaints=inpaints))

    return made


@pytest.fixture(scope="session")
def small_backend(small_checkpoint):
    """A function (objective, inpaints=False) -> backend."""

    @cache
    def made(objective, inpaints=False):
        folder = str(small_checkpoint(objective, inpaints))
        return StableAudioBackend.load(folder, name=objective, device="cpu")

    return made


@pytest.fixture(scope="session")
def upstream():
    """A function (backend, request, **more): latents by stable-audio-tools' own solo call."""

    def made(backend, request, **more):
        sat = stable_audio_tools()

        def told(prompt):
            return [{"prompt": prompt, "seconds_total": request.seconds, "bpm": tempo_of(prompt)}]

        inpaints = "inpaint_mask" in backend.model.input_concat_ids
        call = sat.generate_diffusion_cond_inpaint if inpaints else sat.generate_diffusion_cond
        with quiet(), torch.random.fork_rng():
            return call(
                backend.model,
                steps=request.steps,
                cfg_scale=request.cfg_scale,
                conditioning=told(request.prompt),
                negative_conditioning=told(request.negative_prompt)
                if request.negative_prompt
                else None,
                batch_size=1,
                sample_size=round(
                    backend.capabilities.max_seconds * backend.capabilities.sample_rate
                ),
                seed=request.seed,
                device="cpu",
                return_latents=True,
                sampler_type=request.sampler,
                **{"sigma_max": request.sigma_max or 1.0, **more},
            )

    return made


@pytest.fixture(scope="session")
def musicgen_folders(tmp_path_factory):
    """Checkpoints by their channels."""
    return {
        channels: musicgen_models.write(tmp_path_factory.mktemp("musicgen"), channels)
        for channels in (1, 2)
    }
