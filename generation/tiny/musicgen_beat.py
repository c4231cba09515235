"""A starting point for tempo: attention to the tempo word that rises and falls with its beat.

The beat of a tempo at a position is a product of both, which a decoder learns slowly from words and
sinusoidal positions. Two heads of cross-attention in each of the first layers therefore start as
cos and sin of the beat's phase: of beats in the first layer, of bars in the second. Queries
and keys are fitted by least squares to a low-rank factorisation (singular values) of the beats of
all tempi; everything stays trainable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from audioforge.generation.tiny.clips import SAMPLE_RATE
from audioforge.generation.tiny.musicgen_design import TEMPI

_RANK = 48
_GAIN = 3.0
"""Attention score of the tempo word on the beat."""
_PROMPT = "beat at {} bpm"
_BEATS = (1, 0.25)
"""Pulses per beat, for each of the first layers."""


@torch.no_grad()
def start_beat(model: Any, tokenizer: Any, codes: torch.Tensor) -> None:
    """Set tempo embeddings and the first two heads of the first layers, in place.

    Args:
        model: MusicgenForConditionalGeneration, trained or not.
        tokenizer: whose words TEMPI are single tokens.
        codes: decoder inputs that queries are fitted on, [clips, codebooks, positions].
    """
    frame_seconds = model.audio_encoder.config.hop_length / SAMPLE_RATE
    features, waves = _factors(np.arange(codes.shape[-1]) * frame_seconds)
    rows = tokenizer.convert_tokens_to_ids([str(t) for t in TEMPI])
    model.text_encoder.shared.weight[rows, :_RANK] = features
    states, wanted = _told(model, tokenizer, rows, features)
    keys = _fit(states, wanted)
    for layer, wave in zip(model.decoder.model.decoder.layers, waves, strict=False):
        attention = layer.encoder_attn
        seen = _queries_seen(model, attention.q_proj, codes)
        size = attention.head_dim
        for head in range(2):
            own = slice(head * size, head * size + _RANK)
            rest = slice(head * size + _RANK, (head + 1) * size)
            query = _fit(seen, wave[head].repeat(len(codes), 1))
            attention.k_proj.weight[own], attention.k_proj.weight[rest] = keys.T, 0.0
            attention.q_proj.weight[own] = query.T * (_GAIN * size**0.5)
            attention.q_proj.weight[rest] = 0.0


def _factors(seconds: np.ndarray) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return tempo features [tempi, _RANK] and, per layer, waves [2, positions, _RANK].

    Their product is cos (and sin) of the beat's phase at a tempo and a position.
    """
    beats = np.outer(np.array(TEMPI) / 60, seconds)
    parts = [f(2 * np.pi * n * beats) for n in _BEATS for f in (np.cos, np.sin)]
    left, size, right = np.linalg.svd(np.concatenate(parts, 1), full_matrices=False)
    scale = np.sqrt(len(TEMPI))
    features = torch.from_numpy(left[:, :_RANK] * scale).float()
    waves = torch.from_numpy(size[:_RANK, None] * right[:_RANK] / scale).float().T
    return features, list(waves.view(len(_BEATS), 2, len(seconds), _RANK))


def _told(
    model: Any, tokenizer: Any, rows: list[int], features: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the decoder is told of every tempo, word by word, and the features wanted."""
    words = tokenizer([_PROMPT.format(t) for t in TEMPI], return_tensors="pt")
    states = model.enc_to_dec_proj(model.text_encoder(**words).last_hidden_state)
    wanted = torch.zeros(*words["input_ids"].shape, _RANK)
    wanted[words["input_ids"] == torch.tensor(rows)[:, None]] = features
    return states.flatten(0, 1), wanted.flatten(0, 1)


def _queries_seen(model: Any, projection: Any, codes: torch.Tensor) -> torch.Tensor:
    """Return what enters a query projection at every position, [clips * positions, width]."""
    seen: list[torch.Tensor] = []
    hook: Callable[..., None] = lambda module, inputs, output: seen.append(inputs[0])  # noqa: E731
    handle = projection.register_forward_hook(hook)
    try:
        width = model.config.decoder.hidden_size
        model.decoder(
            input_ids=codes.reshape(-1, codes.shape[-1]),
            encoder_hidden_states=torch.zeros(len(codes), 1, width),
        )
    finally:
        handle.remove()
    return seen[0].reshape(-1, width)


def _fit(inputs: torch.Tensor, wanted: torch.Tensor, ridge: float = 0.02) -> torch.Tensor:
    """Return the weights [inputs, wanted] of a ridge regression."""
    gram = inputs.T @ inputs
    gram.diagonal().add_(ridge * gram.diagonal().mean())
    return torch.linalg.solve(gram, inputs.T @ wanted)
