"""A bound on request bodies, for servers that anyone on the machine can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.responses import JSONResponse

from audioforge.policy import wire

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 1 << 20
"""Bytes of a request body; larger ones are refused."""


class BodyLimit:
    """Reads the body up to MAX_BODY before anyone parses it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        parts, more, size = [], True, 0
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > MAX_BODY:
                body = wire.error_body(
                    f"body must be at most {MAX_BODY} bytes", "invalid_request_error"
                )
                return await JSONResponse(body, 413, headers={"Connection": "close"})(
                    scope, receive, send
                )
        read: Message = {"type": "http.request", "body": b"".join(parts), "more_body": False}
        pending = [read]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        return await self.app(scope, replay, send)
