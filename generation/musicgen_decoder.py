"""MusicGen's decoder for generation: the weights of transformers' modules, a static cache.

Shares the tensors of a `MusicgenForCausalLM` (no second copy): the projections that read the same
input are laid side by side and run as one, and on a CPU they are stored input-first, which makes
products of few rows up to twice as fast. Layers are modules whose output is the residual stream
[rows, positions, dim], so forward hooks on them see and may change it.

The text's keys and values are computed once per batch. The cache is allocated once per batch at
its final length; nothing is copied as it fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import embedding, scaled_dot_product_attention


@dataclass(frozen=True)
class Reach:
    """Which slots of the cache one pass writes, and which it sees."""

    slots: slice | torch.Tensor
    """A slice, or one number [1] where a CUDA graph needs it on the device."""
    seen: int
    """Slots attended to, from the first."""
    mask: torch.Tensor | None = None
    """Boolean [1, 1, 1, seen], true where a slot is filled; None when all are."""


@dataclass(frozen=True)
class Cache:
    """Keys and values of a batch: [layer][rows, heads, slots, dim of a head]."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    text_keys: list[torch.Tensor]
    text_values: list[torch.Tensor]
    text_mask: torch.Tensor
    """Added to scores [rows, 1, 1, text tokens]: 0 for a token that is heard, -inf for padding."""

    @property
    def rows(self) -> int:
        """Rows it has room for."""
        return len(self.text_mask)

    @property
    def slots(self) -> int:
        """Positions it has room for."""
        return self.keys[0].shape[2]

    def fits(self, rows: int, slots: int, tokens: int) -> bool:
        """Return whether it can serve a batch of this size again."""
        return self.rows >= rows and self.slots >= slots and self.text_mask.shape[3] == tokens


class Layer(nn.Module):
    """One layer: attention to what was played, to the text, and a feed-forward part."""

    def __init__(self, layer: Any, number: int) -> None:
        super().__init__()
        self.number = number
        hear, read = layer.self_attn, layer.encoder_attn
        self.heads = hear.num_heads
        self.norms = nn.ModuleList(
            [layer.self_attn_layer_norm, layer.encoder_attn_layer_norm, layer.final_layer_norm]
        )
        self.query_key_value = joined([hear.q_proj, hear.k_proj, hear.v_proj])
        self.text_key_value = joined([read.k_proj, read.v_proj])
        parts = (hear.out_proj, read.q_proj, read.out_proj, layer.fc1, layer.fc2)
        self.out, self.text_query, self.text_out, self.up, self.down = (joined([p]) for p in parts)
        self.activation = layer.activation_fn

    def forward(self, x: torch.Tensor, cache: Cache, reach: Reach) -> torch.Tensor:
        """Advance the residual stream [rows, positions, dim]; fills the cache."""
        rows = len(x)
        query, key, value = self._heads(self.norms[0](x) @ self.query_key_value, 3)
        keys, values = cache.keys[self.number][:rows], cache.values[self.number][:rows]
        _write(keys, key, reach.slots)
        _write(values, value, reach.slots)
        heard = scaled_dot_product_attention(
            query,
            keys[:, :, : reach.seen],
            values[:, :, : reach.seen],
            attn_mask=reach.mask,
            is_causal=x.shape[1] > 1,
        )
        x = x + _flat(heard) @ self.out
        (query,) = self._heads(self.norms[1](x) @ self.text_query, 1)
        read = scaled_dot_product_attention(
            query,
            cache.text_keys[self.number][:rows],
            cache.text_values[self.number][:rows],
            attn_mask=cache.text_mask[:rows],
        )
        x = x + _flat(read) @ self.text_out
        return x + self.activation(self.norms[2](x) @ self.up) @ self.down

    def read(self, text: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the text's keys and values, each [rows, heads, tokens, dim of a head]."""
        return self._heads(text @ self.text_key_value, 2)

    def _heads(self, x: torch.Tensor, parts: int) -> Sequence[torch.Tensor]:
        """[rows, positions, parts * dim] -> parts of [rows, heads, positions, dim of a head]."""
        rows, positions, _ = x.shape
        return x.view(rows, positions, parts, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


class Decoder(nn.Module):
    """Reads tokens of all codebooks at a position and says what may come at the next."""

    positions: torch.Tensor
    first: torch.Tensor

    def __init__(self, language_model: Any) -> None:
        super().__init__()
        inner = language_model.model.decoder
        self.codebooks: int = language_model.num_codebooks
        self.vocabulary: int = language_model.config.vocab_size
        self.pad: int = language_model.config.pad_token_id
        stereo = language_model.config.audio_channels == 2
        self.delays = [k // 2 if stereo else k for k in range(self.codebooks)]
        """Positions by which each codebook comes late; left and right alternate in stereo."""
        self.tables = _stacked(inner.embed_tokens)
        self.heads = joined(language_model.lm_heads)
        self.register_buffer("positions", inner.embed_positions.weights, persistent=False)
        first = torch.arange(self.codebooks, device=self.heads.device) * (self.vocabulary + 1)
        self.register_buffer("first", first[:, None], persistent=False)
        self._stack = [Layer(one, i) for i, one in enumerate(inner.layers)]
        self.layers = nn.ModuleList(self._stack)
        self.norm = inner.layer_norm

    def new_cache(self, rows: int, slots: int, tokens: int) -> Cache:
        """Allocate a cache; what it holds before it is written is not read."""
        like, heads = self.heads, self._stack[0].heads
        shape = (rows, heads, slots, like.shape[0] // heads)
        text = (rows, heads, tokens, shape[3])

        def per_layer(size: tuple[int, ...]) -> list[torch.Tensor]:
            return [like.new_zeros(size) for _ in self._stack]

        mask = like.new_zeros(rows, 1, 1, tokens)
        keys, values = per_layer(shape), per_layer(shape)
        return Cache(keys, values, per_layer(text), per_layer(text), mask)

    def hear_text(self, cache: Cache, text: torch.Tensor, mask: torch.Tensor) -> None:
        """Put a text [rows, tokens, dim] into a cache; its mask is true where a token is."""
        rows = len(text)
        cache.text_mask[:rows, 0, 0] = torch.where(mask, 0.0, -torch.inf)
        for number, layer in enumerate(self._stack):
            key, value = layer.read(text.to(self.heads.dtype))
            cache.text_keys[number][:rows] = key
            cache.text_values[number][:rows] = value

    def forward(
        self, tokens: torch.Tensor, places: torch.Tensor, cache: Cache, reach: Reach
    ) -> torch.Tensor:
        """Return float32 logits [rows, codebooks, vocabulary] after the last position.

        Args:
            tokens: [rows, codebooks, positions].
            places: the number of each position, [positions].
            cache: filled up to the first of them.
            reach: what is written and seen.
        """
        x = embedding(tokens + self.first, self.tables).sum(1) + self.positions[places]
        for layer in self._stack:
            x = layer(x, cache, reach)
        logits = self.norm(x[:, -1]) @ self.heads
        return logits.view(len(x), self.codebooks, self.vocabulary).float()


def joined(modules: Any) -> torch.Tensor:
    """Lay the weights of linear modules side by side, [inputs, all outputs].

    The modules go on with views of it. On a CPU it is contiguous as it is; elsewhere its transpose
    is, the layout GPU libraries are tuned for.
    """
    whole = torch.cat([module.weight.data for module in modules]).t()
    if whole.device.type == "cpu":
        whole = whole.contiguous()
    sizes = [len(module.weight) for module in modules]
    for module, part in zip(modules, whole.split(sizes, dim=1), strict=True):
        module.weight.data = part.t()
    return whole


def _stacked(tables: Any) -> torch.Tensor:
    """Lay embedding tables one below the other; the modules go on with views of it."""
    whole = torch.cat([table.weight.data for table in tables])
    for table, part in zip(tables, whole.split([len(t.weight) for t in tables]), strict=True):
        table.weight.data = part
    return whole


def _write(room: torch.Tensor, new: torch.Tensor, slots: slice | torch.Tensor) -> None:
    if isinstance(slots, slice):
        room[:, :, slots] = new
    else:
        room.index_copy_(2, slots, new)


def _flat(x: torch.Tensor) -> torch.Tensor:
    """[rows, heads, positions, dim of a head] -> [rows, positions, dim]."""
    return x.transpose(1, 2).flatten(2)
