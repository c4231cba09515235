"""What an engine has done so far: EngineMetrics, a plain snapshot."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from audioforge.generation.engine_batch import Pass
from audioforge.generation.request import Failure


@dataclass(frozen=True)
class EngineMetrics:
    """Counts since the engine was made."""

    requests: int
    clips: int
    failures: dict[str, int]
    """By kind."""
    cancelled: int
    overloaded: int
    """Requests refused because the queue was full."""
    cache_hits: int
    shared: int
    """Requests that joined an equal one in flight."""
    passes: int
    """Calls of a backend, failed ones too."""
    batch_fill: float
    """Mean size of the passes over the largest allowed; 0 before the first."""
    row_evaluations: int
    """Of the model, where the backend counts them."""
    busy_seconds: float
    """Spent in passes, all workers together; those that run now count up to now."""
    clips_per_s: float
    """Clips over the seconds spent in passes, all workers together."""
    queue_ms: float
    """Mean wait before the first pass."""
    queue_ms_max: float
    ooms: int
    kills: int
    """Workers that died or were killed because they were stuck."""
    peak_mb: float
    caps: dict[str, int]
    """Largest batch that fits, by what may share a pass, where smaller than allowed."""


@dataclass
class Tally:
    """What the engine counts as it goes."""

    requests: int = 0
    clips: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0
    overloaded: int = 0
    cache_hits: int = 0
    shared: int = 0
    passes: int = 0
    items: int = 0
    rows: int = 0
    seconds: float = 0.0
    first_passes: int = 0
    waited: float = 0.0
    waited_most: float = 0.0
    ooms: int = 0
    kills: int = 0
    peak_mb: float = 0.0
    running: dict[object, float] = field(default_factory=dict)
    """When the pass began that a place is in, on the monotonic clock."""

    def begins(self, place: object) -> None:
        """Count the pass that begins in a place from now on."""
        self.running[place] = time.monotonic()

    def ends(self, place: object) -> None:
        """End the pass in a place; `ran` counts what it was."""
        self.running.pop(place, None)

    def waits(self, seconds: float) -> None:
        """Count a request's wait for its first pass."""
        self.first_passes += 1
        self.waited += seconds
        self.waited_most = max(self.waited_most, seconds)

    def ran(self, passed: Pass, size: int) -> None:
        """Count a pass."""
        self.passes += 1
        self.items += size
        self.rows += passed.rows
        self.seconds += passed.seconds
        self.peak_mb = max(self.peak_mb, passed.peak_mb)
        short = passed.fault == "memory"
        self.ooms += short or any(
            isinstance(made, Failure) and made.kind == "memory" for made in passed.made
        )
        self.kills += passed.fault in ("died", "stuck")

    def snapshot(self, max_batch: int, caps: dict[str, int]) -> EngineMetrics:
        """Return the counts, and what follows from them."""
        now = time.monotonic()
        return EngineMetrics(
            requests=self.requests,
            clips=self.clips,
            failures=dict(self.failures),
            cancelled=self.cancelled,
            overloaded=self.overloaded,
            cache_hits=self.cache_hits,
            shared=self.shared,
            passes=self.passes,
            batch_fill=self.items / (self.passes * max_batch) if self.passes else 0.0,
            row_evaluations=self.rows,
            busy_seconds=self.seconds + sum(now - begun for begun in self.running.values()),
            clips_per_s=self.clips / self.seconds if self.seconds else 0.0,
            queue_ms=1e3 * self.waited / self.first_passes if self.first_passes else 0.0,
            queue_ms_max=1e3 * self.waited_most,
            ooms=self.ooms,
            kills=self.kills,
            peak_mb=self.peak_mb,
            caps=caps,
        )
