"""EnCodec around MusicGen: sound to tokens and back, mono or stereo.

A stereo checkpoint has twice the codebooks of its codec: left and right are coded one by one as
mono sound and their codebooks alternate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from audioforge.utils.audio_processing import Audio, resample, to_mono

DECODE_BATCH = 8
"""Clips decoded at once: the decoder's activations dominate memory."""
_LOWEST_RATE = 4
"""Layers of EnCodec's decoder through its first upsampling: convolution, LSTM, ELU, that."""


class Codec:
    """Encodes and decodes with a model's EnCodec.

    Args:
        encodec: transformers' EncodecModel.
        channels: of the sound, 1 or 2.
    """

    def __init__(self, encodec: Any, channels: int) -> None:
        self._encodec, self._channels = encodec, channels
        self.sample_rate: int = encodec.config.sampling_rate
        self.hop: int = encodec.config.hop_length
        """Samples of a frame."""

    def frames(self, seconds: float) -> int:
        """Return how many frames hold so much sound, to the sample."""
        return -(-round(seconds * self.sample_rate) // self.hop)

    @torch.no_grad()
    def encode(self, audio: Audio, frames: int) -> torch.Tensor:
        """Return the tokens of the last whole frames of a sound, [codebooks, at most frames].

        Cut at its begin, so that the last frame ends where the sound ends. Other rates and channel
        counts are converted.
        """
        sound = resample(audio, self.sample_rate)
        if self._channels == 1:
            sound = to_mono(sound)
        samples = torch.tensor(sound.samples, device=self._encodec.device)
        samples = samples[: self._channels].expand(self._channels, -1)
        length = min(samples.shape[1] // self.hop, frames) * self.hop
        waves = samples[:, samples.shape[1] - length :, None].transpose(1, 2)
        tokens = [self._encodec.encode(wave[None]).audio_codes[0, 0] for wave in waves]
        return torch.stack(tokens, 1).flatten(0, 1)

    @torch.no_grad()
    def decode(self, clips: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Turn tokens [codebooks, frames] into waves [channels, frames * hop], float32.

        Only clips of equal length share a pass: padding would change the end of the shorter.
        """
        waves: dict[int, torch.Tensor] = {}
        lengths = sorted({clip.shape[1] for clip in clips})
        for length in lengths:
            alike = [i for i, clip in enumerate(clips) if clip.shape[1] == length]
            for start in range(0, len(alike), DECODE_BATCH):
                some = alike[start : start + DECODE_BATCH]
                waves |= zip(some, self._decode(torch.stack([clips[i] for i in some])), strict=True)
        return [waves[i] for i in range(len(clips))]

    def _decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """[clips, codebooks, frames] -> [clips, channels, samples]."""
        sides = [tokens[:, side :: self._channels] for side in range(self._channels)]
        return torch.cat([self._decode_side(side) for side in sides], 1).float()

    def _decode_side(self, tokens: torch.Tensor) -> torch.Tensor:
        """What EncodecModel.decode does, but never with one row in the layers of lowest rate.

        Products of one row round differently on a CPU: a clip decoded alone would differ in its
        last bits from the same clip in a batch.
        """
        sound = self._encodec.quantizer.decode(tokens.transpose(0, 1))
        layers, clips = self._encodec.decoder.layers, len(sound)
        sound = sound.expand(max(clips, 2), -1, -1)
        for layer in layers[:_LOWEST_RATE]:
            sound = layer(sound)
        sound = sound[:clips]
        for layer in layers[_LOWEST_RATE:]:
            sound = layer(sound)
        return sound
