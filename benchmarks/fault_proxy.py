"""A proxy that breaks some of the answers of the server behind it, in the ways that servers do.

Tests and `serve.py` put it before a language model, tests also before a trainer's API. Faults are
drawn from a seed, so that a run has the same share of each kind.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

KINDS = ("500", "429", "timeout", "garbage", "wrong_shape", "empty", "truncated", "reset")
"""All faults of a language model. "lost_answer" besides is done as asked, and then not answered."""


class Reply(NamedTuple):
    """What the server behind has answered."""

    status: int
    kind: str
    body: bytes


class FaultProxy:
    """Stands before a server on loopback.

    Args:
        upstream: its URL, such as http://127.0.0.1:9101.
        share: of the POST calls that go wrong, in [0, 1].
        kinds: of faults, equally often.
        seed: decides which calls.
        hang: seconds that a "timeout" says nothing; longer than the caller waits.
        choose: gives the fault of a call from its path and number instead, None for none.
    """

    def __init__(
        self,
        upstream: str,
        share: float = 0.2,
        kinds: tuple[str, ...] = KINDS,
        *,
        seed: int = 0,
        hang: float = 30.0,
        choose: Callable[[str, int], str | None] | None = None,
    ) -> None:
        parts = urlsplit(upstream)
        self.upstream = (str(parts.hostname), int(parts.port or 80))
        self.share, self.kinds, self.hang = share, kinds, hang
        self.injected: Counter[str] = Counter()
        """Faults so far, by kind."""
        self.calls = 0
        self.closing = threading.Event()
        self._choose, self._draw, self._lock = choose, random.Random(seed), threading.Lock()
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening, and let go of calls that hang."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def fault(self, path: str) -> str | None:
        """Decide what happens to a POST call."""
        with self._lock:
            self.calls += 1
            if self._choose is not None:
                kind = self._choose(path, self.calls)
            else:
                wrong = self._draw.random() < self.share
                kind = self._draw.choice(self.kinds) if wrong else None
            if kind:
                self.injected[kind] += 1
            return kind

    def forward(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Pass a call on."""
        connection = http.client.HTTPConnection(*self.upstream, timeout=600)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            kind = answer.getheader("Content-Type") or "application/json"
            return Reply(answer.status, kind, answer.read())
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    """One call; the server object says of which proxy."""

    def do_GET(self) -> None:
        self._answer("GET", None)

    def do_POST(self) -> None:
        self._answer("POST", self._proxy.fault(self.path))

    @property
    def _proxy(self) -> FaultProxy:
        return self.server.proxy  # type: ignore[attr-defined]

    def _answer(self, method: str, fault: str | None) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault == "timeout":
            self._proxy.closing.wait(self._proxy.hang)
        if fault in ("timeout", "reset"):
            return self._reset()
        if fault in _MADE_UP:
            return self._send(*_MADE_UP[fault])
        kept = ("Content-Type", "Content-Encoding", "Authorization")
        headers = {name: value for name in kept if (value := self.headers.get(name))}
        try:
            reply = self._proxy.forward(method, self.path, body, headers)
        except OSError:
            return self._reset()
        return self._reset() if fault == "lost_answer" else self._send(reply, cut=fault is not None)

    def _send(self, reply: Reply, extra: dict[str, str] | None = None, cut: bool = False) -> None:
        self.close_connection = True
        self.send_response(reply.status)
        headers = {"Content-Type": reply.kind, "Content-Length": str(len(reply.body))}
        for name, value in (headers | (extra or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) // 2] if cut else reply.body)

    def _reset(self) -> None:
        """Close so that the other side sees a connection reset."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: callers that give up are part of the test."""


def _json(told: object) -> bytes:
    return json.dumps(told).encode()


_MADE_UP: dict[str, tuple[Reply, dict[str, str]]] = {
    "500": (Reply(500, "application/json", _json({"error": {"message": "broken"}})), {}),
    "429": (
        Reply(429, "application/json", _json({"error": {"message": "slow down"}})),
        {"Retry-After": "1"},
    ),
    "garbage": (Reply(200, "text/html", b"<html><body>Bad gateway\x00\xff</body></html>"), {}),
    "wrong_shape": (Reply(200, "application/json", _json({"answer": [1, 2, 3]})), {}),
    "empty": (
        Reply(
            200,
            "application/json",
            _json(
                {
                    "logprobs": [],
                    "finish_reasons": [],
                    "id": "c",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "m",
                    "choices": [],
                }
            ),
        ),
        {},
    ),
}
"""Faults that need nothing from the server behind."""
