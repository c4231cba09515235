"""How many clips of a Stable Audio checkpoint fit into memory at once.

Found when it is loaded, by one row of the transformer and one short decode with their activations
added up (`memory.activations_mb`), scaled to the full length, since both grow with it: a row of the
sampler's own tensors counts with the transformer. WORKSPACE covers what the sum is blind to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from audioforge.generation.guided_model import GuidedModel
from audioforge.generation.memory import MB, activations_mb

WORKSPACE = 2.0
"""Of the true peak over the sum of activations; 1.3 to 2.1 for the embedded model on a CPU."""
ROWS = {"cpu": 32, "cuda": 128}
"""Most rows of a forward pass: beyond it a pass only takes longer."""
DECODE_CLIPS = 16
"""Most clips decoded at once."""
CPU_MB = 1_000.0
"""Memory a batch may take on a CPU on top of the weights; on CUDA a third of the card: what
is free just now would change how a replay is batched."""
_PROBE_FRAMES = 32


@dataclass(frozen=True)
class Footprint:
    """Memory per clip at the full length, in MB."""

    row_mb: float
    """Of one row of the transformer with its share of the sampler."""
    decode_mb: float

    @property
    def clip_mb(self) -> float:
        """Of a clip in a batch: two rows while it is sampled, then its decoding."""
        return max(2 * self.row_mb, self.decode_mb)

    def rows(self, device: torch.device) -> int:
        """Return how many rows a forward pass may have."""
        return _within(_budget_mb(device) / self.row_mb, ROWS[device.type])

    def decoded(self, device: torch.device) -> int:
        """Return how many clips may be decoded at once."""
        return _within(_budget_mb(device) / self.decode_mb, DECODE_CLIPS)


@torch.no_grad()
def footprint(
    model: Any, told: Mapping[str, torch.Tensor | None], frames: int, device: torch.device
) -> Footprint:
    """Measure a checkpoint.

    Args:
        model: stable-audio-tools' wrapper.
        told: of one item, what `Conditioner.told` gave.
        frames: of its latents.
        device: where it lives.
    """
    short = min(_PROBE_FRAMES, frames)
    latents = torch.zeros(1, model.io_channels, short, device=device)
    one = GuidedModel(model.model, [told], [1.0])
    time = torch.ones(1, device=device)
    row = activations_mb(model.model, lambda: one(latents, time, [0]))
    decode = activations_mb(model.pretransform, lambda: model.pretransform.decode(latents))
    registers = 8 * model.io_channels * frames * 4 / MB
    longer = WORKSPACE * frames / short
    return Footprint(row * longer + registers, decode * longer)


def _budget_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] / 3 / MB
    return CPU_MB


def _within(fit: float, most: int) -> int:
    return max(1, min(int(fit), most))
