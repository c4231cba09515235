"""Backends by name: a local folder, a hub id, or one of the embedded models."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from audioforge.generation.backend import Backend

EMBEDDED = ("tiny-stable-audio",)
"""Models that ship with AudioForge, under data/models/."""


def embedded_folder(name: str) -> Path:
    """Return the folder of a model that ships with AudioForge."""
    return Path(str(resources.files("audioforge.data"))) / "models" / name


def load_backend(model: str = "tiny-stable-audio", device: str = "auto") -> Backend:
    """Load a backend.

    Args:
        model: "synth", an embedded model, a local folder (model_config.json and model.safetensors
            of a Stable Audio, or a MusicGen as transformers saves it), or a hub id such as
            "stabilityai/stable-audio-open-small" or "facebook/musicgen-small"; audiocraft's own
            MusicGen is "audiocraft:facebook/musicgen-melody".
        device: "cpu", "cuda" or "auto" (cuda if there is one).

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
    from audioforge.generation.musicgen_load import is_musicgen

    if is_musicgen(source):
        from audioforge.generation.musicgen import MusicgenBackend

        return MusicgenBackend.load(source, name=model, device=device)
    from audioforge.generation.stable_audio import StableAudioBackend

    return StableAudioBackend.load(source, name=model, device=device)
