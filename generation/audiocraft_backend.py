"""audiocraft's own MusicGen as a backend: what transformers' cannot do is melody conditioning.

Optional: `audiocraft_imports.INSTALL` installs it. For text alone `musicgen.py` is faster; here
every item is one call, because audiocraft draws from torch's global random state: the call runs on
a fork of it that begins with the item's seed, so a clip never depends on others.

- init_audio "melody": the clip follows its chroma; checkpoints with a melody conditioner only
  (facebook/musicgen-melody), which need a torchaudio that imports, and demucs.
- init_audio "continue": the clip holds what follows its last 12 s (`OVERLAP` of a window).
- top_p takes precedence over top_k in audiocraft; a request with both is refused.

audiocraft's checkpoints are pickles. They are read by torch.load with weights_only, the default
since torch 2.6, which runs no code from the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from audioforge.generation.audiocraft_imports import audiocraft_musicgen
from audioforge.generation.backend import Capabilities, problem_of
from audioforge.generation.batches import Answer, device_of, make_in_batches
from audioforge.generation.musicgen_load import OVERLAP, RECOMMENDED, WINDOWS
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.generation.sat_imports import quiet
from audioforge.utils.audio_processing import Audio, resample, to_mono


class AudiocraftBackend:
    """Generates with one loaded checkpoint."""

    def __init__(self, model: Any, name: str) -> None:
        self.model = model
        self._overlap = OVERLAP * model.max_duration
        conditioners = model.lm.condition_provider.conditioners
        licence = "CC-BY-NC-4.0" if "facebook/" in name else "see the model card"
        self.capabilities = Capabilities(
            model=name,
            sample_rate=model.sample_rate,
            channels=model.audio_channels,
            max_seconds=WINDOWS * float(model.max_duration),
            steps=(1, 1),
            cfg_scale=(1.0, 15.0),
            samplers=("sample",),
            negative_prompt=False,
            recommended=RECOMMENDED,
            licence=licence,
            note="Draws tokens: cfg 3, temperature 1 and top_k 250 are usual.",
            tokens=True,
            init_audio=("continue", "melody") if "self_wav" in conditioners else ("continue",),
        )
        self.weights_sha256 = _sha256(model)

    @classmethod
    def load(cls, source: str, *, name: str, device: str = "auto") -> AudiocraftBackend:
        """Load a checkpoint by the name audiocraft knows it by, or "debug", a tiny random one.

        Raises:
            ImportError: audiocraft is not installed; the message names the command.
            ValueError: no such checkpoint or device.
        """
        chosen, musicgen = device_of(device), audiocraft_musicgen()
        try:
            with quiet(), torch.random.fork_rng():
                model = musicgen.get_pretrained(source, device=chosen)
        except (OSError, ValueError, AssertionError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"audiocraft cannot load {source!r}: {first}") from error
        return cls(model, name)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Make every request, one at a time; see the Backend contract."""
        rate = self.capabilities.sample_rate
        return make_in_batches(requests, self._problem, self._make, rate, largest=1)

    def _problem(self, request: GenerationRequest) -> str | None:
        if problem := problem_of(request, self.capabilities):
            return problem
        if request.top_k and request.top_p < 1:
            return "audiocraft draws by top_k or by top_p: leave one of them out"
        start, frame = request.init_audio, 1 / self.model.frame_rate
        if start is not None and start.audio.seconds < frame:
            return f"a sound to start from must last {frame:g} s, got {start.audio.seconds:g}"
        return None

    def _make(self, requests: list[GenerationRequest]) -> list[Answer]:
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        waves: list[Answer] = []
        for request in requests:
            with quiet(), torch.no_grad(), torch.random.fork_rng(devices=devices):
                torch.manual_seed(request.seed)
                waves.append(self._wave(request).float())
        return waves

    def _wave(self, request: GenerationRequest) -> torch.Tensor:
        """Return the wave of one request, [channels, time], as long as asked or a frame longer."""
        start, rate = request.init_audio, self.model.sample_rate
        texts = [request.prompt or None]
        if start is None:
            self._set(request, 0.0)
            return self.model.generate(texts)[0]
        sound = self._converted(start.audio)
        if start.use == "melody":
            self._set(request, 0.0)
            return self.model.generate_with_chroma(texts, sound[None], rate)[0]
        hop = round(rate / self.model.frame_rate)
        frames = min(sound.shape[1] // hop, int(self._overlap * self.model.frame_rate))
        past = sound[:, sound.shape[1] - frames * hop :]
        self._set(request, frames / self.model.frame_rate)
        return self.model.generate_continuation(past[None], rate, texts)[0][:, frames * hop :]

    def _set(self, request: GenerationRequest, past: float) -> None:
        """Give all parameters of a request to the model, none of an earlier one remains.

        Args:
            request: what is asked.
            past: seconds of the sound it continues; audiocraft counts them in.
        """
        rate = self.model.frame_rate
        frames = -(-round(request.seconds * rate * 1_000) // 1_000) + round(past * rate)
        self.model.set_generation_params(
            use_sampling=request.temperature > 0,
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p if request.top_p < 1 else 0.0,
            cfg_coef=request.cfg_scale,
            duration=(frames + 0.5) / rate,  # audiocraft rounds down
            extend_stride=self.model.max_duration - self._overlap,
        )

    def _converted(self, audio: Audio) -> torch.Tensor:
        sound = resample(audio, self.model.sample_rate)
        if self.model.audio_channels == 1:
            sound = to_mono(sound)
        samples = torch.tensor(sound.samples, device=self.model.device)
        return samples[: self.model.audio_channels].expand(self.model.audio_channels, -1)


def _sha256(model: Any) -> str:
    """Return the sha256 over the tensors of language model and codec, by name."""
    digest = hashlib.sha256()
    for part in (model.lm, model.compression_model):
        for name, tensor in sorted(part.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
