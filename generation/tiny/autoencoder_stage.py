"""First stage of tiny-stable-audio: the autoencoder, then its decoder alone on frozen latents.

Loss: multi-resolution STFT (log and linear magnitude; Yamamoto et al. 2020), waveform L1 and a
small KL term, as in Stable Audio's autoencoder without its discriminator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audioforge.generation.sat_imports import stable_audio_tools
from audioforge.generation.tiny.clips import FRAMES
from audioforge.generation.tiny.design import RATIO, autoencoder_config
from audioforge.generation.tiny.loop import Schedule, precision, run_steps, start_from

CROP = 16_384
"""Samples per training crop, 1.024 s: the network is convolutional."""
BATCH = 16
_WINDOWS = (128, 512, 2048)
_LOG_FLOOR = 2e-2
_PRE_EMPHASIS = 0.95


def build() -> Any:
    """Return an untrained autoencoder without activation checkpointing."""
    sat = stable_audio_tools()
    sat.autoencoders.checkpoint = lambda function, *args, **kwargs: function(*args)
    return sat.create_model_from_config(autoencoder_config())


def spectral_loss(made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Multi-resolution STFT distance of [B, T] waveforms."""
    total = made.new_zeros(())
    for size in _WINDOWS:
        window = torch.hann_window(size, device=made.device)
        a, b = (
            torch.stft(x, size, size // 4, window=window, return_complex=True).abs()
            for x in (made, real)
        )
        scale = _LOG_FLOOR * (size / 512) ** 0.5
        total = (
            total
            + ((a + scale).log() - (b + scale).log()).abs().mean()
            + 0.3 * (a - b).abs().mean()
        )
    return total / len(_WINDOWS)


def crops(clips: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Draw a batch of crops at random places and gains, shape [BATCH, 1, CROP]."""
    rows = rng.integers(len(clips), size=BATCH)
    starts = rng.integers(0, (FRAMES - CROP) // RATIO + 1, size=BATCH) * RATIO
    batch = np.stack([clips[r, s : s + CROP] for r, s in zip(rows, starts, strict=True)]) / 32_767.0
    return torch.from_numpy((batch * rng.uniform(0.5, 1.0, (BATCH, 1))).astype(np.float32))[:, None]


@dataclass(frozen=True)
class Place:
    """Where a stage runs and keeps its checkpoints."""

    folder: Path
    seed: int
    device: str
    start: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Weights of an earlier autoencoder; those that fit are where training starts."""


def train(clips: np.ndarray, steps: int, place: Place) -> Any:
    """Train encoder and decoder together; resumes from the place's folder."""
    model = build()
    start_from(model, place.start)
    model.to(place.device)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        with precision(place.device):
            latents, extra = model.encode(batch, return_info=True)
            made = model.decode(latents)
        return distance(made, batch) + 1e-4 * extra["kl"].float()

    _run(model, loss, clips, place, Schedule(steps, 1.5e-3))
    return model


def refine_decoder(model: Any, clips: np.ndarray, steps: int, place: Place) -> Any:
    """Train the decoder on, the encoder frozen: latents stay what the diffusion stage learns."""
    model.encoder.requires_grad_(False)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        with precision(place.device):
            with torch.no_grad():
                latents = model.encode(batch)
            made = model.decode(latents)
        return distance(made, batch)

    _run(model, loss, clips, place, Schedule(steps, 8e-4))
    return model


def distance(made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Spectral and waveform distance; pre-emphasis, or only low tones would be learnt in phase."""
    made = made.float()
    error = (made - real)[:, 0]
    emphasised = error[:, 1:] - _PRE_EMPHASIS * error[:, :-1]
    waveform = 10.0 * error.abs().mean() + 20.0 * emphasised.abs().mean()
    return spectral_loss(made[:, 0], real[:, 0]) + waveform


def _run(model: Any, loss: Callable, clips: np.ndarray, place: Place, schedule: Schedule) -> None:
    refining = not next(model.encoder.parameters()).requires_grad
    path = place.folder / ("decoder.pt" if refining else "autoencoder.pt")

    def step_loss(step: int) -> torch.Tensor:
        rng = np.random.default_rng([place.seed + refining, step])
        return loss(crops(clips, rng).to(place.device))

    run_steps(model, step_loss, path, schedule)


@torch.no_grad()
def encode_means(model: Any, clips: np.ndarray, device: str, batch: int = 32) -> torch.Tensor:
    """Encode whole clips to the mean of their posterior, shape [clips, LATENT_CHANNELS, frames]."""
    out = []
    for start in range(0, len(clips), batch):
        audio = torch.from_numpy(clips[start : start + batch].astype(np.float32) / 32_767.0)[
            :, None
        ]
        mean, _ = model.encode(audio.to(device), skip_bottleneck=True).chunk(2, dim=1)
        out.append(mean.cpu())
    return torch.cat(out)
