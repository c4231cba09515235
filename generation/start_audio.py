"""Sound a Stable Audio clip starts from: variations ("vary") and inpainting ("remake").

As upstream: the sound is brought to the model's rate, channels and length (cut, or silence added),
encoded, and for a variation mixed with the item's noise. The encoder of a VAE draws from the item's
own generator, after its first noise, so a clip equals a solo upstream call with that seed. Two
deviations: rates are converted by soxr, and a sound that several items start from is encoded once.

For "remake" the model is shown the latents outside the stretches and a mask, 1 where the sound
stays. What is kept comes back through the decoder: close to the original, not equal to it.
"""

from __future__ import annotations

from typing import Any

import torch

from audioforge.generation.backend import Capabilities
from audioforge.generation.item_noise import ItemNoise
from audioforge.generation.request import GenerationRequest, InitAudio
from audioforge.utils.audio_processing import Audio, resample

MASK, MASKED = "inpaint_mask", "inpaint_masked_input"
"""Names under which an inpainting checkpoint takes its mask and the sound it masks."""


def start_problem(request: GenerationRequest, can: Capabilities) -> str | None:
    """Say what does not fit together in a request that starts from a sound, or None."""
    start = request.init_audio
    if start is None or start.use not in can.init_audio:
        return None
    if start.use == "vary" and request.sigma_max is not None:
        return "the strength of init_audio says where a variation starts: leave sigma_max out"
    late = [begin for begin, _ in start.remake if begin >= request.seconds]
    if late:
        return f"remake must begin within the {request.seconds:g} s of the clip, got {late[0]:g} s"
    return None


class StartAudio:
    """Prepares the sounds of one call.

    Args:
        model: stable-audio-tools' wrapper.
        sample_size: length of its clips, in samples.
        inpaints: whether it takes a mask and the sound it masks.
    """

    def __init__(self, model: Any, sample_size: int, *, inpaints: bool) -> None:
        self._inpaints = inpaints
        self._pretransform = model.pretransform
        self._sample_size = sample_size
        self._sample_rate = model.sample_rate
        self._frames = sample_size // model.pretransform.downsampling_ratio
        self._channels = model.io_channels
        self._encoded: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def latents(self, start: InitAudio, noise: ItemNoise) -> torch.Tensor:
        """Return the latents of a sound, float32 [1, C, L]."""
        if start.sha256 not in self._encoded:
            self._encoded[start.sha256] = self._encode(start.audio)
        encoded = self._encoded[start.sha256]
        if encoded.shape[1] != 2 * self._channels:
            return encoded
        mean, spread = encoded.chunk(2, dim=1)
        deviation = torch.nn.functional.softplus(spread) + 1e-4
        return (mean + noise.white() * deviation) / self._pretransform.scale

    def beside(self, start: InitAudio | None, noise: ItemNoise) -> dict[str, list[torch.Tensor]]:
        """Return the mask [1, 1, L] and masked latents [1, C, L] of a model that takes them."""
        if not self._inpaints:
            return {}
        device = noise.device
        if start is None or start.use != "remake":
            mask = torch.zeros(1, 1, self._frames, device=device)
            return {MASK: [mask], MASKED: [mask.expand(-1, self._channels, -1)]}
        keep = torch.ones(1, 1, self._sample_size, device=device)
        for begin, end in start.remake:
            keep[..., round(begin * self._sample_rate) : round(end * self._sample_rate)] = 0
        mask = torch.nn.functional.interpolate(keep, size=self._frames, mode="nearest")
        return {MASK: [mask], MASKED: [self.latents(start, noise) * mask]}

    def _encode(self, audio: Audio) -> torch.Tensor:
        """Return the encoder's mean and spread, or the latents where nothing is drawn."""
        weight = next(self._pretransform.model.parameters())
        wave = fitted(
            audio, self._sample_rate, self._sample_size, self._pretransform.io_channels
        ).to(weight)
        autoencoder = self._pretransform.model
        if type(autoencoder.bottleneck).__name__ == "VAEBottleneck":
            return autoencoder.encode_audio(wave, skip_bottleneck=True).float()
        return self._pretransform.encode(wave).float()


def fitted(audio: Audio, sample_rate: int, length: int, channels: int) -> torch.Tensor:
    """Bring a sound to a model's rate, length (cut or silence added) and channels.

    Returns:
        float32 [1, channels, length].
    """
    samples = torch.from_numpy(resample(audio, sample_rate).samples[:, :length].copy())
    samples = torch.nn.functional.pad(samples, (0, length - samples.shape[1]))[None]
    if channels == 1:
        return samples.mean(1, keepdim=True)
    return samples.expand(-1, channels, -1) if samples.shape[1] == 1 else samples[:, :channels]
