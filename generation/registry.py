"""Backends by name: a local folder, a hub id, or one of the embedded models."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from audioforge.generation.backend import Backend

EMBEDDED = ("tiny-stable-audio", "tiny-musicgen")
"""Models that ship with AudioForge, under data/models/."""


def embedded_folder(name: str) -> Path:
    """Return the folder of a model that ships with AudioForge."""
    return Path(str(resources.files("audioforge.data"))) / "models" / name


def load_backend(model: str = "tiny-stable-audio", device: str = "auto") -> Backend:
    """Load a backend.

    Args:
        model: "synth", an embedded model, a local folder with model_config.json and
            model.safetensors, or a hub id such as "stabilityai/stable-audio-open-small".
        device: "cpu", "cuda" or "auto" (cuda if there is one).

    Raises:
        ValueError: no such model, or weights missing or unusable.
        ImportError: a package is missing; the message names the command that installs it.
    """
    if model == "synth":
        from audioforge.generation.synth_backend import SynthBackend

        return SynthBackend()
    from audioforge.generation.stable_audio import StableAudioBackend

    folder = embedded_folder(model) if model in EMBEDDED else Path(model)
    return StableAudioBackend.load(
        str(folder) if folder.exists() else model, name=model, device=device
    )
