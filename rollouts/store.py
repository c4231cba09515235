"""RunStore: the folder of a run, written so that a crash at any moment loses and doubles nothing.

    run.yaml          what was asked for (config), with what (facts); never changes after the start
    rollouts.jsonl    one line per rollout; those of a group are appended in one write and synced
    audio/<sha>.flac  each sound once, complete before any line names it

A group counts when all its lines are there. A torn last line, or a group that is not whole, is not
read, is cut away when the run goes on, and is made again. One process writes at a time (file lock).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from audioforge.rollouts.errors import ChangedConfigError, StoreError
from audioforge.rollouts.record import Rollout, StoredClip
from audioforge.utils.audio_processing import Audio, flac_bytes, pcm16_sha256

RUN_FILE, ROLLOUTS_FILE, AUDIO_FOLDER = "run.yaml", "rollouts.jsonl", "audio"
_TEMPORARY = ".part"


class RunStore:
    """One run folder. Reading needs nothing; writing needs `start` before and `close` after."""

    def __init__(self, folder: str | Path, *, keep_clips: bool = True) -> None:
        self.folder, self._keep_clips = Path(folder), keep_clips
        self._lines: int | None = None

    @property
    def rollouts_file(self) -> Path:
        """The file that holds the rollouts."""
        return self.folder / ROLLOUTS_FILE

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, config: Mapping[str, Any], facts: Mapping[str, Any]) -> set[int]:
        """Begin a run, or go on with one.

        Args:
            config: what was asked for, plain types; must be the same when a run goes on.
            facts: with what it is done, plain types; kept from the first start.

        Returns:
            The indices of the groups that are finished.

        Raises:
            ChangedConfigError: the folder holds a run with another config.
            StoreError: the folder cannot be written, or another process writes to it.
        """
        try:
            (self.folder / AUDIO_FOLDER).mkdir(parents=True, exist_ok=True)
            self._lock()
            self._check_run(config, facts)
            for leftover in (self.folder / AUDIO_FOLDER).glob(f"*{_TEMPORARY}"):
                leftover.unlink()
            return self._cut_torn_end()
        except StoreError:
            raise
        except OSError as error:
            raise _explained(error, self.folder) from error

    def close(self) -> None:
        """Let go of the folder; does nothing when it is not held."""
        if self._lines is not None:
            os.close(self._lines)
            self._lines = None

    def run_facts(self) -> dict[str, Any]:
        """Return run.yaml: {"config": ..., "facts": ...}.

        Raises:
            StoreError: the folder holds no run, or run.yaml is damaged.
        """
        path = self.folder / RUN_FILE
        if not path.is_file():
            raise StoreError(f"{self.folder} holds no run ({RUN_FILE} is missing)")
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise StoreError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
        if not isinstance(found, dict) or not {"config", "facts"} <= set(found):
            raise StoreError(f'{path} must hold "config" and "facts"')
        return found

    def groups(self) -> Iterator[tuple[Rollout, ...]]:
        """Yield the finished groups in the order of the file; each group once.

        Raises:
            StoreError: a line that is not the last one is damaged.
        """
        seen: set[int] = set()
        for index, lines in groupby(self._rollouts(), key=lambda rollout: rollout.group):
            group = tuple(lines)
            if index not in seen and _whole(group):
                seen.add(index)
                yield group

    def done(self) -> set[int]:
        """Return the indices of the finished groups."""
        return {group[0].group for group in self.groups()}

    def keep(self, audio: Audio) -> StoredClip:
        """Store a sound once, under the sha256 of its 16-bit PCM; without `keep_clips` describe it.

        Samples that are not numbers are stored as silence: the reward has seen them as they were.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
        """
        audio = finite(audio)
        clip = described(audio)
        if not self._keep_clips:
            return clip
        name = f"{AUDIO_FOLDER}/{clip.sha256}.flac"
        if not (self.folder / name).exists():
            write_checked(self.folder / name, flac_bytes(audio))
        return StoredClip(clip.sha256, name, clip.seconds, clip.sample_rate, clip.channels)

    def append(self, rollouts: Sequence[Rollout]) -> None:
        """Append a group's lines in one write, and sync; after an error nothing of it remains.

        Raises:
            StoreError: the disk is full, or the folder cannot be written.
            ValueError: the run was not started, or the group is not whole.
        """
        if self._lines is None:
            raise ValueError("start() the store before appending to it")
        if not _whole(rollouts):
            raise ValueError("a group must be appended whole, its rollouts in order")
        lines = "".join(
            json.dumps(rollout.to_json(), allow_nan=False) + "\n" for rollout in rollouts
        )
        size = os.fstat(self._lines).st_size
        try:
            _write_all(self._lines, lines.encode())
            os.fsync(self._lines)
        except OSError as error:
            os.ftruncate(self._lines, size)
            raise _explained(error, self.rollouts_file) from error

    def _lock(self) -> None:
        self._lines = os.open(self.rollouts_file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise StoreError(
                f"{self.folder} is being written by another process; wait for it or choose another"
            ) from error

    def _check_run(self, config: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        if not (self.folder / RUN_FILE).exists():
            text = yaml.safe_dump(
                {"config": dict(config), "facts": dict(facts)}, sort_keys=False, allow_unicode=True
            )
            write_whole(self.folder / RUN_FILE, text.encode())
            return
        began = self.run_facts()["config"]
        for name in sorted({*began, *config}):
            old, new = began.get(name), config.get(name)
            if old != new:
                raise ChangedConfigError(
                    f"{self.folder} holds a run with {name} = {_brief(old)}, "
                    f"now it is {_brief(new)}; go on with the old value or choose another folder"
                )

    def _rollouts(self) -> Iterator[Rollout]:
        for _, rollout in self._read():
            yield rollout

    def _read(self) -> Iterator[tuple[int, Rollout]]:
        """Yield (bytes up to the end of its line, rollout); stop before a torn last line."""
        if not self.rollouts_file.exists():
            return
        end = 0
        with self.rollouts_file.open("rb") as lines:
            size = os.fstat(lines.fileno()).st_size
            for number, line in enumerate(lines, 1):
                end += len(line)
                try:
                    if not line.endswith(b"\n"):
                        raise ValueError("the line has no end")
                    rollout = Rollout.from_json(json.loads(line))
                except ValueError as error:
                    if end >= size:
                        return
                    raise StoreError(
                        f"{self.rollouts_file}, line {number}: {str(error).splitlines()[0]}; "
                        "remove that line and its group is made again"
                    ) from error
                yield end, rollout

    def _cut_torn_end(self) -> set[int]:
        """Cut what follows the last whole group; return the finished groups."""
        keep_bytes, done = 0, set()
        for index, lines in groupby(self._read(), key=lambda pair: pair[1].group):
            pairs = list(lines)
            if _whole([rollout for _, rollout in pairs]):
                keep_bytes = pairs[-1][0]
                done.add(index)
        if self._lines is not None and os.fstat(self._lines).st_size > keep_bytes:
            os.ftruncate(self._lines, keep_bytes)
            os.fsync(self._lines)
        return done


def described(audio: Audio) -> StoredClip:
    """Describe a sound that is not stored."""
    audio = finite(audio)
    return StoredClip(pcm16_sha256(audio), None, audio.seconds, audio.sample_rate, audio.channels)


def finite(audio: Audio) -> Audio:
    """Replace samples that are not finite: nan by 0, infinities by full scale."""
    if np.isfinite(audio.samples).all():
        return audio
    return Audio(np.nan_to_num(audio.samples, nan=0.0, posinf=1.0, neginf=-1.0), audio.sample_rate)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole or not there: temporary file, sync, rename, sync."""
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _write_all(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_checked(path: Path, content: bytes) -> None:
    """Like `write_whole`, with a StoreError that says what to do."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise _explained(error, path) from error


def _write_all(handle: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def _whole(group: Sequence[Rollout]) -> bool:
    return bool(group) and [r.index for r in group] == list(range(group[0].group_size))


def _explained(error: OSError, path: Path) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreError(
            f"no space left while writing {path}; finished groups are safe: "
            "free some space and run the same command again"
        )
    return StoreError(f"cannot write {path}: {error.strerror or error}")


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
