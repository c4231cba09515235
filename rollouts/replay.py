"""Replay: make the clips of a run again from their recorded requests and compare the sound.

A clip is made in the pass in which it was made, all requests of it in the recorded order, also
those of other groups: the last bits of a sum may depend on the shape of a batch. A pass is made
once for all its clips. What differs is told as drift: weights, versions, batch mates that were
never recorded, and how far the sound is off.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf

from audioforge.generation.backend import Backend
from audioforge.generation.engine_batch import run_pass
from audioforge.generation.registry import load_backend
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.rollouts.errors import ReplayError
from audioforge.rollouts.record import Rollout, short_key, versions
from audioforge.rollouts.store import RunStore, finite
from audioforge.utils.audio_processing import Audio, pcm16_sha256

MOST_PASSES = 8
"""Passes whose clips are kept while clips of other groups may be asked for."""


class Replayed(NamedTuple):
    """What became of one rollout when it was made again."""

    id: str
    expected: str
    """sha256 of the recorded sound."""
    made: str | None
    """sha256 of the sound made now; None when it could not be made."""
    drift: str
    """What differs and why, one line; empty when the sound is the same."""

    @property
    def same(self) -> bool:
        """Whether the sound is the recorded one, byte for byte."""
        return self.made == self.expected


def replay(
    folder: str | Path,
    rollout_id: str | None = None,
    *,
    backend: Backend | None = None,
    device: str = "auto",
) -> list[Replayed]:
    """Make the clips of a run again.

    Args:
        folder: the run folder.
        rollout_id: such as "g00003-r1"; None for all.
        backend: a loaded backend; None loads the recorded model.
        device: where to load it.

    Returns:
        One line per rollout that has a clip, in the order of the run.

    Raises:
        ReplayError: no such rollout, it has no clip, or the run has none.
        StoreError: the folder holds no readable run.
        ValueError: the recorded model cannot be loaded.
    """
    store = RunStore(folder)
    store.run_facts()
    replayed: list[Replayed] = []
    passes: _Passes | None = None
    for group in store.groups():
        if rollout_id is not None and all(rollout.id != rollout_id for rollout in group):
            continue
        for rollout in group:
            if rollout.clip is None or rollout_id not in (None, rollout.id):
                continue
            if passes is None:
                backend = backend or load_backend(rollout.origin.model, device)
                passes = _Passes(store, backend)
            replayed.append(_compared(store, rollout, passes.clip(rollout, group), passes.backend))
        if rollout_id is not None:
            break
    if not replayed:
        what = f"rollout {rollout_id!r}" if rollout_id is not None else "rollouts with a clip"
        raise ReplayError(f"{store.folder} holds no {what} to replay")
    return replayed


class _Again(NamedTuple):
    """A clip that was made again, or why it could not be."""

    made: Clip | str
    unknown: int
    """Batch mates that are not recorded."""


class _Passes:
    """The passes of a run, made again as clips of them are asked for."""

    def __init__(self, store: RunStore, backend: Backend) -> None:
        self.backend = backend
        self._store = store
        self._made: OrderedDict[tuple[str, ...], dict[str, Clip | str]] = OrderedDict()

    @cached_property
    def _requests(self) -> dict[str, GenerationRequest]:
        """All requests of the run, by short key: a pass may hold those of any group."""
        requests = (rollout.request for group in self._store.groups() for rollout in group)
        return {short_key(request): request for request in requests if request is not None}

    def clip(self, rollout: Rollout, group: Sequence[Rollout]) -> _Again:
        assert rollout.request is not None, "a rollout with a clip has a request"
        made = rollout if rollout.duplicate_of is None else group[rollout.duplicate_of]
        distinct = [
            r.request
            for r in group
            if r.request is not None and r.duplicate_of is None and r.turn == made.turn
        ]
        if rollout.batch:
            batch = [self._requests[key] for key in rollout.batch if key in self._requests]
        else:  # a second attempt whose mates are not told was made alone
            batch = distinct if rollout.attempt == 1 else [rollout.request]
        unknown = max(len(rollout.batch) - len(batch), 0)
        return _Again(self._pass(batch)[rollout.request.key], unknown)

    def _pass(self, batch: Sequence[GenerationRequest]) -> dict[str, Clip | str]:
        name = tuple(request.key for request in batch)
        if name not in self._made:
            passed = run_pass(self.backend, batch)
            made = passed.made or (passed.message,) * len(batch)
            self._made[name] = {
                key: one.message if isinstance(one, Failure) else one
                for key, one in zip(name, made, strict=True)
            }
            if len(self._made) > MOST_PASSES:
                self._made.popitem(last=False)
        return self._made[name]


def _compared(store: RunStore, rollout: Rollout, again: _Again, backend: Backend) -> Replayed:
    assert rollout.clip is not None
    made, unknown = again
    expected = rollout.clip.sha256
    if isinstance(made, str):
        return Replayed(rollout.id, expected, None, f"could not be made: {made}")
    audio = finite(made.audio)
    sha256 = pcm16_sha256(audio)
    if sha256 == expected:
        return Replayed(rollout.id, expected, sha256, "")
    causes = [_difference(store, rollout, audio)]
    if unknown:
        causes.append(f"{unknown} clips made in the same pass are not recorded")
    then = rollout.origin
    if then.weights_sha256 != backend.weights_sha256:
        causes.append(f"weights {then.weights_sha256[:12]} then, {backend.weights_sha256[:12]} now")
    now = versions()
    causes += [
        f"{name} {then.versions.get(name, 'absent')} then, {now.get(name, 'absent')} now"
        for name in sorted({*then.versions, *now})
        if then.versions.get(name) != now.get(name)
    ]
    return Replayed(rollout.id, expected, sha256, "; ".join(causes))


def _difference(store: RunStore, rollout: Rollout, audio: Audio) -> str:
    """Say how far the new sound is from the stored one."""
    path = rollout.clip.path if rollout.clip else None
    if path is None:
        return "another sound; the recorded one was never stored"
    if not (store.folder / path).is_file():
        return f"another sound; the recorded one is gone ({path} was removed, see keep_audio)"
    recorded, rate = sf.read(str(store.folder / path), dtype="int16", always_2d=True)
    made = np.round(np.clip(audio.samples.T, -1.0, 1.0) * 32_767.0)
    if rate != audio.sample_rate or recorded.shape != made.shape:
        shape = f"{recorded.shape[0]} samples x {recorded.shape[1]} at {rate} Hz"
        return f"{shape} then, {made.shape[0]} x {made.shape[1]} at {audio.sample_rate} Hz now"
    largest = float(np.abs(recorded - made).max()) / 32_767.0
    return f"largest difference {largest:.2g} of full scale"
