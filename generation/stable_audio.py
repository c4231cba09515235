"""Stable Audio as a backend: mixed batches over stable-audio-tools' models.

Never touches the global random state and prints nothing. Precision: float32 on CPU; on CUDA the
transformer runs in bfloat16 and the autoencoder in float32. A clip equals its solo run to float
rounding (tested to 1e-5 on the latents); it is bit-identical when the same requests are made in the
same order, which is what replay does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from audioforge.data.wording import tempo_of
from audioforge.generation.backend import problem_of
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.generation.rf_sampler import Path, integrate
from audioforge.generation.sat_imports import quiet
from audioforge.generation.stable_audio_load import Loaded, load
from audioforge.utils.audio_processing import Audio

MAX_BATCH = 32
DECODE_BATCH = 4
"""Clips decoded at once: the decoder's activations dominate memory."""
_CACHED_PROMPTS = 4_096
_INPUTS = ("cross_attn_cond", "global_cond", "input_concat_cond")
"""Prompt tokens [1, tokens, dim], a vector for the whole clip [1, dim], channels over time."""


class StableAudioBackend:
    """Generates with one loaded checkpoint."""

    def __init__(self, loaded: Loaded, device: str) -> None:
        self.capabilities = loaded.capabilities
        self.weights_sha256 = loaded.weights_sha256
        self.model = loaded.model
        self.device = torch.device(device)
        self._frames = loaded.sample_size // self.model.pretransform.downsampling_ratio
        self._embedded: dict[str, torch.Tensor] = {}

    @classmethod
    def load(cls, source: str, *, name: str, device: str = "auto") -> StableAudioBackend:
        """Load a checkpoint; see `stable_audio_load.load` for what can go wrong."""
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        if chosen not in ("cpu", "cuda"):
            raise ValueError(f"device must be auto, cpu or cuda, got {device!r}")
        if chosen == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                "device cuda was asked for, but this torch sees no CUDA device: use cpu"
            )
        return cls(load(source, name, chosen), chosen)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Make every request, at most MAX_BATCH in one pass; see the Backend contract."""
        made: dict[int, Clip | Failure] = {}
        ready = []
        for index, request in enumerate(requests):
            if problem := problem_of(request, self.capabilities):
                made[index] = Failure(request, "invalid", problem)
            else:
                ready.append(index)
        for start in range(0, len(ready), MAX_BATCH):
            batch = ready[start : start + MAX_BATCH]
            made |= zip(batch, self._batch([requests[i] for i in batch]), strict=True)
        return [made[i] for i in range(len(requests))]

    def _batch(self, requests: list[GenerationRequest]) -> list[Clip | Failure]:
        """Make one batch."""
        started = time.perf_counter()
        waves = self._decode(self.latents(requests))
        taken = (time.perf_counter() - started) / len(requests)
        return [self._clip(r, w, taken) for r, w in zip(requests, waves, strict=True)]

    def _clip(self, request: GenerationRequest, wave: torch.Tensor, taken: float) -> Clip | Failure:
        wave = wave[:, : round(request.seconds * self.capabilities.sample_rate)]
        if not bool(torch.isfinite(wave).all()):
            return Failure(request, "crash", "the model made non-finite samples")
        return Clip(
            request, Audio(wave.clamp(-1, 1).cpu().numpy(), self.capabilities.sample_rate), taken
        )

    @torch.no_grad()
    def latents(self, requests: Sequence[GenerationRequest]) -> torch.Tensor:
        """Sample latents, float32 [requests, channels, frames]."""
        conditions = [self._conditions(r) for r in requests]
        cross, whole, beside = (_joined([c[part] for c in conditions]) for part in _INPUTS)
        assert cross is not None, "a text-to-audio model attends to its prompt"
        null = torch.cat([self._unconditional(r, cross[:1]) for r in requests])
        scale = torch.tensor([r.cfg_scale for r in requests], device=self.device)
        dtype = next(self.model.model.parameters()).dtype

        def velocity(x: torch.Tensor, t: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
            own = torch.tensor(rows, device=self.device)
            guided = (scale[own] != 1).nonzero()[:, 0]
            both = torch.cat([own, own[guided]])
            v = self.model.model(
                torch.cat([x, x[guided]]).to(dtype),
                torch.cat([t, t[guided]]).to(dtype),
                cross_attn_cond=torch.cat([cross[own], null[own[guided]]]).to(dtype),
                global_cond=None if whole is None else whole[both].to(dtype),
                input_concat_cond=None if beside is None else beside[both].to(dtype),
                cfg_scale=1.0,
                use_checkpointing=False,
            ).float()
            with_prompt, without = v[: len(rows)], v[len(rows) :]
            if len(guided):
                strength = scale[own[guided]][:, None, None]
                with_prompt[guided] = without + (with_prompt[guided] - without) * strength
            return with_prompt

        paths = [Path(r.sampler, r.steps, r.seed, r.sigma_max or 1.0) for r in requests]
        return integrate(velocity, paths, (self.model.io_channels, self._frames), self.device)

    def _conditions(self, request: GenerationRequest) -> dict[str, torch.Tensor | None]:
        """Return what the transformer is told, by name: see _INPUTS."""
        return self.model.get_conditioning_inputs(self._tensors(request.prompt, request.seconds))

    def _unconditional(self, request: GenerationRequest, like: torch.Tensor) -> torch.Tensor:
        """Return what the unguided half hears: nothing, or the negative prompt, padding zeroed."""
        if not request.negative_prompt:
            return torch.zeros_like(like)
        tensors = self._tensors(request.negative_prompt, request.seconds)
        made = self.model.get_conditioning_inputs(tensors, negative=True)
        mask = made["negative_cross_attn_mask"].to(torch.bool)[:, :, None]
        return torch.where(mask, made["negative_cross_attn_cond"], torch.zeros_like(like))

    def _tensors(self, prompt: str, seconds: float) -> dict[str, Any]:
        """Run the conditioners for one item; prompts are embedded once and kept."""
        values = {
            "prompt": prompt,
            "seconds_start": 0,
            "seconds_total": seconds,
            "bpm": tempo_of(prompt),
        }
        tensors = {}
        with quiet():
            for name, conditioner in self.model.conditioner.conditioners.items():
                if name == "prompt" and prompt in self._embedded:
                    tensors[name] = self._embedded[prompt]
                    continue
                tensors[name] = conditioner([values[name]], self.device)
                if name == "prompt":
                    if len(self._embedded) >= _CACHED_PROMPTS:
                        self._embedded.clear()
                    self._embedded[prompt] = tensors[name]
        return tensors

    @torch.no_grad()
    def _decode(self, latents: torch.Tensor) -> list[torch.Tensor]:
        """Decode to waves [channels, time] in memory-bounded chunks."""
        chunks = latents.split(DECODE_BATCH)
        return [wave for chunk in chunks for wave in self.model.pretransform.decode(chunk).float()]


def _joined(rows: list[torch.Tensor | None]) -> torch.Tensor | None:
    """Stack one input of all items; None where the checkpoint has no such input."""
    there = [row for row in rows if row is not None]
    return torch.cat(there) if there else None
