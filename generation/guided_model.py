"""A Stable Audio transformer asked for many items at once, each with its own prompt and guidance.

Classifier-free guidance is done outside the model, u + cfg (c - u), so that only items with a cfg
other than 1 cost a second row, and each has its own. The unguided row hears nothing, or the
negative prompt with its padding zeroed, and keeps the item's other conditions, as upstream's does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from audioforge.data.wording import tempo_of
from audioforge.generation.request import GenerationRequest
from audioforge.generation.sat_imports import quiet

_CACHED_PROMPTS = 4_096
_INPUTS = ("cross_attn_cond", "global_cond", "input_concat_cond")
"""Prompt tokens [1, tokens, dim], a vector for the whole clip [1, dim], channels over time."""


class Conditioner:
    """Turns requests into what the transformer is told; prompts are embedded once and kept."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model = model
        self._device = device
        self._embedded: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def told(
        self, request: GenerationRequest, beside: dict[str, list[torch.Tensor]]
    ) -> dict[str, torch.Tensor | None]:
        """Return one item's inputs by name, see _INPUTS, and "null", what its unguided row hears.

        Args:
            request: the item.
            beside: channels over time that no conditioner makes: an inpainting mask and its sound.
        """
        tensors = self._tensors(request.prompt, request.seconds) | beside
        made = self._model.get_conditioning_inputs(tensors)
        cross = made["cross_attn_cond"]
        assert cross is not None, "a text-to-audio model attends to its prompt"
        null = torch.zeros_like(cross)
        if request.negative_prompt:
            tensors = self._tensors(request.negative_prompt, request.seconds) | beside
            other = self._model.get_conditioning_inputs(tensors, negative=True)
            mask = other["negative_cross_attn_mask"].to(torch.bool)[:, :, None]
            null = torch.where(mask, other["negative_cross_attn_cond"], null)
        return {name: made[name] for name in _INPUTS} | {"null": null}

    def _tensors(self, prompt: str, seconds: float) -> dict[str, Any]:
        values = {
            "prompt": prompt,
            "seconds_start": 0,
            "seconds_total": seconds,
            "bpm": tempo_of(prompt),
        }
        tensors = {}
        with quiet():
            for name, conditioner in self._model.conditioner.conditioners.items():
                if name == "prompt" and prompt in self._embedded:
                    tensors[name] = self._embedded[prompt]
                    continue
                tensors[name] = conditioner([values[name]], self._device)
                if name == "prompt":
                    if len(self._embedded) >= _CACHED_PROMPTS:
                        self._embedded.clear()
                    self._embedded[prompt] = tensors[name]
        return tensors


class GuidedModel:
    """The transformer over the items of one call.

    Args:
        transformer: stable-audio-tools' DiTWrapper.
        told: of every item, what `Conditioner.told` gave.
        scales: cfg of every item.
        wants_unguided: whether some sampler uses the unguided output by itself.

    Attributes:
        evaluated: rows the transformer was evaluated for so far.
    """

    def __init__(
        self,
        transformer: Any,
        told: Sequence[Mapping[str, torch.Tensor | None]],
        scales: Sequence[float],
        *,
        wants_unguided: bool = False,
    ) -> None:
        self._transformer = transformer
        self._dtype = next(transformer.parameters()).dtype
        self._inputs = {name: self._joined([t[name] for t in told]) for name in (*_INPUTS, "null")}
        self._scales = list(scales)
        self._wants_unguided = wants_unguided
        self.evaluated = 0

    def _joined(self, rows: list[torch.Tensor | None]) -> torch.Tensor | None:
        """Stack one input of all items; None where the checkpoint has no such input."""
        there = [row for row in rows if row is not None]
        return torch.cat(there).to(self._dtype) if there else None

    def rows(self, item: int) -> int:
        """Return how many rows an item takes."""
        return 1 if self._scales[item] == 1 else 2

    def __call__(
        self, x: torch.Tensor, t: torch.Tensor, items: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `linear_sampler.Predict`."""
        guided = [row for row, item in enumerate(items) if self._scales[item] != 1]
        own = torch.tensor(items, device=x.device)
        again = torch.tensor(guided, device=x.device, dtype=torch.long)
        both = torch.cat([own, own[again]])
        self.evaluated += len(both)
        cross, null = self._inputs["cross_attn_cond"], self._inputs["null"]
        whole, beside = self._inputs["global_cond"], self._inputs["input_concat_cond"]
        assert cross is not None
        assert null is not None
        v = self._transformer(
            torch.cat([x, x[again]]).to(self._dtype),
            torch.cat([t, t[again]]).to(self._dtype),
            cross_attn_cond=torch.cat([cross[own], null[own[again]]]),
            global_cond=None if whole is None else whole[both],
            input_concat_cond=None if beside is None else beside[both],
            cfg_scale=1.0,
            use_checkpointing=False,
        ).float()
        with_prompt, without = v[: len(items)], v[len(items) :]
        if not guided:
            return with_prompt, None
        unguided = with_prompt.clone() if self._wants_unguided else None
        if unguided is not None:
            unguided[again] = without
        scale = torch.tensor([self._scales[items[row]] for row in guided], device=x.device)
        with_prompt[again] = without + (with_prompt[again] - without) * scale[:, None, None]
        return with_prompt, unguided
