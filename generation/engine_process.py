"""WorkerProcess: a backend in a child process, which can be killed when it is stuck.

The child is a fresh interpreter and speaks over a socket pair that only the two of them hold; its
stdout stays its own. Messages are numbered and an answer counts once, for the batch it belongs to.
The child ends when its end of the pair is closed, also when this process is killed. The socket pair
needs Linux or macOS.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from audioforge.generation.backend import Capabilities
from audioforge.generation.engine_batch import Fault, Pass
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.utils.audio_processing import Audio

_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from audioforge.generation.engine_worker import main; main(int(sys.argv[1]))"
)
MOST_FAILED_STARTS = 3
"""In a row; then the worker is given up."""
_LAST_WORDS_SECONDS = 2.0


@dataclass(frozen=True)
class WorkerSpec:
    """How a worker makes its backend."""

    factory: str
    """"package.module:function" in a module the child can import."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the factory, besides `device`."""
    device: str = "cpu"
    """"cpu", "auto", or "cuda:1": the child sees that GPU only and is told "cuda"."""
    start_seconds: float = 600.0
    """To load the backend."""
    pass_seconds: float = 600.0
    """For one pass; then the worker is stuck and killed."""


class WorkerProcess:
    """A place to run passes; a child that died or got stuck is replaced at the next one."""

    capabilities: Capabilities
    weights_sha256: str

    def __init__(self, spec: WorkerSpec) -> None:
        """Prepare; `start` starts it."""
        self.spec = spec
        self.batch_key: Any = None
        self._child: subprocess.Popen[bytes] | None = None
        self._link: Connection | None = None
        self._number = 0
        self._failed_starts = 0
        self._stopped = False
        self._turn = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Of the child, or None when there is none."""
        return self._child.pid if self._child else None

    @property
    def lost(self) -> bool:
        """Whether it failed to start several times in a row."""
        return self._failed_starts >= MOST_FAILED_STARTS

    def start(self) -> None:
        """Start the child and wait until its backend is loaded.

        Raises:
            ValueError: the backend cannot be loaded there, with the child's reason, or it has other
                weights than before.
        """
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-c", _CHILD, str(theirs.fileno()), json.dumps(sys.path)]
        with theirs:
            self._child = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment(self.spec.device),
            )
        self._link = Connection(ours.detach())
        try:
            device = self.spec.device.split(":")[0]
            self._link.send((self.spec.factory, {**self.spec.options, "device": device}))
            told = self._receive(self.spec.start_seconds)
        except (EOFError, OSError, TimeoutError) as error:
            raise ValueError(
                f"a worker process could not be started: {self._end(error)}"
            ) from error
        if isinstance(told, str):
            self._kill()
            raise ValueError(told)
        capabilities, weights, self.batch_key = told
        if getattr(self, "weights_sha256", weights) != weights:
            self._kill()
            raise ValueError("a worker that was replaced has loaded other weights: start again")
        self.capabilities, self.weights_sha256 = capabilities, weights

    def run(self, requests: Sequence[GenerationRequest]) -> Pass:
        """Make one pass in the child, which is started again if need be. Never raises."""
        with self._turn:
            if self._stopped:
                return Pass(fault="died", message="the engine was stopped")
            if self._child is not None and self._child.poll() is not None:
                self._kill()  # it died while nothing was asked of it
            if self._child is None:
                try:
                    self.start()
                except (ValueError, OSError) as error:
                    self._failed_starts += 1
                    return Pass(fault="died", message=str(error))
            self._failed_starts = 0
            return self._pass(list(requests))

    def _pass(self, requests: list[GenerationRequest]) -> Pass:
        assert self._link is not None
        self._number += 1
        try:
            self._link.send((self._number, requests))
            number, passed, packed = 0, Pass(), []
            while number != self._number:
                number, passed, packed = self._receive(self.spec.pass_seconds)
        except (EOFError, OSError, TimeoutError) as error:
            fault: Fault = "stuck" if isinstance(error, TimeoutError) else "died"
            return Pass(fault=fault, message=self._end(error))
        made = (
            tuple(_unpacked(p, r) for p, r in zip(packed, requests, strict=True)) if packed else ()
        )
        return Pass(made, passed.fault, passed.message, passed.seconds, passed.rows, passed.peak_mb)

    def stop(self) -> None:
        """End the child; a pass that is running there ends as a fault."""
        self._stopped = True
        if (child := self._child) is not None:
            child.kill()
        with self._turn:
            self._kill()

    def _receive(self, seconds: float) -> Any:
        assert self._link is not None
        if not self._link.poll(seconds):
            raise TimeoutError(f"the worker process made nothing for {seconds:g} s and was killed")
        return self._link.recv()

    def _end(self, error: Exception) -> str:
        """Kill what is left of the child and say in one line what happened."""
        if isinstance(error, TimeoutError):
            self._kill()
            return str(error)
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # let it say its own exit code
                self._child.wait(_LAST_WORDS_SECONDS)
        return f"the worker process ended with exit code {self._kill()}"

    def _kill(self) -> int | None:
        code = None
        if self._child is not None:
            self._child.kill()
            code = self._child.wait()
        if self._link is not None:
            self._link.close()
        self._child = self._link = None
        return code


def _environment(device: str) -> dict[str, str]:
    """Return the child's environment: of several GPUs it sees its own only."""
    kind, _, number = device.partition(":")
    if kind != "cuda" or not number:
        return dict(os.environ)
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if seen and int(number) >= len(seen):
        raise ValueError(f"no device {device!r}: CUDA_VISIBLE_DEVICES names {len(seen)}")
    return {**os.environ, "CUDA_VISIBLE_DEVICES": seen[int(number)] if seen else number}


def packed(one: Clip | Failure) -> tuple[Any, ...]:
    """Return what travels from the child: the request stays where it came from."""
    if isinstance(one, Clip):
        return one.audio.samples, one.audio.sample_rate, one.seconds_taken
    return one.kind, one.message


def _unpacked(told: tuple[Any, ...], request: GenerationRequest) -> Clip | Failure:
    if len(told) == 2:
        return Failure(request, *told)
    samples, rate, seconds = told
    return Clip(request, Audio(samples, rate), seconds)
