"""One pass of a backend, made so that whatever happens in it is a fact: run_pass.

Runs where the backend lives, in a thread or in a worker process. This is the one place that catches
every exception of a generator. Running out of memory is told apart from breaking: the engine makes
smaller batches of the one and looks for the guilty request in the other.
"""

from __future__ import annotations

import gc
import inspect
import logging
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from audioforge.generation.backend import Backend, Capabilities
from audioforge.generation.request import Clip, Failure, GenerationRequest

Fault = Literal["memory", "crash", "died", "stuck"]
_NO_MEMORY = ("can't allocate memory", "not enough memory")
"""How torch words an allocation that failed on the CPU, which it raises as a RuntimeError."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pass:
    """What came of one call of a backend: answers in request order, or a fault of the whole."""

    made: tuple[Clip | Failure, ...] = ()
    fault: Fault | None = None
    message: str = ""
    """One line about the fault."""
    seconds: float = 0.0
    rows: int = 0
    """Row evaluations of the model, where the backend counts them; else 0."""
    peak_mb: float = 0.0
    """Most memory its process has held: of the GPU where torch uses one, else of the machine."""


class Outcome(NamedTuple):
    """What became of a request."""

    made: Clip | Failure
    attempt: int = 1
    """1, or more when passes it was in have failed."""
    batch: tuple[str, ...] = ()
    """Keys of the requests made in the same pass, in order; none for a clip from the cache."""


class Place(Protocol):
    """Somewhere a backend lives; `run` is called by one thread at a time."""

    capabilities: Capabilities
    weights_sha256: str

    def batch_key(self, request: GenerationRequest, /) -> str:
        """Return what must be equal for requests to share a pass."""
        ...

    def run(self, requests: Sequence[GenerationRequest]) -> Pass:
        """Make one pass. Never raises."""
        ...

    @property
    def lost(self) -> bool:
        """Whether it can no longer be used."""
        ...

    def stop(self) -> None:
        """Let go of it; a pass that is running there comes to an end as a fault, or ends."""
        ...


class InProcess:
    """A backend in this process. A call that never ends cannot be stopped here."""

    lost = False

    def __init__(self, backend: Backend) -> None:
        self.capabilities, self.weights_sha256 = backend.capabilities, backend.weights_sha256
        self.batch_key = key_of(backend)
        self._backend = backend

    def run(self, requests: Sequence[GenerationRequest]) -> Pass:
        """Make one pass in the calling thread."""
        return run_pass(self._backend, requests)

    def stop(self) -> None:
        """Do nothing: a thread cannot be stopped."""


def key_of(backend: Backend) -> Callable[[GenerationRequest], str]:
    """Return a backend's `batch_key`, or one that lets every request share a pass.

    Raises:
        TypeError: it is no static method.
    """
    found = inspect.getattr_static(type(backend), "batch_key", None)
    if found is None:
        return any_mates
    if not isinstance(found, staticmethod):
        raise TypeError(
            f"batch_key of {type(backend).__name__} must be a static method: it is called where "
            "the backend may not be"
        )
    return found.__func__


def any_mates(request: GenerationRequest) -> str:
    """Return the same key for every request."""
    return ""


def run_pass(backend: Backend, requests: Sequence[GenerationRequest]) -> Pass:
    """Call the backend once and check what it answers. Never raises."""
    started, counted = time.perf_counter(), getattr(backend, "row_evaluations", 0)
    fault: Fault | None = None
    message, made = "", ()
    try:
        made = tuple(backend.generate(requests))
    except Exception as error:  # noqa: BLE001 - the boundary: a break becomes a fact of the pass
        fault = "memory" if _is_memory(error) else "crash"
        message = _line(error)
        if fault == "crash" and len(requests) == 1:  # of larger batches the halves will tell
            _log.warning("generation failed", exc_info=True)
    if fault == "memory":
        _let_go()  # here, as the traceback that held the tensors is gone
    elif fault is None and len(made) != len(requests):
        fault = "crash"
        message = f"the backend gave {len(made)} clips for {len(requests)} requests"
    checked = (
        tuple(_fits(one, r) for one, r in zip(made, requests, strict=True)) if not fault else ()
    )
    return Pass(
        checked,
        fault,
        message,
        time.perf_counter() - started,
        getattr(backend, "row_evaluations", 0) - counted,
        _peak_mb(),
    )


def _is_memory(error: Exception) -> bool:
    # By name: the engine does not import torch, which need not be there.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(w in str(error) for w in _NO_MEMORY))
    )


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    told = f"generation failed: {type(error).__name__}"
    return f"{told}: {lines[0][:300]}" if lines else told


def _let_go() -> None:
    gc.collect()
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _peak_mb() -> float:
    if (torch := sys.modules.get("torch")) and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _fits(made: Any, request: GenerationRequest) -> Clip | Failure:
    if isinstance(made, Clip | Failure) and made.request == request:
        return made
    return Failure(
        request, "crash", f"the backend answered this request with another {type(made).__name__}"
    )
