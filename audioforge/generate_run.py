"""Making clips for `audioforge generate`, in full batches, each clip with its facts beside it.

A clip is finished when its sound and then its JSON are written; the same command again makes only
what is missing. A request that fails is told, kept in `failures.jsonl`, and holds nothing up.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
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

from audioforge.generation.backend import Capabilities
from audioforge.generation.engine import Engine, Outcome
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
AHEAD = 3
"""Batches that are asked for before the first of them is written."""


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

    def missing(
        self, requests: Sequence[GenerationRequest], weights_sha256: str
    ) -> list[GenerationRequest]:
        """Return the requests whose clips are not finished."""
        return [r for r in requests if not self.has(r, weights_sha256)]

    def keep(self, clip: Clip, engine: Engine) -> None:
        """Write a clip, then its facts."""
        content = encode(clip.audio, *FORMATS[self.format])
        facts = {
            "request": clip.request.to_json(),
            "request_key": clip.request.key,
            "model": engine.capabilities.model,
            "weights_sha256": engine.weights_sha256,
            "licence": engine.capabilities.licence,
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
    made: int
    failed: int

    @property
    def interrupted(self) -> bool:
        """Whether clips are missing that were not tried."""
        return self.made + self.failed < self.asked


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
    engine: Engine, missing: Sequence[GenerationRequest], folder: Folder, console: Console
) -> Made:
    """Make clips into a folder; Ctrl-C ends it after nothing finished is lost.

    Raises:
        RunError: the folder cannot be written.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    kept = _Kept(engine, folder, console)
    with contextlib.suppress(KeyboardInterrupt), _bar(console) as bar:
        task = bar.add_task("clips", total=len(missing))
        asyncio.run(_make(engine, missing, lambda one: (kept.add(one), bar.advance(task))))
    return Made(len(missing), kept.made, kept.failed)


@dataclass
class _Kept:
    """Writes clips and tells failures, and counts both."""

    engine: Engine
    folder: Folder
    console: Console
    made: int = 0
    failed: int = 0

    def add(self, one: Clip | Failure) -> None:
        if isinstance(one, Clip):
            self.folder.keep(one, self.engine)
            self.made += 1
            return
        self.folder.regret(one)
        self.failed += 1
        words = f"{one.request.prompt[:60]!r}: {one.kind}, {one.message}"
        self.console.print(Text(f"failed: {words}"), soft_wrap=True)


async def _make(
    engine: Engine,
    requests: Sequence[GenerationRequest],
    keep: Callable[[Clip | Failure], object],
) -> None:
    """Have requests made, a few batches ahead of those being written."""
    following = iter(requests)
    ahead = AHEAD * engine.settings.max_batch
    asked: set[asyncio.Future[Outcome]] = set()
    try:
        while True:
            asked |= {engine.submit(r) for r in islice(following, ahead - len(asked))}
            if not asked:
                return
            done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                keep(future.result().made)
    finally:  # Ctrl-C may come between the end of a pass and its being noticed here
        for future in asked:
            if future.done() and not future.cancelled():
                keep(future.result().made)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("clips"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _shape(audio: Audio) -> dict[str, float | int]:
    return {
        "seconds": round(audio.seconds, 6),
        "sample_rate": audio.sample_rate,
        "channels": audio.channels,
    }
