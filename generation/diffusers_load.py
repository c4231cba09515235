"""Load a Stable Audio pipeline of diffusers: a local folder or a hub id with `model_index.json`.

Only configuration, tokenizers and safetensors are read; code and pickles in a repository are not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audioforge.generation.backend import Capabilities, GenerationDefaults
from audioforge.generation.hub import from_hub, is_hub_id
from audioforge.generation.memory import activations_mb, weights_mb
from audioforge.generation.sat_imports import quiet
from audioforge.generation.weights_hash import sha256_of

INDEX = "model_index.json"
INSTALL = "pip install diffusers==0.42.1"
PIPELINES = ("StableAudio3Pipeline", "StableAudioPipeline")
_SAMPLERS = {
    "CosineDPMSolverMultistepScheduler": "dpmpp-2m-sde",
    "EDMDPMSolverMultistepScheduler": "dpmpp-2m",
}
_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]
_PROBE_FRAMES = 32
_WORKSPACE = 2.0
"""Of the true peak over the sum of activations, as for stable-audio-tools' decoder."""


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline ready to run."""

    pipeline: Any
    capabilities: Capabilities
    weights_sha256: str


def load(source: str, name: str, device: str) -> LoadedPipeline:
    """Load a pipeline, in float32 on CPU and in float16 on CUDA, as its makers use it.

    Args:
        source: a folder, or a hub id of the form "owner/name".
        name: what records call the model.
        device: "cpu" or "cuda".

    Raises:
        ImportError: diffusers is not installed; the message names the command.
        ValueError: nothing there, not safetensors, or not a Stable Audio pipeline.
    """
    with quiet():
        try:
            import diffusers
        except ImportError as error:
            raise ImportError(f"diffusers is not installed: {INSTALL}") from error
        import torch

        folder = _folder(source)
        kind = _kind(folder)
        try:
            pipeline = getattr(diffusers, kind).from_pretrained(
                str(folder),
                use_safetensors=True,
                local_files_only=True,
                torch_dtype=torch.float16 if device != "cpu" else torch.float32,
            )
        except (OSError, ValueError, KeyError) as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise ValueError(f"{name} is not a usable {kind} in safetensors: {first}") from error
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return LoadedPipeline(
        pipeline, _capabilities(pipeline, name), sha256_of(*_files(folder), under=folder)
    )


def _folder(source: str) -> Path:
    if Path(source).is_dir():
        return Path(source)
    if not is_hub_id(source):
        raise ValueError(f"no diffusers pipeline {source!r}: name a folder or a hub id")
    return from_hub(source, _PATTERNS)


def _kind(folder: Path) -> str:
    try:
        kind = json.loads((folder / INDEX).read_text(encoding="utf-8"))["_class_name"]
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder / INDEX} is not a diffusers index ({error!r})") from error
    if kind not in PIPELINES:
        raise ValueError(f"{folder}: pipeline must be one of {list(PIPELINES)}, got {kind!r}")
    return kind


def _capabilities(pipeline: Any, name: str) -> Capabilities:
    third = type(pipeline).__name__ == "StableAudio3Pipeline"
    vae, scheduler = pipeline.vae, pipeline.scheduler
    rate = int(vae.config.sampling_rate)
    hop = vae.downsampling_ratio if third else vae.hop_length
    frames = (
        pipeline.duration_embedder.config.max_val * rate / hop
        if third
        else pipeline.transformer.config.sample_size
    )
    if third:
        distilled = bool(scheduler.config.stochastic_sampling)
        sampler = "pingpong" if distilled else "euler"
        recommended = GenerationDefaults(
            8 if distilled else 100, 1.0 if distilled else 7.0, sampler
        )
        note = "A distilled checkpoint: 8 steps, cfg 1." if distilled else "100 steps, cfg 7."
    else:
        sampler = _SAMPLERS.get(type(scheduler).__name__, "")
        if not sampler:
            raise ValueError(
                f"{name}: scheduler must be one of {sorted(_SAMPLERS)}, "
                f"got {type(scheduler).__name__}"
            )
        recommended, note = GenerationDefaults(100, 7.0, sampler), "100 steps, cfg 7."
    modules = [m for m in pipeline.components.values() if hasattr(m, "parameters")]
    return Capabilities(
        model=name,
        sample_rate=rate,
        channels=int(vae.config.audio_channels),
        max_seconds=frames * hop / rate,
        steps=(1, 250),
        cfg_scale=(1.0, 15.0),
        samplers=(sampler,),
        negative_prompt=True,
        recommended=recommended,
        licence="Stability AI Community License"
        if "stabilityai/" in name
        else "see the model card",
        note=note,
        init_audio=("vary", "remake") if third else (),
        model_mb=sum(weights_mb(m) for m in modules),
        clip_mb=_decode_mb(vae) * frames,
    )


def _decode_mb(vae: Any) -> float:
    """Return the memory of decoding one frame."""
    import torch

    weight = next(vae.parameters())
    channels = getattr(vae.config, "latent_dim", None) or vae.config.decoder_input_channels
    latents = torch.zeros(1, channels, _PROBE_FRAMES, device=weight.device, dtype=weight.dtype)
    return _WORKSPACE * activations_mb(vae, lambda: vae.decode(latents)) / _PROBE_FRAMES


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors"))
