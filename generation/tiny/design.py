"""Design of tiny-stable-audio: its configuration, its tokenizer, and the beat it starts from.

The configuration is that of a stable-audio-tools `diffusion_cond` checkpoint, so the same loader
serves it and `stabilityai/stable-audio-open-small`.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from audioforge.data.wording import vocabulary
from audioforge.generation.tiny.clips import FRAMES, SAMPLE_RATE

LATENT_CHANNELS = 64
RATIO = 256
"""Audio samples per latent frame: wavelet 16, then strides 4 and 4."""
PATCH = 4
"""Latent frames per token of the transformer: 64 ms."""
WIDTH = 256
COND_DIM = 128
MAX_WORDS = 24
TEMPI = range(40, 241)
MAX_BPM = 300
"""Highest value of the tempo conditioner; 0 stands for no tempo."""
TOKENIZER_FOLDER = "tokenizer"

_OOBLECK = {"channels": 48, "c_mults": [2, 4], "strides": [4, 4], "use_snake": False}
AUTOENCODER: dict[str, Any] = {
    "encoder": {
        "type": "oobleck",
        "config": {**_OOBLECK, "in_channels": 16, "latent_dim": 2 * LATENT_CHANNELS},
    },
    "decoder": {
        "type": "oobleck",
        "config": {
            **_OOBLECK,
            "out_channels": 16,
            "latent_dim": LATENT_CHANNELS,
            "final_tanh": False,
        },
    },
    "bottleneck": {"type": "vae"},
    "pretransform": {
        "type": "wavelet",
        # Without enable_grad the autoencoder silently does not learn (reference/generation.md 5.3).
        "enable_grad": True,
        "config": {"channels": 1, "levels": 4, "wavelet": "bior4.4"},
    },
    "latent_dim": LATENT_CHANNELS,
    "downsampling_ratio": RATIO,
    "io_channels": 1,
}


def autoencoder_config() -> dict[str, Any]:
    """Return the configuration of the autoencoder alone."""
    return {
        "model_type": "autoencoder",
        "sample_rate": SAMPLE_RATE,
        "sample_size": FRAMES,
        "audio_channels": 1,
        "model": copy.deepcopy(AUTOENCODER),
    }


def model_config(tokenizer: str, latent_scale: float) -> dict[str, Any]:
    """Return the configuration of the whole model.

    Args:
        tokenizer: folder of the tokenizer; a shipped model stores it relative to itself.
        latent_scale: standard deviation of the autoencoder's latents.
    """
    return {
        "model_type": "diffusion_cond",
        "sample_size": FRAMES,
        "sample_rate": SAMPLE_RATE,
        "audio_channels": 1,
        "model": {
            "pretransform": {
                "type": "autoencoder",
                "iterate_batch": False,
                "scale": latent_scale,
                "config": copy.deepcopy(AUTOENCODER),
            },
            "io_channels": LATENT_CHANNELS,
            "conditioning": {
                "cond_dim": COND_DIM,
                "configs": [
                    {
                        "id": "prompt",
                        "type": "lut",
                        "config": {"tokenizer_name": tokenizer, "max_length": MAX_WORDS},
                    },
                    {
                        "id": "seconds_total",
                        "type": "number",
                        "config": {"min_val": 0, "max_val": 8},
                    },
                    {
                        "id": "bpm",
                        "type": "number",
                        "config": {"min_val": 0, "max_val": MAX_BPM},
                    },
                ],
            },
            "diffusion": {
                "type": "dit",
                "diffusion_objective": "rectified_flow",
                "cross_attention_cond_ids": ["prompt"],
                "global_cond_ids": ["seconds_total"],
                "input_concat_ids": ["bpm"],
                "distribution_shift_options": {"min_length": 256, "max_length": 4096},
                "config": {
                    "io_channels": LATENT_CHANNELS,
                    "input_concat_dim": 1,
                    "embed_dim": WIDTH,
                    "depth": 6,
                    "num_heads": 4,
                    "patch_size": PATCH,
                    "ff_kwargs": {"mult": 2},
                    "cond_token_dim": COND_DIM,
                    "global_cond_dim": COND_DIM,
                    "transformer_type": "continuous_transformer",
                    "global_cond_type": "adaLN",
                    "use_sinusoidal_emb": True,
                },
            },
        },
    }


def save_tokenizer(folder: Path) -> int:
    """Write a word-level tokenizer over the caption vocabulary and all tempi; return its size."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", *vocabulary(), *(str(t) for t in TEMPI)]
    ids = {word: i for i, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace("#", " sharp ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=MAX_WORDS
    )
    wrapped.save_pretrained(folder)
    return len(ids)


def start_beat(model: Any) -> None:
    """Make the tempo conditioner draw the beat, in place: cos(2 pi bpm t / 60), COND_DIM moments.

    Its vector enters the transformer as an input channel over time, so every token is told where in
    the beat it lies; at tempo 0 the channel is constant. Training moves it from there.
    """
    import torch

    fourier, mix = model.conditioner.conditioners["bpm"].embedder.embedding
    moments = (torch.arange(COND_DIM) + 0.5) / COND_DIM * FRAMES / SAMPLE_RATE
    with torch.no_grad():
        fourier.weights.copy_(moments * MAX_BPM / 60)
        mix.weight.zero_()
        mix.weight[:, 1 + COND_DIM :] = torch.eye(COND_DIM)
        mix.bias.zero_()
