"""Replay: make the clips of a run again from their recorded requests and compare the sound.

A group's distinct requests are made in one batch, in the recorded order, as they were: the last
bits of a sum may depend on the shape of a batch. Clips that needed a second attempt are made alone,
as they were. What differs is told as drift: weights, versions, and how far the sound is off.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf

from audioforge.generation.backend import Backend
from audioforge.generation.registry import load_backend
from audioforge.generation.request import Clip
from audioforge.rollouts.errors import ReplayError
from audioforge.rollouts.guarded import make_clips
from audioforge.rollouts.record import Rollout, versions
from audioforge.rollouts.store import RunStore, finite
from audioforge.utils.audio_processing import Audio, pcm16_sha256


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
    for group in store.groups():
        if rollout_id is not None and all(rollout.id != rollout_id for rollout in group):
            continue
        if any(rollout.clip is not None for rollout in group):
            backend = backend or load_backend(group[0].origin.model, device)
            replayed += _group(store, group, backend)
        if rollout_id is not None:
            replayed = [one for one in replayed if one.id == rollout_id]
            break
    if not replayed:
        what = f"rollout {rollout_id!r}" if rollout_id is not None else "rollouts with a clip"
        raise ReplayError(f"{store.folder} holds no {what} to replay")
    return replayed


def _group(store: RunStore, group: Sequence[Rollout], backend: Backend) -> list[Replayed]:
    made: dict[int, Clip | str] = {}
    distinct = [r for r in group if r.request is not None and r.duplicate_of is None]
    # A first attempt that failed was in the batch too, so the whole batch is made.
    batches = [distinct, *([rollout] for rollout in distinct if rollout.attempt == 2)]
    for batch in batches:
        outcomes = make_clips(backend, [r.request for r in batch if r.request is not None])
        for rollout, (clip, _) in zip(batch, outcomes, strict=True):
            made[rollout.index] = clip if isinstance(clip, Clip) else clip.message
    return [
        _compared(
            store,
            rollout,
            made[rollout.index if rollout.duplicate_of is None else rollout.duplicate_of],
            backend,
        )
        for rollout in group
        if rollout.clip is not None
    ]


def _compared(store: RunStore, rollout: Rollout, made: Clip | str, backend: Backend) -> Replayed:
    assert rollout.clip is not None
    expected = rollout.clip.sha256
    if isinstance(made, str):
        return Replayed(rollout.id, expected, None, f"could not be made: {made}")
    audio = finite(made.audio)
    sha256 = pcm16_sha256(audio)
    if sha256 == expected:
        return Replayed(rollout.id, expected, sha256, "")
    causes = [_difference(store, rollout, audio)]
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
    if path is None or not (store.folder / path).is_file():
        return "another sound; the recorded one is not stored"
    recorded, rate = sf.read(str(store.folder / path), dtype="int16", always_2d=True)
    made = np.round(np.clip(audio.samples.T, -1.0, 1.0) * 32_767.0)
    if rate != audio.sample_rate or recorded.shape != made.shape:
        shape = f"{recorded.shape[0]} samples x {recorded.shape[1]} at {rate} Hz"
        return f"{shape} then, {made.shape[0]} x {made.shape[1]} at {audio.sample_rate} Hz now"
    largest = float(np.abs(recorded - made).max()) / 32_767.0
    return f"largest difference {largest:.2g} of full scale"
