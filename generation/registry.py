"""Backends by name: a local folder, a hub id, or one of the embedded models."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from audioforge.generation.backend import Backend

EMBEDDED = ("tiny-stable-audio",)
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
            its diffusers pipeline; stable-audio-3 has no other.
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
