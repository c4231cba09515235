"""Clips that were made before, by request and weights: in memory, and in a folder if wanted.

A clip comes back as it was, bit for bit: clips are float32 with values between the steps of 16-bit
PCM, so a folder keeps the float32 samples (safetensors), four bytes each, not FLAC. The sha256 of
the samples is written beside them and checked when they are read; a file that does not hold what
was written is deleted and the clip made again. Both places are bounded: what was used longest ago
goes first.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audioforge.generation.engine_batch import Pass, Place
from audioforge.generation.engine_settings import EngineSettings
from audioforge.generation.request import Clip, GenerationRequest
from audioforge.utils.audio_processing import Audio

_SUFFIX = ".safetensors"
_log = logging.getLogger(__name__)


class MemoryCache:
    """Clips of one model in memory. Used from one thread.

    Args:
        most_mb: of samples; 0 keeps none.
    """

    def __init__(self, most_mb: float) -> None:
        self._most = most_mb * 1e6
        self._bytes = 0
        self._clips: OrderedDict[str, Clip] = OrderedDict()

    def get(self, request: GenerationRequest) -> Clip | None:
        """Return the clip of an equal request, or None."""
        clip = self._clips.get(request.key) if self._most else None
        if clip is not None:
            self._clips.move_to_end(request.key)
        return clip

    def put(self, clip: Clip) -> None:
        """Keep a clip, and let go of those used longest ago."""
        size = clip.audio.samples.nbytes
        if size > self._most or clip.request.key in self._clips:
            return
        self._clips[clip.request.key] = clip
        self._bytes += size
        while self._bytes > self._most:
            _, old = self._clips.popitem(last=False)
            self._bytes -= old.audio.samples.nbytes


class FolderCache:
    """Clips in a folder, which several engines may share.

    Args:
        folder: made when the first clip comes.
        weights_sha256: of the model; clips of other weights are never found.
        most_mb: of files.
    """

    def __init__(self, folder: Path, weights_sha256: str, most_mb: float) -> None:
        self.folder, self._weights, self._most = folder, weights_sha256, most_mb * 1e6
        self._bytes: float | None = None

    @classmethod
    def of(cls, settings: EngineSettings, weights_sha256: str) -> FolderCache | None:
        """Return the cache the settings ask for, if any."""
        if settings.cache_folder is None:
            return None
        return cls(settings.cache_folder, weights_sha256, settings.cache_folder_mb)

    def path(self, request: GenerationRequest) -> Path:
        """Return where a request's clip is kept."""
        name = hashlib.sha256(f"{request.key}:{self._weights}".encode()).hexdigest()
        return self.folder / f"{name}{_SUFFIX}"

    def get(self, request: GenerationRequest) -> Clip | None:
        """Return the clip of an equal request if its file is whole, else None."""
        from safetensors import SafetensorError, safe_open

        path = self.path(request)
        try:
            with safe_open(path, framework="numpy") as file:
                told, samples = file.metadata() or {}, file.get_tensor("samples")
            whole = told.get("sha256") == _sha256(samples)
            clip = Clip(
                request, Audio(samples, int(told["sample_rate"])), float(told["seconds_taken"])
            )
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, ValueError):
            whole, clip = False, None
        if not whole or clip is None:
            _log.warning("%s does not hold what was written: deleted", path)
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return clip

    def put(self, clip: Clip) -> None:
        """Keep a clip; a folder that cannot be written is told in the log and holds nothing up."""
        from safetensors.numpy import save

        samples = clip.audio.samples
        content = save(
            {"samples": samples},
            {
                "sha256": _sha256(samples),
                "sample_rate": str(clip.audio.sample_rate),
                "seconds_taken": repr(clip.seconds_taken),
            },
        )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self.path(clip.request), content)
            self._shrink(len(content))
        except OSError as error:
            _log.warning("the clip cache %s cannot be written: %s", self.folder, error)

    def _shrink(self, added: int) -> None:
        """Delete what was used longest ago, down to nine tenths, when there is too much."""
        if self._bytes is not None:
            self._bytes += added
        if self._bytes is not None and self._bytes <= self._most:
            return
        files = sorted(
            (found.stat().st_mtime, found.stat().st_size, found)
            for found in self.folder.glob(f"*{_SUFFIX}")
        )
        self._bytes = sum(size for _, size, _ in files)
        if self._bytes <= self._most:
            return
        for _, size, path in files:
            if self._bytes <= 0.9 * self._most:
                break
            path.unlink(missing_ok=True)
            self._bytes -= size


def found_or_made(
    folder: FolderCache | None, place: Place, requests: Sequence[GenerationRequest]
) -> tuple[dict[str, Clip], Pass | None]:
    """Look for clips in the folder and make the others in one pass, which are kept there.

    Returns:
        The clips found, by request key, and the pass; None when there was nothing to make.
    """
    if folder is None:
        return {}, place.run(requests)
    clips = {r.key: clip for r in requests if (clip := folder.get(r))}
    others = [request for request in requests if request.key not in clips]
    passed = place.run(others) if others else None
    for made in passed.made if passed else ():
        if isinstance(made, Clip):
            folder.put(made)
    return clips, passed


def _write(path: Path, content: bytes) -> None:
    """Write a whole file or none."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _sha256(samples: np.ndarray) -> str:
    head = f"{samples.dtype}:{samples.shape}:".encode()
    return hashlib.sha256(head + np.ascontiguousarray(samples).tobytes()).hexdigest()
