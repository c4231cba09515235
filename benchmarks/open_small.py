"""A checkpoint with the sizes of stable-audio-open-small and random weights, for timing.

The sizes are those of the published configuration: latents 64 x 256 for 11.9 s of 44.1 kHz stereo,
a transformer of 16 layers of width 1024, an Oobleck autoencoder of ratio 2048. The text encoder is
a table of words of the same width and length, so text costs less than there, for both sides alike.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from audioforge.generation.sat_imports import quiet, stable_audio_tools
from audioforge.generation.tiny import design

_OOBLECK = {
    "channels": 128,
    "c_mults": [1, 2, 4, 8, 16],
    "strides": [2, 4, 4, 8, 8],
    "use_snake": True,
}
AUTOENCODER: dict[str, Any] = {
    "encoder": {"type": "oobleck", "config": {**_OOBLECK, "in_channels": 2, "latent_dim": 128}},
    "decoder": {
        "type": "oobleck",
        "config": {**_OOBLECK, "out_channels": 2, "latent_dim": 64, "final_tanh": False},
    },
    "bottleneck": {"type": "vae"},
    "latent_dim": 64,
    "downsampling_ratio": 2048,
    "io_channels": 2,
}
CONFIG: dict[str, Any] = {
    "model_type": "diffusion_cond",
    "sample_size": 524_288,
    "sample_rate": 44_100,
    "audio_channels": 2,
    "model": {
        "pretransform": {"type": "autoencoder", "iterate_batch": True, "config": AUTOENCODER},
        "io_channels": 64,
        "conditioning": {
            "cond_dim": 768,
            "configs": [
                {
                    "id": "prompt",
                    "type": "lut",
                    "config": {"tokenizer_name": design.TOKENIZER_FOLDER, "max_length": 64},
                },
                {
                    "id": "seconds_total",
                    "type": "number",
                    "config": {"min_val": 0, "max_val": 256},
                },
            ],
        },
        "diffusion": {
            "type": "dit",
            "diffusion_objective": "rectified_flow",
            "cross_attention_cond_ids": ["prompt", "seconds_total"],
            "global_cond_ids": ["seconds_total"],
            "config": {
                "io_channels": 64,
                "embed_dim": 1024,
                "depth": 16,
                "num_heads": 8,
                "cond_token_dim": 768,
                "global_cond_dim": 768,
                "transformer_type": "continuous_transformer",
                "attn_kwargs": {"qk_norm": "ln"},
            },
        },
    },
}


def write_open_small(folder: Path) -> Path:
    """Write the checkpoint, 2 GB, and return its folder."""
    design.save_tokenizer(folder / design.TOKENIZER_FOLDER)
    config = copy.deepcopy(CONFIG)
    prompt = config["model"]["conditioning"]["configs"][0]["config"]
    prompt["tokenizer_name"] = str(folder / design.TOKENIZER_FOLDER)
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        model = stable_audio_tools().create_model_from_config(config)
    with torch.no_grad():
        for weight in model.model.parameters():
            if not weight.any():  # output layers start at zero: every prompt would sound alike
                torch.nn.init.normal_(weight, std=0.02)
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "model_config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return folder
