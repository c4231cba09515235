"""The child's side of a worker process: loads a backend, makes the batches it is sent.

A thread reads the link and ends the process the moment it is closed, whatever the backend, in the
main thread, is doing.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import threading
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from audioforge.generation.backend import Backend
from audioforge.generation.engine_batch import key_of, run_pass
from audioforge.generation.engine_process import packed


def main(descriptor: int) -> None:
    """Serve the link with this file descriptor until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too; the parent decides
    link = Connection(descriptor)
    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(link, orders), daemon=True).start()
    backend = _loaded(link, *orders.get())
    while backend is not None:
        number, requests = orders.get()
        passed = run_pass(backend, requests)
        link.send((number, replace(passed, made=()), [packed(one) for one in passed.made]))


def _read(link: Connection, orders: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            orders.put(link.recv())
    except (EOFError, OSError):
        os._exit(0)


def _loaded(link: Connection, factory: str, options: dict[str, Any]) -> Backend | None:
    module, _, name = factory.partition(":")
    try:
        backend: Backend = getattr(importlib.import_module(module), name)(**options)
        told = backend.capabilities, backend.weights_sha256, key_of(backend)
    except (ValueError, ImportError, OSError, AttributeError, TypeError) as error:
        link.send(str(error) or type(error).__name__)
        return None
    link.send(told)
    return backend
