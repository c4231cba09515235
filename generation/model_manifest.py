"""Which weights a model name has stood for: remembered, and told when they change.

The first time a model from the hub or a folder is loaded, its weight files and their sha256 are
written to `models.json` in the user's cache folder. When the same name has other weights later, one
line says so: clips made then cannot be made again with these. Files are hashed again only when
their size or time has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audioforge.generation.backend import Capabilities

WEIGHTS = "*.safetensors"
MOST_MODELS = 1_000
_HUB_CONFIGS = ("model_config.json", "model_index.json", "config.json")


def manifest_path() -> Path:
    """Return where models are remembered, by the conventions of the platform."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "audioforge" / "models.json"


def known_models(path: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return what is remembered, by model name; nothing where nothing readable is there."""
    try:
        told = json.loads((path or manifest_path()).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(told, dict):
        return {}
    return {name: entry for name, entry in told.items() if _is_entry(entry)}


def remember(model: str, can: Capabilities, path: Path | None = None) -> str:
    """Note a model that was loaded, and compare it with what the name stood for before.

    Args:
        model: a folder or a hub id.
        can: what it declares.
        path: of the manifest; None is the user's.

    Returns:
        What has changed, one line; empty for the same weights, a new name, or files not found.
    """
    path = path or manifest_path()
    folder = weights_folder(model)
    if folder is None:
        return ""
    known = known_models(path)
    name = str(folder.resolve()) if Path(model).is_dir() else model
    before = known.get(name)
    files = _files(folder, before["files"] if before else {})
    if not files or (before and files == before["files"]):
        return ""
    known.pop(name, None)
    known[name] = {
        "licence": can.licence,
        "files": files,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _write(path, dict(list(known.items())[-MOST_MODELS:]))
    changed = sorted(
        file
        for file in {*files, *(before["files"] if before else {})}
        if before and _sha256_of(files, file) != _sha256_of(before["files"], file)
    )
    if before is None or not changed:
        return ""
    return (
        f"{model} has other weights than on {before['since'][:10]} ({', '.join(changed)}): "
        "clips made before cannot be made again with these"
    )


def weights_folder(model: str) -> Path | None:
    """Return the folder a model was loaded from: itself, or its snapshot in the hub's cache."""
    if Path(model).is_dir():
        return Path(model)
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    for config in _HUB_CONFIGS:
        try:
            found = try_to_load_from_cache(model, config)
        except HFValidationError:
            return None
        if isinstance(found, str):
            return Path(found).parent
    return None


def checksum(files: dict[str, dict[str, Any]]) -> str:
    """Return one sha256 over the weight files of a model."""
    told = sorted(f"{name}:{entry['sha256']}" for name, entry in files.items())
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def described(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size, time and sha256 of a folder's weight files, by name."""
    return _files(folder, {})


def _files(folder: Path, before: dict[str, Any]) -> dict[str, dict[str, Any]]:
    files = {}
    for file in sorted(folder.rglob(WEIGHTS)):
        name, stat = file.relative_to(folder).as_posix(), file.stat()
        shape = {"bytes": stat.st_size, "time": stat.st_mtime_ns}
        known = before.get(name, {})
        same = all(known.get(key) == value for key, value in shape.items())
        files[name] = {**shape, "sha256": known["sha256"] if same else _sha256(file)}
    return files


def _is_entry(entry: Any) -> bool:
    files = entry.get("files") if isinstance(entry, dict) else None
    return (
        isinstance(files, dict)
        and {"licence", "since"} <= set(entry)
        and all(
            isinstance(file, dict) and {"bytes", "time", "sha256"} <= set(file)
            for file in files.values()
        )
    )


def _sha256_of(files: dict[str, Any], name: str) -> str | None:
    return files[name]["sha256"] if name in files else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, told: dict[str, Any]) -> None:
    """Write the manifest whole; where that cannot be, nothing is remembered."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
        os.replace(name, path)
    except OSError:
        return
