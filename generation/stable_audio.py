"""Stable Audio as a backend: mixed batches over stable-audio-tools' models.

Never touches the global random state and prints nothing. Precision: float32 on CPU; on CUDA the
transformer runs in bfloat16, the sampler and the autoencoder in float32.

A clip equals its solo run to float rounding. On a CPU that is some 1e-6 of full scale, which is
enough to turn a 16-bit sample over: with other batch mates the hash of a clip is another one. The
same requests in the same order give the same bits, which is what replay does; with `one_by_one`
every clip is made alone and its bits depend on nothing but its request, at the price of speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from audioforge.generation import rf_sampler, v_sampler
from audioforge.generation.backend import problem_of
from audioforge.generation.batches import device_of, make_in_batches
from audioforge.generation.guided_model import Conditioner, GuidedModel
from audioforge.generation.item_noise import ItemNoise
from audioforge.generation.linear_sampler import Path, Program, integrate
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.generation.stable_audio_load import V_SIGMAS, Loaded, load
from audioforge.generation.stable_audio_memory import footprint
from audioforge.generation.start_audio import StartAudio, start_problem

MAX_CALL = 256
"""Requests whose latents are held at once."""
_ANY = GenerationRequest("", 1.0, 0)


class StableAudioBackend:
    """Generates with one loaded checkpoint.

    Attributes:
        row_evaluations: rows the transformer was evaluated for so far; see the Backend contract.
    """

    def __init__(self, loaded: Loaded, device: str, *, one_by_one: bool = False) -> None:
        self.weights_sha256 = loaded.weights_sha256
        self.row_evaluations = 0
        self.model = loaded.model
        self.device = torch.device(device)
        self._loaded = loaded
        self._frames = loaded.sample_size // self.model.pretransform.downsampling_ratio
        self._conditioner = Conditioner(self.model, self.device)
        told = self._conditioner.told(_ANY, self._starts().beside(None, self._noise(0)))
        size = footprint(self.model, told, self._frames, self.device)
        self.capabilities = replace(loaded.capabilities, clip_mb=size.clip_mb)
        self.max_rows = 1 if one_by_one else size.rows(self.device)
        self._decode_batch = 1 if one_by_one else size.decoded(self.device)
        shift = self.model.dist_shift
        # upstream's inpainting call leaves the shift of rk4's grid out
        self._warp = (
            partial(shift.time_shift, seq_len=self._frames)
            if shift is not None and not loaded.inpaints
            else None
        )

    @classmethod
    def load(
        cls, source: str, *, name: str, device: str = "auto", one_by_one: bool = False
    ) -> StableAudioBackend:
        """Load a checkpoint; see `stable_audio_load.load` for what can go wrong.

        Args:
            source: a folder or a hub id.
            name: what records call the model.
            device: "cpu", "cuda" or "auto".
            one_by_one: make every clip alone, so that it is the same to the bit whatever the
                other requests of a call are.
        """
        chosen = device_of(device)
        return cls(load(source, name, chosen), chosen, one_by_one=one_by_one)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Make every request; see the Backend contract."""
        return make_in_batches(
            requests, self._problem, self._waves, self.capabilities.sample_rate, MAX_CALL
        )

    def _problem(self, request: GenerationRequest) -> str | None:
        return problem_of(request, self.capabilities) or start_problem(request, self.capabilities)

    def _waves(self, requests: list[GenerationRequest]) -> list[torch.Tensor]:
        return self._decode(self.latents(requests))

    @torch.no_grad()
    def latents(self, requests: Sequence[GenerationRequest]) -> torch.Tensor:
        """Sample latents, float32 [requests, channels, frames]."""
        starts = self._starts()
        paths, told = [], []
        for request in requests:
            path, beside = self._path(request, starts)
            paths.append(path)
            told.append(self._conditioner.told(request, beside))
        model = GuidedModel(
            self.model.model,
            told,
            [r.cfg_scale for r in requests],
            wants_unguided=any(r.sampler == "v-ddim-cfgpp" for r in requests),
        )
        paths = [replace(path, rows=model.rows(i)) for i, path in enumerate(paths)]
        try:
            return integrate(model, paths, self.max_rows)
        finally:
            self.row_evaluations += model.evaluated

    def _path(
        self, request: GenerationRequest, starts: StartAudio
    ) -> tuple[Path, dict[str, list[torch.Tensor]]]:
        """Return how an item travels, and the channels an inpainting model is shown beside it."""
        program = self._program(request)
        noise = self._noise(request.seed, program.span)
        first = noise.white() * program.start
        if request.init_audio is not None and request.init_audio.use == "vary":
            first = first + program.keep * starts.latents(request.init_audio, noise)
        return Path(program, first, noise), starts.beside(request.init_audio, noise)

    def _starts(self) -> StartAudio:
        return StartAudio(self.model, self._loaded.sample_size, inpaints=self._loaded.inpaints)

    def _noise(self, seed: int, span: tuple[float, float] | None = None) -> ItemNoise:
        return ItemNoise(seed, (self.model.io_channels, self._frames), self.device, span)

    def _program(self, request: GenerationRequest) -> Program:
        start = request.init_audio
        strength = start.strength if start is not None and start.use == "vary" else None
        if self._loaded.objective == "v":
            low, high = request.sigma_min or V_SIGMAS[0], request.sigma_max or V_SIGMAS[1]
            return v_sampler.program(request.sampler, request.steps, low, high, strength=strength)
        return rf_sampler.program(
            request.sampler,
            request.steps,
            strength or request.sigma_max or 1.0,
            varies=strength is not None,
            warp=self._warp,
        )

    @torch.no_grad()
    def _decode(self, latents: torch.Tensor) -> list[torch.Tensor]:
        """Decode to waves [channels, time] in memory-bounded chunks."""
        chunks = latents.split(self._decode_batch)
        return [wave for chunk in chunks for wave in self.model.pretransform.decode(chunk).float()]
