"""Load a MusicGen checkpoint: a folder in transformers' layout, or a hub id.

A folder holds `config.json`, safetensors weights and the tokenizer; the embedded model adds
`audioforge.json` (licence, note, ranges, seconds of a window). Pickled weights are not read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audioforge.generation.backend import Capabilities, GenerationDefaults
from audioforge.generation.hub import from_hub, is_hub_id
from audioforge.generation.memory import weights_mb
from audioforge.generation.sat_imports import quiet
from audioforge.generation.weights_hash import sha256_of

CONFIG, CARD = "config.json", "audioforge.json"
KIND = "musicgen"
_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")
"""What is fetched from the hub; never *.bin or *.pt, which are pickles."""
WINDOW_SECONDS = 30.0
"""Length that the published checkpoints were trained on (arXiv 2306.05284, section 3)."""
WINDOWS = 4
"""Longest clip, in windows, unless the card says otherwise."""
RECOMMENDED = GenerationDefaults(steps=1, cfg_scale=3.0, sampler="sample")
_NOTE = (
    "Draws tokens: cfg 3, temperature 1 and top_k 250 are usual; clips longer than {window:g} s "
    "are continued from their last {overlap:g} s."
)
OVERLAP = 0.4
"""Share of a window that the next one starts from: 12 of 30 s, as audiocraft does."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to play."""

    model: Any
    """MusicgenForConditionalGeneration; its decoder in bfloat16 on CUDA, the rest float32."""
    tokenizer: Any
    window: int
    """Frames of a window."""
    overlap: int
    """Frames of a window that the next one starts from."""
    capabilities: Capabilities
    weights_sha256: str


def is_musicgen(source: str) -> bool:
    """Return whether a folder (by its config.json) or a hub id (by its name) is a MusicGen."""
    folder = Path(source)
    if not folder.is_dir():
        return KIND in source.rpartition("/")[2].lower()
    try:
        return json.loads((folder / CONFIG).read_bytes())["model_type"].startswith(KIND)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def load(source: str, name: str, device: str) -> Loaded:
    """Load a checkpoint in float32 on CPU, or with its decoder in bfloat16 on CUDA.

    Args:
        source: a folder, or a hub id such as "facebook/musicgen-small".
        name: what records call the model.
        device: "cpu" or "cuda".

    Raises:
        ValueError: nothing there, another kind of model, no safetensors, or weights that do not
            fit the configuration.
    """
    folder = _folder(source)
    weights = _checked(folder)
    model, tokenizer = _model(folder, name)
    _check_codec(model, name)
    model = model.to(device).eval().requires_grad_(False)
    if device != "cpu":
        import torch

        model.decoder.to(torch.bfloat16)
    window, overlap, capabilities = describe(model, name, _card(folder))
    digest = sha256_of(folder / CONFIG, *weights)
    return Loaded(model, tokenizer, window, overlap, capabilities, digest)


def describe(model: Any, name: str, card: dict[str, Any]) -> tuple[int, int, Capabilities]:
    """Return frames of a window, frames of its overlap, and what the model can do.

    Args:
        model: a MusicgenForConditionalGeneration.
        name: what records call it.
        card: of audioforge.json: window_seconds, max_seconds, cfg_scale, recommended, licence and
            note are heeded.
    """
    codec, decoder = model.audio_encoder.config, model.config.decoder
    rate = codec.sampling_rate / codec.hop_length
    room = decoder.max_position_embeddings - decoder.num_codebooks // decoder.audio_channels
    window = min(round(card.get("window_seconds", WINDOW_SECONDS) * rate), room)
    overlap = int(window * OVERLAP)
    told = _NOTE.format(window=window / rate, overlap=overlap / rate)
    licence = "CC-BY-NC-4.0" if name.startswith("facebook/musicgen") else "see the model card"
    max_seconds = float(card.get("max_seconds", WINDOWS * window / rate))
    return (
        window,
        overlap,
        Capabilities(
            model=name,
            sample_rate=codec.sampling_rate,
            channels=decoder.audio_channels,
            max_seconds=max_seconds,
            steps=(1, 1),
            cfg_scale=tuple(card.get("cfg_scale", (1.0, 15.0))),
            samplers=("sample",),
            negative_prompt=True,
            recommended=_recommended(card),
            licence=card.get("licence", licence),
            note=card.get("note", told),
            tokens=True,
            init_audio=("continue",),
            model_mb=weights_mb(model),
            clip_mb=_clip_mb(model, window, max_seconds),
        ),
    )


def _recommended(card: dict[str, Any]) -> GenerationDefaults:
    return GenerationDefaults(**card["recommended"]) if "recommended" in card else RECOMMENDED


def _clip_mb(model: Any, window: int, max_seconds: float) -> float:
    """Estimate what a clip adds: a cache for two rows, and four of its widest waves in EnCodec."""
    decoder, codec = model.config.decoder, model.audio_encoder.config
    rows = 2 * 2 * decoder.num_hidden_layers * decoder.hidden_size * window
    waves = 4 * codec.num_filters * max_seconds * codec.sampling_rate
    return (rows * next(model.decoder.parameters()).element_size() + waves * 4) / 1e6


def _folder(source: str) -> Path:
    if Path(source).is_dir():
        return Path(source)
    if not is_hub_id(source):
        raise ValueError(
            f"no model {source!r}: name an embedded model, a folder or a hub id "
            "such as facebook/musicgen-small"
        )
    return from_hub(source, _FILES)


def _checked(folder: Path) -> list[Path]:
    """Return the weight files of a folder that holds a MusicGen."""
    try:
        kind = json.loads((folder / CONFIG).read_bytes())["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG} is not a model's configuration ({error!r})") from error
    if kind != KIND:
        raise ValueError(f"{folder / CONFIG}: model_type must be {KIND}, got {kind!r}")
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        raise ValueError(
            f"model folder {folder} must hold {CONFIG} and model.safetensors; "
            "pickled weights (.bin, .pt) are not read: convert them"
        )
    return weights


def _model(folder: Path, name: str) -> tuple[Any, Any]:
    """Read weights and tokenizer, both from this folder only."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoTokenizer, MusicgenForConditionalGeneration
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with quiet(), torch.random.fork_rng():
            loaded: Any = MusicgenForConditionalGeneration.from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"{name}: cannot be loaded from {folder}: {first}") from error
    finally:
        if bars:
            logging.enable_progress_bar()
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"{name}: the weights do not fit {CONFIG}: {missing[0]} is missing")
    return model, tokenizer


def _check_codec(model: Any, name: str) -> None:
    decoder, codec = model.config.decoder, model.audio_encoder.config
    if codec.model_type != "encodec" or codec.chunk_length_s is not None:
        raise ValueError(f"{name}: the audio encoder must be an EnCodec that does not chunk")
    streams = codec.num_quantizers * decoder.audio_channels
    if decoder.num_codebooks != streams:
        raise ValueError(
            f"{name}: the decoder's codebooks must be the codec's {streams}, "
            f"got {decoder.num_codebooks}"
        )


def _card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
