"""First stage of tiny-musicgen: EnCodec, trained in three passes.

1. Encoder and decoder as a continuous autoencoder, from a lapped transform (musicgen_start.py).
2. Codebooks by k-means, each on what the ones before it leave over (residual vector quantisation,
   Zeghidour et al. 2021).
3. Everything together through the quantiser: gradients straight through (van den Oord et al. 2017),
   codebooks as moving averages; transformers keeps these in EnCodec's own buffers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from audioforge.generation.tiny.autoencoder_stage import distance
from audioforge.generation.tiny.loop import Schedule, run_steps
from audioforge.generation.tiny.musicgen_clips import FRAMES
from audioforge.generation.tiny.musicgen_design import CODEBOOK_SIZE, codec_config
from audioforge.generation.tiny.musicgen_start import start_as_transform

CROP = 15_360
"""Samples per training crop, 0.96 s."""
BATCH = 12
PEAK = 5e-4
"""Highest learning rate of both passes."""
_COMMITMENT = 0.1
_KEEP = 0.99
"""Share of its old self that a codebook keeps per step."""
_RARE = 0.005
"""Codes used less often than this a step, on average, start anew from a current latent."""


def build(seed: int) -> Any:
    """Return EnCodec before training: it passes 0 to 1 kHz on."""
    from transformers import EncodecModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EncodecModel(codec_config())
    start_as_transform(model, kept=(1, 1, 8))
    return model


def crops(clips: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Draw crops at random places and gains, a third from clip starts, shape [BATCH, 1, CROP]."""
    rows = rng.integers(len(clips), size=BATCH)
    starts = rng.integers(0, FRAMES - CROP + 1, BATCH) * (rng.random(BATCH) > 1 / 3)
    batch = np.stack([clips[r, s : s + CROP] for r, s in zip(rows, starts, strict=True)]) / 32_767.0
    return torch.from_numpy((batch * rng.uniform(0.7, 1.0, (BATCH, 1))).astype(np.float32))[:, None]


def train_continuous(model: Any, clips: np.ndarray, steps: int, path: Path, seed: int) -> None:
    """First pass, without codebooks; resumes from `path`."""

    def step_loss(step: int) -> torch.Tensor:
        real = crops(clips, np.random.default_rng([seed, 1, step]))
        return distance(model.decoder(model.encoder(real)), real)

    run_steps(model, step_loss, path, Schedule(steps, PEAK))


@torch.no_grad()
def fit_codebooks(model: Any, clips: np.ndarray, seed: int, rounds: int = 12) -> None:
    """Second pass: k-means, residual by residual, on the latents of some 300 clips."""
    generator = torch.Generator().manual_seed(seed)
    left = encode(model, clips[:: max(len(clips) // 300, 1)]).transpose(1, 2).flatten(0, 1)
    for layer in model.quantizer.layers:
        book = layer.codebook
        book.embed.copy_(left[torch.randperm(len(left), generator=generator)[:CODEBOOK_SIZE]])
        for _ in range(rounds):
            chosen = book.quantize(left)
            _move(book, left, chosen, keep=0.0)
        # From here on, as often as in a training batch.
        book.cluster_size.mul_(BATCH * CROP / codec_config().hop_length / len(left))
        book.embed_avg.copy_(book.embed * book.cluster_size[:, None])
        left = left - book.decode(book.quantize(left))


def train_quantised(model: Any, clips: np.ndarray, steps: int, path: Path, seed: int) -> None:
    """Third pass, through the quantiser; resumes from `path`."""

    def step_loss(step: int) -> torch.Tensor:
        real = crops(clips, np.random.default_rng([seed, 2, step]))
        latents = model.encoder(real)
        coarse = _quantise_and_follow(model.quantizer, latents.detach())
        made = model.decoder(latents + (coarse - latents).detach())
        return distance(made, real) + _COMMITMENT * (latents - coarse).square().mean()

    run_steps(model, step_loss, path, Schedule(steps, PEAK))


@torch.no_grad()
def _quantise_and_follow(quantizer: Any, latents: torch.Tensor) -> torch.Tensor:
    """Quantise [B, C, T] and move the codebooks towards what they stand for."""
    left = latents.transpose(1, 2).flatten(0, 1)
    whole = left
    for layer in quantizer.layers:
        book = layer.codebook
        chosen = book.quantize(left)
        coded = book.decode(chosen)
        _move(book, left, chosen, keep=_KEEP)
        left = left - coded
    return (whole - left).view(latents.shape[0], -1, latents.shape[1]).transpose(1, 2)


def _move(book: Any, latents: torch.Tensor, chosen: torch.Tensor, keep: float) -> None:
    """Move codes to the running mean of the latents they stand for; unused ones start anew."""
    counts = torch.zeros_like(book.cluster_size).index_add_(
        0, chosen, torch.ones(len(chosen), device=latents.device)
    )
    sums = torch.zeros_like(book.embed).index_add_(0, chosen, latents)
    book.cluster_size.lerp_(counts, 1 - keep)
    book.embed_avg.lerp_(sums, 1 - keep)
    rare = book.cluster_size < _RARE
    fresh = latents[torch.randint(len(latents), (int(rare.sum()),))]
    book.embed_avg[rare], book.cluster_size[rare] = fresh, 1.0
    book.embed.copy_(book.embed_avg / book.cluster_size[:, None])


@torch.no_grad()
def encode(model: Any, clips: np.ndarray, batch: int = 8) -> torch.Tensor:
    """Encode int16 clips to latents before quantisation, shape [clips, LATENT, frames]."""
    made = []
    for start in range(0, len(clips), batch):
        part = torch.from_numpy(clips[start : start + batch].astype(np.float32) / 32_767.0)
        made.append(model.encoder(part[:, None]))
    return torch.cat(made)


@torch.no_grad()
def to_codes(model: Any, clips: np.ndarray) -> torch.Tensor:
    """Return the codes of int16 clips, int16, shape [clips, CODEBOOKS, frames]."""
    latents = encode(model, clips).split(256)
    return torch.cat([model.quantizer.encode(some).transpose(0, 1).short() for some in latents])
