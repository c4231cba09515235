"""sha256 of weights: what tells two models of one name apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK = 1 << 20


def sha256_of(*paths: Path, under: Path | None = None) -> str:
    """Return the sha256 over the contents of files, one after the other.

    Args:
        paths: the files.
        under: a folder; the paths from there count too.
    """
    digest = hashlib.sha256()
    for path in paths:
        if under is not None:
            digest.update(path.relative_to(under).as_posix().encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
