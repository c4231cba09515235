"""`audioforge models`: the generators that are known here, their licence, size and checksum."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from audioforge.generation import model_manifest as manifest
from audioforge.generation.registry import EMBEDDED, embedded_folder
from audioforge.generation.synth_backend import SynthBackend


@dataclass(frozen=True)
class KnownModel:
    """A model that ships with AudioForge, or was loaded before."""

    name: str
    place: str
    licence: str
    megabytes: float
    """Of its weight files; 0 where it has none."""
    sha256: str
    """Over its weight files."""
    since: str
    """When these weights were first loaded, ISO 8601; empty for what ships with AudioForge."""


def known_models() -> list[KnownModel]:
    """Return the embedded models and those that are remembered."""
    return [*_embedded(), *_remembered()]


def models_table(models: list[KnownModel]) -> Table:
    """Return them as a table for a terminal."""
    table = Table("name", "place", "licence", "MB", "sha256", "since")
    for model in models:
        size = f"{model.megabytes:.1f}" if model.megabytes else "-"
        texts = (model.name, model.place, model.licence, size, model.sha256[:16], model.since[:10])
        table.add_row(*map(Text, texts))
    return table


def models_json(models: list[KnownModel]) -> str:
    """Return them as JSON."""
    return json.dumps([asdict(model) for model in models], indent=2)


def _embedded() -> Iterator[KnownModel]:
    synth = SynthBackend.capabilities
    yield KnownModel(synth.model, "built in", synth.licence, 0.0, SynthBackend.weights_sha256, "")
    for name in EMBEDDED:
        folder = embedded_folder(name)
        try:
            card = json.loads((folder / "audioforge.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            card = {}
        files = manifest.described(folder)
        licence = card.get("licence", "see the model card")
        yield KnownModel(name, "embedded", licence, _mb(files), manifest.checksum(files), "")


def _remembered() -> Iterator[KnownModel]:
    for name, entry in sorted(manifest.known_models().items()):
        place = "folder" if name.startswith("/") else "hub"
        files = entry["files"]
        yield KnownModel(
            name, place, entry["licence"], _mb(files), manifest.checksum(files), entry["since"]
        )


def _mb(files: dict[str, dict]) -> float:
    return sum(file["bytes"] for file in files.values()) / 1e6
