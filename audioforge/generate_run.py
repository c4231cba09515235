"""Making clips for `audioforge generate`: batch by batch, each clip with its facts beside it.

A clip is finished when its sound and then its JSON are written; the same command again makes only
what is missing. A request that fails is told, kept in `failures.jsonl`, and holds nothing up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from audioforge.generation.backend import Backend, Capabilities
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.rollouts.record import versions
from audioforge.rollouts.store import write_checked
from audioforge.utils.audio_processing import Audio, encode

from .generate_plan import file_name

FORMATS: dict[str, tuple[str, str]] = {
    "flac": ("FLAC", "PCM_16"),
    "wav": ("WAV", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
FREE = ("MIT", "Apache-2.0", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "CC-BY-3.0")
"""Licences known to allow commercial use without a further condition on who uses it."""
FAILURES = "failures.jsonl"


@dataclass(frozen=True)
class Folder:
    """Where clips go, and how they are encoded."""

    path: Path
    format: str

    def sound(self, request: GenerationRequest) -> Path:
        """Return the path of a clip's sound."""
        return self.path / f"{file_name(request)}.{self.format}"

    def facts(self, request: GenerationRequest) -> Path:
        """Return the path of what is known of a clip."""
        return self.path / f"{file_name(request)}.json"

    def has(self, request: GenerationRequest, weights_sha256: str) -> bool:
        """Return whether a clip is finished: its facts are of this request, model and file."""
        try:
            told = json.loads(self.facts(request).read_bytes())
            content = self.sound(request).read_bytes()
        except (OSError, ValueError):
            return False
        return isinstance(told, dict) and (
            told.get("request_key") == request.key
            and told.get("weights_sha256") == weights_sha256
            and told.get("file_sha256") == hashlib.sha256(content).hexdigest()
        )

    def keep(self, clip: Clip, backend: Backend) -> None:
        """Write a clip, then its facts."""
        content = encode(clip.audio, *FORMATS[self.format])
        facts = {
            "request": clip.request.to_json(),
            "request_key": clip.request.key,
            "model": backend.capabilities.model,
            "weights_sha256": backend.weights_sha256,
            "licence": backend.capabilities.licence,
            "pcm16_sha256": clip.sha256,
            "file_sha256": hashlib.sha256(content).hexdigest(),
            **_shape(clip.audio),
            "seconds_taken": round(clip.seconds_taken, 4),
            "versions": versions(),
        }
        write_checked(self.sound(clip.request), content)
        write_checked(self.facts(clip.request), (json.dumps(facts, indent=2) + "\n").encode())

    def regret(self, failure: Failure) -> None:
        """Append a failure to FAILURES."""
        line = {
            "request": failure.request.to_json(),
            "kind": failure.kind,
            "message": failure.message,
        }
        with (self.path / FAILURES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@dataclass(frozen=True)
class Made:
    """How a run ended."""

    asked: int
    there_before: int
    made: int
    failed: int

    @property
    def interrupted(self) -> bool:
        """Whether clips are missing that were not tried."""
        return self.there_before + self.made + self.failed < self.asked


def check_licence(can: Capabilities) -> None:
    """Refuse a model whose licence is not known to allow commercial use.

    Raises:
        ValueError: it is not.
    """
    if can.licence not in FREE:
        raise ValueError(
            f"--commercial: the licence of {can.model} ({can.licence}) is not one of "
            f"{', '.join(FREE)}; read it, and leave --commercial out if it allows your use"
        )


def make(
    backend: Backend,
    requests: Sequence[GenerationRequest],
    folder: Folder,
    batch: int,
    console: Console,
) -> Made:
    """Make what is missing in a folder; Ctrl-C ends it after nothing finished is lost.

    Raises:
        RunError: the folder cannot be written.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    weights = backend.weights_sha256
    missing = [r for r in requests if not folder.has(r, weights)]
    before = len(requests) - len(missing)
    made = failed = 0
    try:
        for result in _in_batches(backend, missing, batch, console):
            if isinstance(result, Failure):
                failed += 1
                folder.regret(result)
                words = f"{result.request.prompt[:60]!r}: {result.kind}, {result.message}"
                console.print(Text(f"failed: {words}"), soft_wrap=True)
            else:
                made += 1
                folder.keep(result, backend)
    except KeyboardInterrupt:
        pass
    return Made(len(requests), before, made, failed)


def _in_batches(
    backend: Backend, requests: Sequence[GenerationRequest], batch: int, console: Console
) -> Iterator[Clip | Failure]:
    with Progress(
        TextColumn("clips"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bar:
        task = bar.add_task("clips", total=len(requests))
        for start in range(0, len(requests), batch):
            for result in backend.generate(requests[start : start + batch]):
                yield result
                bar.advance(task)


def _shape(audio: Audio) -> dict[str, float | int]:
    return {
        "seconds": round(audio.seconds, 6),
        "sample_rate": audio.sample_rate,
        "channels": audio.channels,
    }
