"""Backends by name: a local folder, a hub id, or one of the embedded models."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path

from audioforge.generation.backend import Backend
from audioforge.generation.engine import Engine, WorkerSpec
from audioforge.generation.engine_settings import EngineSettings
from audioforge.generation.model_manifest import remember

_log = logging.getLogger(__name__)

EMBEDDED = ("tiny-stable-audio", "tiny-musicgen")
"""Models that ship with AudioForge, under data/models/."""
DIFFUSERS = "diffusers:"
_ONLY_DIFFUSERS = "stabilityai/stable-audio-3"


def embedded_folder(name: str) -> Path:
    """Return the folder of a model that ships with AudioForge."""
    return Path(str(resources.files("audioforge.data"))) / "models" / name


def load_backend(
    model: str = "tiny-stable-audio", device: str = "auto", *, one_by_one: bool = False
) -> Backend:
    """Load a backend.

    Args:
        model: "synth", an embedded model, a local folder, or a hub id such as
            "stabilityai/stable-audio-open-small" or "facebook/musicgen-small". A folder holds a
            Stable Audio (model_config.json, model.safetensors), a MusicGen as transformers saves
            it, or a pipeline of diffusers (model_index.json). "diffusers:" before a hub id takes
            its diffusers pipeline; stable-audio-3 has no other. audiocraft's own MusicGen is
            "audiocraft:facebook/musicgen-melody".
        device: "cpu", "cuda" or "auto" (cuda if there is one).
        one_by_one: make every clip alone: the same to the bit whatever else is asked for, and
            slower. Without it batch mates change a clip by float rounding.

    Raises:
        ValueError: no such model, or weights missing or unusable.
        ImportError: a package is missing; the message names the command that installs it.
    """
    if model == "synth":
        from audioforge.generation.synth_backend import SynthBackend

        return SynthBackend()
    if model.startswith("audiocraft:"):
        from audioforge.generation.audiocraft_backend import AudiocraftBackend

        return AudiocraftBackend.load(model.partition(":")[2], name=model, device=device)
    folder = embedded_folder(model) if model in EMBEDDED else Path(model)
    source = str(folder) if folder.exists() else model
    pipeline = source.removeprefix(DIFFUSERS)
    if pipeline != source or source.startswith(_ONLY_DIFFUSERS) or _is_pipeline(folder):
        from audioforge.generation.diffusers_backend import DiffusersBackend

        return DiffusersBackend.load(pipeline, name=model, device=device, one_by_one=one_by_one)
    from audioforge.generation.musicgen_load import is_musicgen

    if is_musicgen(source):
        from audioforge.generation.musicgen import MusicgenBackend

        return MusicgenBackend.load(source, name=model, device=device, one_by_one=one_by_one)
    from audioforge.generation.stable_audio import StableAudioBackend

    return StableAudioBackend.load(source, name=model, device=device, one_by_one=one_by_one)


def _is_pipeline(folder: Path) -> bool:
    """Say whether a folder holds a diffusers pipeline and no stable-audio-tools checkpoint."""
    return (folder / "model_index.json").is_file() and not (folder / "model_config.json").is_file()


def load_engine(
    model: str = "tiny-stable-audio",
    device: str = "auto",
    workers: int = 0,
    settings: EngineSettings | None = None,
) -> Engine:
    """Load a backend into an engine; other weights than the name had before are told in the log.

    Args:
        model: see `load_backend`.
        device: "cpu", "cuda" or "auto". Workers on GPUs are dealt over all that are there; workers
            on the CPU compete for its cores unless OMP_NUM_THREADS is set.
        workers: processes to load it in, each with the weights in its own memory; 0 is this one.
        settings: the engine's bounds.

    Raises:
        ValueError, ImportError: see `load_backend`.
    """
    if workers:
        factory, options = "audioforge.generation.registry:load_backend", {"model": model}
        specs = [WorkerSpec(factory, options, name) for name in _devices(device, workers)]
        engine = Engine.in_workers(specs, settings)
    else:
        engine = Engine.in_process(load_backend(model, device), settings)
    changed = "" if model in ("synth", *EMBEDDED) else remember(model, engine.capabilities)
    if changed:
        _log.warning("%s", changed)
    return engine


def _devices(device: str, workers: int) -> list[str]:
    if device == "cpu":
        return ["cpu"] * workers
    import torch

    gpus = torch.cuda.device_count()
    return [f"cuda:{number % gpus}" if gpus else device for number in range(workers)]
