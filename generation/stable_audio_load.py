"""Load a Stable Audio checkpoint: a local folder or a hub id, through stable-audio-tools' classes.

A folder holds `model_config.json` and `model.safetensors`, as on the hub; the embedded model adds
`audioforge.json` (recommended setting, ranges, licence) and its tokenizer. Weights are safetensors
only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audioforge.generation import rf_sampler, v_sampler
from audioforge.generation.backend import Capabilities, GenerationDefaults
from audioforge.generation.hub import from_hub, is_hub_id
from audioforge.generation.memory import weights_mb
from audioforge.generation.sat_imports import quiet, stable_audio_tools
from audioforge.generation.weights_hash import sha256_of

CONFIG, WEIGHTS, CARD = "model_config.json", "model.safetensors", "audioforge.json"
CONDITIONERS = {"prompt", "seconds_start", "seconds_total", "bpm"}
_HUB_LICENCES = {
    "stabilityai/stable-audio-open-small": "Stability AI Community License",
    "stabilityai/stable-audio-open-1.0": "Stability AI Community License",
}
MODEL_TYPES = ("diffusion_cond", "diffusion_cond_inpaint")


@dataclass(frozen=True)
class Objective:
    """What a training objective allows a sampler."""

    samplers: tuple[str, ...]
    recommended: GenerationDefaults
    steps: int
    """The most."""
    sigma_max: tuple[float, float]
    sigma_min: tuple[float, float] | None = None


OBJECTIVES = {
    "rectified_flow": Objective(
        rf_sampler.SAMPLERS, GenerationDefaults(50, 7.0, "euler"), 250, (0.1, 1.0)
    ),
    # The other samplers of rectified flow run on a distilled checkpoint, but mean nothing there.
    "rf_denoiser": Objective(("pingpong",), GenerationDefaults(8, 1.0, "pingpong"), 50, (0.1, 1.0)),
    "v": Objective(
        v_sampler.SAMPLERS,
        GenerationDefaults(100, 7.0, "dpmpp-3m-sde"),
        250,
        (2.0, 1_000.0),
        (0.001, 1.0),
    ),
}
V_SIGMAS = (0.3, 500.0)
"""Noise levels a sampler of the v objective ends and starts at: stable-audio-open-1.0's card."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to sample from."""

    model: Any
    objective: str
    inpaints: bool
    sample_size: int
    capabilities: Capabilities
    weights_sha256: str


def load(source: str, name: str, device: str) -> Loaded:
    """Load a checkpoint in float32 on CPU, or with its transformer in bfloat16 on CUDA.

    Args:
        source: a folder, or a hub id of the form "owner/name".
        name: what records call the model.
        device: "cpu" or "cuda".

    Raises:
        ValueError: nothing there, not safetensors, an unsupported objective or conditioner, or
            weights that do not fit the configuration.
    """
    import torch
    from safetensors.torch import load_file

    config_path, weights_path = _files(source)
    config = _read_config(config_path)
    objective = config["model"]["diffusion"].get("diffusion_objective", "v")
    if objective not in OBJECTIVES:
        raise ValueError(
            f"{name}: diffusion objective must be one of {sorted(OBJECTIVES)}, got {objective!r}"
        )
    sat = stable_audio_tools()
    with quiet():
        model = sat.create_model_from_config(_with_local_paths(config, config_path.parent, sat))
    odd = set(model.conditioner.conditioners) - CONDITIONERS
    if odd:
        raise ValueError(
            f"{name}: conditioners must be among {sorted(CONDITIONERS)}, got also {sorted(odd)}"
        )
    weights = {k: v.float() for k, v in load_file(weights_path).items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"{weights_path.name} does not fit {CONFIG}: {str(error).splitlines()[1].strip()}"
        ) from error
    model = model.to(device).eval().requires_grad_(False)
    if device != "cpu":
        model.model.to(torch.bfloat16)
    can = _capabilities(config, objective, name, config_path.parent)
    return Loaded(
        model,
        objective,
        config["model_type"] == "diffusion_cond_inpaint",
        int(config["sample_size"]),
        replace(can, model_mb=weights_mb(model)),
        sha256_of(config_path, weights_path),
    )


def _files(source: str) -> tuple[Path, Path]:
    """Find configuration and weights in a folder or on the hub."""
    folder = Path(source)
    if not folder.is_dir():
        if not is_hub_id(source):
            raise ValueError(
                f"no model {source!r}: name synth, tiny-stable-audio, a folder or a hub id "
                "such as stabilityai/stable-audio-open-small"
            )
        folder = from_hub(source, (CONFIG, WEIGHTS))
    for part in (CONFIG, WEIGHTS):
        if not (folder / part).is_file():
            raise ValueError(
                f"model folder {source} must hold {CONFIG} and {WEIGHTS}, {part} is missing"
            )
    return folder / CONFIG, folder / WEIGHTS


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if config["model_type"] not in MODEL_TYPES:
            raise ValueError(
                f"{path}: model_type must be one of {list(MODEL_TYPES)}, "
                f"got {config['model_type']!r}"
            )
        _ = config["model"]["diffusion"], config["sample_size"], config["sample_rate"]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a stable-audio-tools configuration ({error!r})") from error
    return config


def _with_local_paths(config: dict[str, Any], folder: Path, sat: Any) -> dict[str, Any]:
    """Resolve tokenizers and text encoders that travel in the model's folder."""
    for conditioner in config["model"]["conditioning"]["configs"]:
        for field in ("tokenizer_name", "t5_model_name"):
            name = conditioner["config"].get(field)
            if name is None or not (local := folder / name).is_dir():
                continue
            conditioner["config"][field] = str(local)
            if field == "t5_model_name":
                width = json.loads((local / "config.json").read_text(encoding="utf-8"))["d_model"]
                sat.conditioners.T5Conditioner.T5_MODELS.append(str(local))
                sat.conditioners.T5Conditioner.T5_MODEL_DIMS[str(local)] = width
    return config


def _capabilities(config: dict[str, Any], objective: str, name: str, folder: Path) -> Capabilities:
    card = (
        json.loads((folder / CARD).read_text(encoding="utf-8")) if (folder / CARD).is_file() else {}
    )
    allowed = OBJECTIVES[objective]
    inpaints = config["model_type"] == "diffusion_cond_inpaint"
    note = (
        "A distilled checkpoint: 8 steps, cfg 1."
        if objective == "rf_denoiser"
        else "More steps and cfg 3 to 7 follow the prompt more closely."
    )
    return Capabilities(
        model=name,
        sample_rate=int(config["sample_rate"]),
        channels=int(config.get("audio_channels", 2)),
        max_seconds=config["sample_size"] / config["sample_rate"],
        steps=tuple(card.get("steps", (1, allowed.steps))),
        cfg_scale=tuple(card.get("cfg_scale", (1.0, 15.0))),
        samplers=tuple(card.get("samplers", allowed.samplers)),
        negative_prompt=True,
        sigma_max=allowed.sigma_max,
        sigma_min=allowed.sigma_min,
        init_audio=("vary", "remake") if inpaints else ("vary",),
        recommended=(
            GenerationDefaults(**card["recommended"])
            if "recommended" in card
            else allowed.recommended
        ),
        licence=card.get("licence") or _HUB_LICENCES.get(name, "see the model card"),
        note=card.get("note", note),
        looks={**rf_sampler.LOOKS, **v_sampler.LOOKS},
    )
