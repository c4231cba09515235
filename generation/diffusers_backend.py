"""Stable Audio 3 and Stable Audio 1.0 through the pipelines of diffusers.

A pipeline takes a list of prompts and of generators, but one number of steps, one cfg and one
length: requests that share those make one batch, others wait for theirs. Each clip has its own
generator, so it does not depend on its batch mates beyond float rounding. Stable Audio 3 also
makes variations ("vary": its audio-to-audio pipeline) and remakes stretches ("remake": its
inpainting pipeline); both run without guidance there. Stable Audio 1.0 can start from a sound only
at full noise, which is no variation, so it takes none.

Only tested on CPU, with random weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from audioforge.generation.backend import problem_of
from audioforge.generation.batches import device_of, make_in_batches
from audioforge.generation.diffusers_load import LoadedPipeline, load
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.generation.sat_imports import quiet
from audioforge.generation.start_audio import fitted, start_problem

MAX_BATCH = 16
_DECODE_MB = 1_000.0
"""Memory that decoding may take; longer clips are decoded fewer at a time."""


class DiffusersBackend:
    """Generates with one loaded pipeline."""

    def __init__(self, loaded: LoadedPipeline, device: str, *, one_by_one: bool = False) -> None:
        self.capabilities = loaded.capabilities
        self.weights_sha256 = loaded.weights_sha256
        self.device = torch.device(device)
        self.pipeline = loaded.pipeline
        self._batch = 1 if one_by_one else MAX_BATCH
        self._third = type(loaded.pipeline).__name__ == "StableAudio3Pipeline"
        self._by_use = {"": self.pipeline} | (_others(loaded.pipeline) if self._third else {})

    @classmethod
    def load(
        cls, source: str, *, name: str, device: str = "auto", one_by_one: bool = False
    ) -> DiffusersBackend:
        """Load a folder or a hub id; see `diffusers_load.load` for what can go wrong.

        Args:
            source: a folder or a hub id.
            name: what records call the model.
            device: "cpu", "cuda" or "auto".
            one_by_one: make every clip alone, the same to the bit whatever else is asked for.
        """
        chosen = device_of(device)
        return cls(load(source, name, chosen), chosen, one_by_one=one_by_one)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Make every request, those that may in one pass; see the Backend contract."""
        rate = self.capabilities.sample_rate
        return make_in_batches(requests, self._problem, self._waves, rate, self._batch, _shared)

    def _problem(self, request: GenerationRequest) -> str | None:
        can = self.capabilities
        if problem := problem_of(request, can) or start_problem(request, can):
            return problem
        if request.cfg_scale < 1:
            return f"cfg_scale must be at least 1 for this pipeline, got {request.cfg_scale:g}"
        if request.init_audio and (request.cfg_scale != 1 or request.negative_prompt):
            return "this pipeline starts from a sound without guidance: cfg 1, no negative prompt"
        return None

    @torch.no_grad()
    def _waves(self, requests: list[GenerationRequest]) -> list[torch.Tensor]:
        """Make requests that share what a pipeline takes once."""
        first = requests[0]
        use = first.init_audio.use if first.init_audio else ""
        told: dict[str, Any] = {
            "prompt": [r.prompt for r in requests],
            "num_inference_steps": first.steps,
            "generator": [torch.Generator(self.device).manual_seed(r.seed) for r in requests],
            "output_type": "latent",
        }
        told |= {"duration" if self._third else "audio_end_in_s": first.seconds}
        if use:
            told |= self._start(requests, use)
        else:
            told["guidance_scale"] = first.cfg_scale
            if first.negative_prompt:
                told["negative_prompt"] = [r.negative_prompt for r in requests]
        with quiet():
            latents = self._by_use[use](**told).audios
            return self._decode(latents)

    def _start(self, requests: list[GenerationRequest], use: str) -> dict[str, Any]:
        """Return the sounds of a batch [B, channels, time], and what is to become of them."""
        can, vae = self.capabilities, self.pipeline.vae
        frames = -(-requests[0].seconds * can.sample_rate // vae.downsampling_ratio)
        length = int(frames) * vae.downsampling_ratio
        starts = [r.init_audio for r in requests if r.init_audio is not None]
        sounds = [fitted(s.audio, can.sample_rate, length, can.channels) for s in starts]
        told: dict[str, Any] = {"audio": torch.cat(sounds).to(self.device, vae.dtype)}
        if use == "vary":
            return told | {"init_noise_level": starts[0].strength}
        keep = torch.ones(len(starts), 1, length)
        for row, start in enumerate(starts):
            for begin, end in start.remake:
                keep[row, :, round(begin * can.sample_rate) : round(end * can.sample_rate)] = 0
        return told | {"mask": torch.nn.functional.interpolate(keep, size=int(frames))}

    def _decode(self, latents: torch.Tensor) -> list[torch.Tensor]:
        """Decode to waves [channels, time] in memory-bounded chunks."""
        can, vae = self.capabilities, self.pipeline.vae
        hop = vae.downsampling_ratio if self._third else vae.hop_length
        clip_mb = can.clip_mb * latents.shape[-1] * hop / (can.max_seconds * can.sample_rate)
        chunks = latents.split(max(1, int(_DECODE_MB / clip_mb)))
        return [wave for chunk in chunks for wave in vae.decode(chunk).sample]


def _others(pipeline: Any) -> dict[str, Any]:
    """Return Stable Audio 3's other pipelines over the same weights, by what they are used for."""
    import diffusers

    kinds = {"vary": "StableAudio3AudioToAudioPipeline", "remake": "StableAudio3InpaintPipeline"}
    made = {use: getattr(diffusers, k)(**pipeline.components) for use, k in kinds.items()}
    for other in made.values():
        other.set_progress_bar_config(disable=True)
    return made


def _shared(request: GenerationRequest) -> tuple:
    """Return what must be equal within a batch."""
    start = request.init_audio
    how = (start.use, start.strength if start.use == "vary" else 0.0) if start else ("", 0.0)
    has_negative = bool(request.negative_prompt)
    return request.seconds, request.steps, request.cfg_scale, has_negative, how
