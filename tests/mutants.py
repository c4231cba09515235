"""Damaged sound files: mutants of a tiny valid one, by number, to be read in another process."""

from __future__ import annotations

import resource
from collections import Counter
from pathlib import Path

import numpy as np

from audioforge.utils.audio_processing import Audio, encode, read_audio

KINDS = 6


def base(container: str) -> bytes:
    """A tenth of a second of two tones, stereo at 16 kHz."""
    t = np.arange(1_600) / 16_000
    tones = np.stack([np.sin(2 * np.pi * hz * t) for hz in (440.0, 330.0)])
    return encode(Audio(0.5 * tones, 16_000), container)


def mutant(whole: bytes, number: int) -> bytes:
    """Bytes changed anywhere, in the header, cut, doubled, inserted, or a length made huge."""
    rng = np.random.default_rng(number)
    made = bytearray(whole)
    kind = number % KINDS
    if kind < 2:
        end = len(made) if kind else 128
        for place in rng.integers(0, min(end, len(made)), rng.integers(1, 12)):
            made[place] = rng.integers(256)
    elif kind == 2:
        del made[rng.integers(len(made)) :]
    elif kind == 3:
        start, end = np.sort(rng.integers(0, len(made), 2))
        made[start:end] = made[start:end] * 2
    elif kind == 4:
        place = rng.integers(len(made))
        made[place:place] = rng.bytes(rng.integers(1, 200))
    else:
        place = rng.integers(min(256, len(made) - 4))
        made[place : place + 4] = rng.choice([b"\xff\xff\xff\x7f", b"\xff" * 4, bytes(4)])
    return bytes(made)


def read_mutants(task: tuple[str, str, range]) -> tuple[Counter[str], int]:
    """Read mutants by number: how many were read, refused or unclear, and the MB they cost.

    Anything but a ValueError breaks the process, and so the test.
    """
    container, folder, numbers = task
    whole, outcomes, before = base(container), Counter[str](), peak_mb()
    path = Path(folder) / f"mutant.{container.lower()}"
    for number in numbers:
        path.write_bytes(mutant(whole, number))
        try:
            read_audio(path)
        except ValueError as error:
            clear = str(error).startswith(f"{path}: ") and "\n" not in str(error)
            outcomes["refused" if clear else "unclear"] += 1
        else:
            outcomes["read"] += 1
    return outcomes, peak_mb() - before


def read_one(path: str) -> tuple[str, int]:
    """Read one file: what came of it, and the peak memory of this process in MB."""
    try:
        audio = read_audio(path)
    except ValueError as error:
        return str(error), peak_mb()
    return f"read {audio.seconds:.3f} s", peak_mb()


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
