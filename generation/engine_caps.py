"""How large a batch fits into memory: halved when it does not, found again slowly.

Nobody can say beforehand how much memory a mixed batch takes, so the engine learns it. A size that
did not fit is remembered; after a while of full batches a quarter more is tried, and every time
that fails the while doubles.
"""

from __future__ import annotations

from dataclasses import dataclass

FULL_BATCHES = 8
"""Full batches that must succeed before a larger one is tried."""
LONGEST = 1 << 16


@dataclass
class _Cap:
    size: int
    fits: int = 0
    """Largest size that has succeeded."""
    full: int = 0
    """Full batches since the size last changed."""
    patience: int = FULL_BATCHES


class Caps:
    """The largest batch to be made, by what may share a pass.

    Args:
        most: the largest batch ever.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._caps: dict[str, _Cap] = {}

    def __call__(self, mates: str) -> int:
        """Return the largest batch to be made of a kind."""
        cap = self._caps.get(mates)
        return self.most if cap is None else min(cap.size, self.most)

    def too_large(self, mates: str, size: int) -> int:
        """Remember that a batch did not fit; return the size to go on with."""
        cap = self._caps.setdefault(mates, _Cap(self.most))
        if cap.fits >= size:
            cap.fits = 0  # memory has become scarcer, or the requests larger
        if cap.fits > size // 2:
            cap.patience = min(2 * cap.patience, LONGEST)
        cap.size = max(1, min(cap.size, max(size // 2, cap.fits)))
        cap.full = 0
        return cap.size

    def fitted(self, mates: str, size: int) -> None:
        """Remember that a batch did fit."""
        cap = self._caps.get(mates)
        if cap is None:
            return
        cap.fits = max(cap.fits, size)
        if size < cap.size or cap.size >= self.most:
            return
        cap.full += 1
        if cap.full >= cap.patience:
            cap.size = min(self.most, cap.size + max(1, cap.size // 4))
            cap.full = 0

    def learnt(self) -> dict[str, int]:
        """Return the sizes that differ from the largest."""
        return {mates: cap.size for mates, cap in self._caps.items() if cap.size < self.most}
