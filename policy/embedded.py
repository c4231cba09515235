"""The embedded policy: our own server with the model that ships, for as long as needed.

with embedded_policy() as base_url:
    ask = endpoint(base_url, EMBEDDED_MODEL)
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import audioforge
from audioforge.policy.client import EndpointError

EMBEDDED_MODEL = "tiny-policy"
"""The model name to use with the embedded server."""
EMBEDDED_FOLDER = Path(__file__).resolve().parents[1] / "data" / "models" / EMBEDDED_MODEL
START_SECONDS = 120.0
STOP_SECONDS = 5.0


@contextmanager
def embedded_policy(folder: str | Path = EMBEDDED_FOLDER, *, threads: int = 1) -> Iterator[str]:
    """Serve a model folder on a free loopback port in a child process.

    The child also stops by itself when this process ends in any way, even killed: it watches the
    pipe that only this process holds open.

    Args:
        folder: of a local causal language model.
        threads: CPU threads of the child; 0 for torch's choice.

    Yields:
        The base URL for OpenAI clients, such as "http://127.0.0.1:40001/v1".

    Raises:
        EndpointError: the server did not start; the message holds its last line.
    """
    command = [
        sys.executable,
        "-m",
        "audioforge.policy.server",
        "--model",
        str(folder),
        "--port",
        "0",
    ]
    command += [
        "--name",
        EMBEDDED_MODEL if Path(folder) == EMBEDDED_FOLDER else Path(folder).resolve().name,
    ]
    command += ["--threads", str(threads), "--lifeline"]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=child_environment(),
            start_new_session=True,  # an interrupt at the keyboard is ours to handle
        )
        try:
            yield _base_url(child, log, str(folder))
        finally:
            _stop(child)


def child_environment() -> dict[str, str]:
    """Return our environment, with the place this package was imported from on the path."""
    home = str(Path(str(audioforge.__file__)).resolve().parents[1])
    path = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{home}{os.pathsep}{path}" if path else home}


def _base_url(child: subprocess.Popen[str], log: IO[str], folder: str) -> str:
    """Wait for the line with the URL."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert child.stdout is not None
    read = child.stdout.readline
    threading.Thread(target=lambda: lines.put(read()), daemon=True).start()
    try:
        line = lines.get(timeout=START_SECONDS).strip()
    except queue.Empty:
        line = ""
    if line.startswith("http://"):
        return line
    log.seek(0)
    told = [text for text in log.read().splitlines() if text.strip()]
    said = told[-1].strip() if told else "it said nothing"
    raise EndpointError(f"the embedded policy did not start from {folder}: {said}")


def _stop(child: subprocess.Popen[str]) -> None:
    """Close the lifeline, ask the child to stop, and make sure that it did."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()
