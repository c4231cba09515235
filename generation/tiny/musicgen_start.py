"""A starting point for EnCodec: the lapped transform of its strides, up to a cut-off.

Random weights take thousands of steps to learn the phase of tones. Here some channels of every
layer start as a modified discrete cosine transform, split again stage by stage (Princen & Bradley
1986), which reconstructs everything below the cut-off at once; the rest start at random and are
left to learn what a transform cannot, such as noise. The transform's channels are kept small, where
ELU is nearly the identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

_SMALL = 0.1
"""Gain of the waveform on its way into the transform's channels."""
_LATENT_GAIN = 64.0
_HALF = 0.5
"""Gain of each analysis stage: between that of an orthonormal and of an averaging one."""
_QUIET = 0.005
"""Factor on random weights that lead into the transform's channels."""


def lapped(size: int) -> torch.Tensor:
    """Return the orthonormal cosine basis of a hop, shape [size, 2 size].

    It is mirrored in time: even at its left end, so that reflected padding keeps a clip's first
    moment.
    """
    n, k = np.arange(2 * size)[None], np.arange(size)[:, None]
    window = np.sin(np.pi * (n + 0.5) / (2 * size))
    basis = np.cos(np.pi / size * (n + 0.5 + size / 2) * (k + 0.5)) * window * np.sqrt(2 / size)
    return torch.from_numpy(basis[:, ::-1].astype(np.float32).copy())


@torch.no_grad()
def start_as_transform(codec: Any, kept: tuple[int, ...]) -> None:
    """Set the weights of an untrained EnCodec, in place.

    Args:
        codec: EncodecModel with one residual block per stage.
        kept: for each stage, from the waveform on, how many of its channels are split further.
    """
    ratios = tuple(reversed(codec.config.upsampling_ratios))
    counts = [keep * ratio for keep, ratio in zip(kept, ratios, strict=True)]
    first, blocks, downs, last = _parts(codec.encoder)
    _pass_on(first, 1, _SMALL)
    for block, down, keep, ratio in zip(blocks, downs, kept, ratios, strict=True):
        _skip(block, keep)
        _analyse(down, keep, ratio)
    _pass_on(last, counts[-1], _LATENT_GAIN)
    first, blocks, ups, last = _parts(codec.decoder)
    _pass_on(first, counts[-1], 1 / _LATENT_GAIN)
    made = (*kept[1:], counts[-1])
    for block, up, keep, ratio, bands in zip(
        blocks, ups, kept[::-1], ratios[::-1], made[::-1], strict=True
    ):
        _synthesise(up, keep, ratio, bands)
        _skip(block, keep)
    _pass_on(last, 1, 1 / _SMALL)


def _parts(network: Any) -> tuple[Any, list[Any], list[Any], Any]:
    """Return first layer, residual blocks, strided layers and last layer; quieten the LSTM."""
    by_name: dict[str, list[Any]] = {}
    first, *inner, last = network.layers
    for layer in inner:
        by_name.setdefault(type(layer).__name__, []).append(layer)
    for name, weight in by_name["EncodecLSTM"][0].named_parameters():
        weight.mul_(0.0 if "bias" in name else _QUIET)
    strided = by_name.get("EncodecConv1d") or by_name["EncodecConvTranspose1d"]
    return first, by_name["EncodecResnetBlock"], strided, last


def _pass_on(layer: Any, count: int, gain: float) -> None:
    """Let the first `count` outputs be the first `count` inputs, times a gain."""
    weight, middle = layer.conv.weight.clone(), layer.conv.weight.shape[2] // 2
    weight[:count] *= _QUIET * min(gain, 1.0)
    weight[range(count), range(count), middle] = gain
    _set(layer, weight)


def _skip(block: Any, count: int) -> None:
    """Let the shortcut be the identity and the residual branch leave `count` channels alone."""
    size = block.shortcut.conv.weight.shape[0]
    _set(block.shortcut, torch.eye(size)[:, :, None])
    weight = block.block[-1].conv.weight.clone()
    weight[:count] *= _QUIET
    _set(block.block[-1], weight)


def _analyse(layer: Any, keep: int, ratio: int) -> None:
    weight, basis = layer.conv.weight.clone(), _HALF * lapped(ratio)
    weight[: keep * ratio] *= _QUIET
    for i in range(keep):
        weight[i * ratio : (i + 1) * ratio, i] = basis
    _set(layer, weight)


def _synthesise(layer: Any, keep: int, ratio: int, bands: int) -> None:
    """Put `keep` channels together again, of the first `bands` inputs: the others are free."""
    weight, basis = layer.conv.weight.clone(), lapped(ratio) / _HALF
    weight[:, :keep] *= _QUIET
    for i in range(keep):
        some = slice(i * ratio, min((i + 1) * ratio, bands))
        weight[some, i] = basis[: some.stop - some.start]
    _set(layer, weight)


def _set(layer: Any, weight: torch.Tensor) -> None:
    layer.conv.weight = weight  # weight norm splits it into length and direction
    layer.conv.bias.zero_()
