"""Bounds of an engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Bounds of an engine."""

    max_batch: int = 32
    max_delay: float = 0.005
    """Seconds a request waits for mates when nothing is being made."""
    max_waiting: int = 4_096
    """Requests that may wait; more are refused."""
    cache_mb: float = 256.0
    """Of clips kept in memory; 0 keeps none."""
    cache_folder: Path | None = None
    """Where clips are kept for later; None keeps none."""
    cache_folder_mb: float = 4_096.0
    lost_alone: int = 3
    """Workers that may be lost over one request alone; then it is a Failure."""

    def __post_init__(self) -> None:
        for name in ("max_batch", "max_waiting", "lost_alone"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("max_delay", "cache_mb", "cache_folder_mb"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
