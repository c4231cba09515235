"""Weights: what a trainer hands to the policy server, a safetensors file and its version.

A trainer writes the whole set and then tells the server where it lies; the server reads it between
two batches of answers, so that no answer is half old and half new. Names and shapes must be those
of the model that is being served: a file that does not fit changes nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FILE = "model.safetensors"


class WeightsError(ValueError):
    """Weights cannot be taken over; the model is as it was."""


def write_weights(model: torch.nn.Module, folder: Path) -> Path:
    """Write a model's weights to `folder`/model.safetensors; a reader never sees half a file."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{FILE}.part"
    # named_parameters tells tied tensors once, under the name that transformers loads.
    told = {name: tensor.detach().cpu() for name, tensor in model.named_parameters()}
    save_file({name: t.contiguous() for name, t in told.items()}, partial, {"format": "pt"})
    os.replace(partial, folder / FILE)
    return folder / FILE


def read_weights(model: torch.nn.Module, file: Path) -> None:
    """Copy a safetensors file into a model in place; the dtype of the model is kept.

    Raises:
        WeightsError: no such file, not safetensors, or other names or shapes than the model's.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    own = dict(model.named_parameters())
    try:
        with safe_open(file, framework="pt") as stored:
            names = set(stored.keys())
            if names != set(own):
                odd = sorted(names ^ set(own))[:3]
                raise WeightsError(f"{file}: not the weights of this model, see {odd}")
            found = {name: stored.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file}: cannot be read as safetensors ({error})") from error
    for name, tensor in found.items():
        if tensor.shape != own[name].shape:
            raise WeightsError(
                f"{file}: {name} must have shape {tuple(own[name].shape)}, got "
                f"{tuple(tensor.shape)}"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{file}: {name} holds a number that is not finite")
    with torch.no_grad():
        for name, tensor in found.items():
            own[name].copy_(tensor)
