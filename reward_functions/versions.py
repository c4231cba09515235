"""Versions: what a row of scores was made with, so that it is never taken for another scorer's.

The scorer's own version is a hash of every file that decides a score: the rewards, their committed
statistics, the spectral features, decoding, and how free text becomes a Brief. A file that is new
in this room counts, unless it is listed here as one that only lists, tells, fits or attacks.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import metadata, resources
from importlib.resources.abc import Traversable

import soundfile as sf

_NOT_JUDGING = (
    *("folder.py", "lanes.py", "listing.py", "versions.py"),
    *("comparison.py", "set_distances.py", "file_score.py"),
)
_NOT_JUDGING_KINDS = ("calibrate", "fit_", "redteam")
_ELSEWHERE = {
    "audioforge.utils": (
        *("audio_processing.py", "loudness.py"),
        *("spectral_analysis.py", "spectral_shapes.py"),
    ),
    "audioforge.data": (
        "brief.py",
        "families.py",
        "free_words.py",
        "word_meaning.py",
        "wording.py",
    ),
}
_LIBRARIES = ("numpy", "scipy", "soundfile", "soxr")


@lru_cache(maxsize=1)
def scorer_version() -> str:
    """Return 16 hexadecimal digits that change whenever a file that decides a score changes."""
    digest = hashlib.sha256()
    for file in _judging_files():
        digest.update(f"{file.name}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def library_versions() -> str:
    """Return the versions of the libraries that touch a number, on one line."""
    told = [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
    return ", ".join([*told, f"libsndfile {sf.__libsndfile_version__}"])


def _judging_files() -> list[Traversable]:
    here = [
        file
        for file in resources.files("audioforge.reward_functions").iterdir()
        if file.name.endswith((".py", ".json", ".npz"))
        and file.name not in _NOT_JUDGING
        and not file.name.startswith(_NOT_JUDGING_KINDS)
    ]
    there = [resources.files(room) / name for room, names in _ELSEWHERE.items() for name in names]
    return sorted([*here, *there], key=lambda file: file.name)
