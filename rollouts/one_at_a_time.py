"""OneAtATime: a backend that makes one batch at a time, however many groups are being collected.

A clip that is being made cannot be taken back and holds the whole accelerator, so collectors queue
here instead of sharing its memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from audioforge.generation.backend import Backend
from audioforge.generation.request import Clip, Failure, GenerationRequest


class OneAtATime:
    """Wraps a backend; call `generate` from any thread."""

    def __init__(self, backend: Backend) -> None:
        self.capabilities = backend.capabilities
        self.weights_sha256 = backend.weights_sha256
        self._backend = backend
        self._turn = threading.Lock()

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Clip | Failure]:
        """Wait for a turn, then make the batch."""
        with self._turn:
            return self._backend.generate(requests)
