"""Memory of a model before it is run: its weights, and the activations of a forward pass.

Activations are found by running a module on a short input and adding up, at each submodule's end,
what it returns and the inputs of every module still open: what inference must hold at that point.
Tensors that share storage count once. Blind to temporaries inside a module's own `forward`, to the
working space of convolution and attention kernels, and to what an allocator keeps: measured against
the allocator's true peak in tests, within a factor of two for the embedded autoencoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

MB = 1e6


def weights_mb(module: torch.nn.Module) -> float:
    """Return the memory of parameters and buffers, in MB."""
    held = [*module.parameters(), *module.buffers()]
    return sum(t.numel() * t.element_size() for t in held) / MB


@torch.no_grad()
def activations_mb(module: torch.nn.Module, run: Callable[[], Any]) -> float:
    """Return the most that a forward pass holds at once, in MB.

    Args:
        module: whose submodules are watched.
        run: calls it once.
    """
    opened: list[dict[int, int]] = []
    peak = 0

    def enter(_module: Any, args: Any, kwargs: Any) -> None:
        opened.append(_storages((args, kwargs)))

    def leave(_module: Any, _args: Any, _kwargs: Any, output: Any) -> None:
        nonlocal peak
        held = _storages(output)
        for inputs in opened:
            held |= inputs
        peak = max(peak, sum(held.values()))
        opened.pop()

    hooks = [
        hook
        for part in module.modules()
        for hook in (
            part.register_forward_pre_hook(enter, with_kwargs=True),
            part.register_forward_hook(leave, with_kwargs=True),
        )
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return peak / MB


def _storages(tree: Any) -> dict[int, int]:
    """Return the bytes of each storage behind the tensors in a nest of containers."""
    tensors = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
