"""Second stage of tiny-stable-audio: the diffusion transformer and the text embeddings.

Rectified flow (Liu et al. 2022; Lipman et al. 2022): x_t = (1 - t) x + t noise, the network
predicts noise - x. Times are logit-normal (Esser et al. 2024); conditioning is dropped in a tenth
of the rows for classifier-free guidance; the exponential moving average of the weights is what
ships.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audioforge.data.wording import tempo_of
from audioforge.generation.sat_imports import quiet, stable_audio_tools
from audioforge.generation.tiny.clips import ClipSpec, words_for
from audioforge.generation.tiny.design import model_config, start_beat
from audioforge.generation.tiny.loop import Schedule, precision, run_steps, start_from

BATCH = 32
EMA = 0.9985
CFG_DROPOUT = 0.1
_WORTH_COMPILING = 200
"""Steps: compiling takes a minute and saves a fifth of each."""


class _Trained(torch.nn.Module):
    """What is optimised: the transformer, the text embeddings, and their running average."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.transformer, self.conditioner = model.model, model.conditioner
        live = [self.transformer, self.conditioner]
        self.average = torch.nn.ParameterList(
            torch.nn.Parameter(p.detach().clone(), requires_grad=False)
            for m in live
            for p in m.parameters()
        )

    def live(self) -> list[torch.nn.Parameter]:
        """Return the trained parameters, in the order of `average`."""
        return [*self.transformer.parameters(), *self.conditioner.parameters()]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the average towards the live weights; faster while training is young."""
        keep = min(EMA, (1 + step) / (10 + step))
        for kept, now in zip(self.average, self.live(), strict=True):
            kept.lerp_(now, 1 - keep)

    @torch.no_grad()
    def use_average(self) -> None:
        """Replace the live weights by their average."""
        for kept, now in zip(self.average, self.live(), strict=True):
            now.copy_(kept)


def build(tokenizer: str, latent_scale: float, start: Mapping[str, torch.Tensor]) -> Any:
    """Return the model before training: its tempo conditioner draws the beat.

    Args:
        tokenizer: folder of the tokenizer.
        latent_scale: standard deviation of the autoencoder's latents.
        start: weights of an earlier model; those that fit replace the random ones.
    """
    sat = stable_audio_tools()
    with quiet():
        model = sat.create_model_from_config(model_config(tokenizer, latent_scale))
    start_beat(model)
    start_from(model, start)
    return model


def train(
    model: Any, latents: torch.Tensor, specs: list[ClipSpec], path: Path, steps: int, device: str
) -> None:
    """Train on latents [clips, channels, frames] already divided by the latent scale; resumes."""
    model.to(device).train()
    model.pretransform.eval()
    if steps >= _WORTH_COMPILING and (shutil.which("c++") or device == "cuda"):
        model.model.model.transformer.compile()  # a fifth faster; the weights keep their names
    trained = _Trained(model).to(device)

    def step_loss(step: int) -> torch.Tensor:
        rng = np.random.default_rng([7, step])
        rows = rng.integers(len(specs), size=BATCH)
        clean = latents[torch.from_numpy(rows)].to(device)
        words = [words_for(specs[r], rng) for r in rows]
        conditions = [
            {"prompt": w, "seconds_total": specs[r].seconds_total, "bpm": tempo_of(w)}
            for w, r in zip(words, rows, strict=True)
        ]
        times = torch.sigmoid(torch.randn(BATCH, device=device))
        noise = torch.randn_like(clean)
        noisy = torch.lerp(clean, noise, times[:, None, None])
        with precision(device):
            tensors = model.conditioner(conditions, device)
            made = model(
                noisy, times, cond=tensors, cfg_dropout_prob=CFG_DROPOUT, use_checkpointing=False
            )
        return (made.float() - (noise - clean)).square().mean()

    run_steps(trained, step_loss, path, Schedule(steps, 1.2e-3, warmup=200), after=trained.follow)
    trained.use_average()
    model.eval()
