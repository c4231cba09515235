"""Checkpoints: where a training was, so that it goes on after any end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


class CheckpointError(ValueError):
    """A checkpoint cannot be continued with what was asked."""


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, place: dict[str, Any]
) -> None:
    """Write a checkpoint; a kill at any moment leaves the old one or the new one.

    Args:
        path: of the file.
        model: its weights are kept,
        optimiser: and its state.
        place: plain values with "told", a text that differs where going on would mix two trainings.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    torch.save({**place, "model": model.state_dict(), "optimiser": optimiser.state_dict()}, partial)
    os.replace(partial, path)


def restore_checkpoint(
    path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, told: str
) -> int:
    """Go on from a checkpoint where there is one; return the step it was made after, else 0.

    Raises:
        CheckpointError: it belongs to another training.
    """
    if not path.exists():
        return 0
    kept = torch.load(path, map_location="cpu", weights_only=True)
    if kept["told"] != told:
        raise CheckpointError(
            f"{path} belongs to another training; give another folder or remove it"
        )
    model.load_state_dict(kept["model"])
    optimiser.load_state_dict(kept["optimiser"])
    return int(kept["step"])
