"""MusicGen as a backend: mixed batches, clips longer than a window, continuation of a sound.

Every item has its own guidance, temperature, top-k, top-p, seed and length (`musicgen_player`);
rows for guidance are spent only where cfg is not 1. A clip longer than the model's window is played
window by window: each starts from the last frames of the one before (`Loaded.overlap`), so a clip
of any length hears at least that much of itself. Continuing a given sound is the same with the
sound's last frames, and the clip holds only what follows: sound and clip join without a gap.

A negative prompt takes the place of silence in the unguided row.

A clip does not depend on its batch mates: on a CPU its samples are equal to the bit as long as all
prompts have at most `TEXT_STEP` tokens (measured in float32 with one thread; matrix products of
another library may round otherwise, and then a token may change where two candidates are equal to
the last bit). On CUDA, in bfloat16, other batch sizes round differently and clips may part. The
same requests in the same order give the same clips, which is what replay does.

Never touches the global random state and prints nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from audioforge.generation.backend import problem_of
from audioforge.generation.batches import Answer, device_of, make_in_batches
from audioforge.generation.musicgen_codec import Codec
from audioforge.generation.musicgen_decoder import Decoder
from audioforge.generation.musicgen_load import Loaded, load
from audioforge.generation.musicgen_player import TEXT_STEP, Part, Played, Player
from audioforge.generation.musicgen_sampling import Taste
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.generation.sat_imports import quiet

__all__ = ["TEXT_STEP", "MusicgenBackend"]

MAX_BATCH = 32
_CACHED_PROMPTS = 4_096


@dataclass
class _Item:
    """A clip on its way."""

    request: GenerationRequest
    frames: int
    """Asked for, without what it continues."""
    taste: Taste
    tokens: torch.Tensor
    """Played so far, with what it continues, [codebooks, frames]."""
    given: int
    """Frames it continues."""
    finite: bool = field(default=True)

    @property
    def missing(self) -> int:
        return self.given + self.frames - self.tokens.shape[1]


class MusicgenBackend:
    """Generates with one loaded checkpoint.

    Attributes:
        decoder: its layers may be hooked; see `musicgen_decoder`.
    """

    def __init__(self, loaded: Loaded, device: str, *, one_by_one: bool = False) -> None:
        self.capabilities = loaded.capabilities
        self.weights_sha256 = loaded.weights_sha256
        self.model, self._tokenizer = loaded.model, loaded.tokenizer
        self.device = torch.device(device)
        self.window, self.overlap = loaded.window, loaded.overlap
        self.codec = Codec(loaded.model.audio_encoder, loaded.capabilities.channels)
        self.decoder = Decoder(loaded.model.decoder)
        self._batch = 1 if one_by_one else MAX_BATCH
        self._player = Player(self.decoder, graphs=device != "cpu")
        self._read: dict[str, torch.Tensor] = {}

    @classmethod
    def load(
        cls, source: str, *, name: str, device: str = "auto", one_by_one: bool = False
    ) -> MusicgenBackend:
        """Load a checkpoint; see `musicgen_load.load` for what can go wrong.

        Args:
            source: a folder or a hub id.
            name: what records call the model.
            device: "cpu", "cuda" or "auto".
            one_by_one: make every clip alone, the same to the bit whatever else is asked for.
        """
        chosen = device_of(device)
        return cls(load(source, name, chosen), chosen, one_by_one=one_by_one)

    @property
    def row_evaluations(self) -> int:
        """Rows the decoder was evaluated for so far; see the Backend contract."""
        return self._player.row_evaluations

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Make every request, at most MAX_BATCH in one pass; see the Backend contract."""
        return make_in_batches(
            requests, self._problem, self._make, self.capabilities.sample_rate, self._batch
        )

    def _problem(self, request: GenerationRequest) -> str | None:
        if problem := problem_of(request, self.capabilities):
            return problem
        start, frame = request.init_audio, self.codec.hop / self.codec.sample_rate
        if start is not None and start.audio.seconds < frame:
            return f"a sound to continue must last {frame:g} s, got {start.audio.seconds:g}"
        return None

    def _make(self, requests: list[GenerationRequest]) -> list[Answer]:
        try:
            items = self.tokens(requests)
            waves = self.codec.decode([item.tokens for item in items])
        except torch.OutOfMemoryError:
            self._player.release()
            raise
        return [
            wave[:, item.given * self.codec.hop :]
            if item.finite
            else "the model's logits were not finite"
            for item, wave in zip(items, waves, strict=True)
        ]

    def tokens(self, requests: Sequence[GenerationRequest]) -> list[_Item]:
        """Play requests: tokens [codebooks, frames] with what each continues before them."""
        items = [self._begun(request) for request in requests]
        while waiting := [item for item in items if item.missing]:
            # Those with the shortest past first: the rest catch up with it and play along.
            past = min(self._past(item) for item in waiting)
            group = [item for item in waiting if self._past(item) == past]
            played = self._player.play([self._part(item, past) for item in group])
            for item, one in zip(group, played, strict=True):
                _add(item, one, past)
        return items

    def _begun(self, request: GenerationRequest) -> _Item:
        generator = torch.Generator(self.device).manual_seed(request.seed)
        taste = Taste(request.temperature, request.top_k, request.top_p, generator)
        tokens = torch.zeros(self.decoder.codebooks, 0, dtype=torch.long, device=self.device)
        if request.init_audio is not None:
            tokens = self.codec.encode(request.init_audio.audio, self.overlap)
        frames = self.codec.frames(request.seconds)
        return _Item(request, frames, taste, tokens, tokens.shape[1])

    def _past(self, item: _Item) -> int:
        """Return how many frames an item's next window starts from."""
        return min(item.tokens.shape[1], self.overlap)

    def _part(self, item: _Item, past: int) -> Part:
        request = item.request
        against = self._heard(request.negative_prompt) if request.cfg_scale != 1 else None
        return Part(
            prompt=item.tokens[:, item.tokens.shape[1] - past :],
            frames=min(item.missing, self.window - past),
            text=self._heard(request.prompt),
            against=against,
            cfg_scale=request.cfg_scale,
            taste=item.taste,
        )

    @torch.no_grad()
    def _heard(self, text: str) -> torch.Tensor:
        """Return what the decoder is told of a text, [tokens, dim]; of none, a zero."""
        if text not in self._read:
            if len(self._read) >= _CACHED_PROMPTS:
                self._read.clear()
            self._read[text] = self._embedded(text)
        return self._read[text]

    def _embedded(self, text: str) -> torch.Tensor:
        with quiet():
            told = self._tokenizer(text, return_tensors="pt").to(self.device) if text else None
            if told is None or not told["input_ids"].numel():
                width = self.model.config.decoder.hidden_size
                return torch.zeros(1, width, device=self.device)
            states = self.model.text_encoder(
                input_ids=told["input_ids"], attention_mask=told["attention_mask"]
            ).last_hidden_state
            if hasattr(self.model, "enc_to_dec_proj"):
                states = self.model.enc_to_dec_proj(states)
        return states[0]


def _add(item: _Item, played: Played, past: int) -> None:
    item.tokens = torch.cat([item.tokens, played.tokens[:, past:]], 1)
    item.finite &= played.finite
