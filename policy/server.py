"""An OpenAI-compatible server for any local causal language model folder.

    python -m audioforge.policy.server --model FOLDER --port 0

Serves /v1/models, /v1/chat/completions, /v1/completions, /health and vLLM's /generate (token ids
in, token ids and log-probabilities out), which Atropos' ManagedServer needs. Prints one line with
its URL when it is ready. It has no authentication: it binds to the loopback address unless told
otherwise. Prompts and answers are never logged.

With `--weights-under FOLDER` a trainer may change the weights: POST /weights names a folder below
that one and a version, which /health and `system_fingerprint` tell from then on.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from audioforge.policy import wire
from audioforge.policy.batcher import Batcher, Overloaded
from audioforge.policy.body_limit import BodyLimit
from audioforge.policy.drawing import Answer, Question
from audioforge.policy.local_llm import LocalLLM, ModelFolderError, PromptError
from audioforge.policy.weights import FILE, WeightsError, read_weights
from audioforge.policy.wire import ChatBody, CompletionBody, GenerateBody, WeightsBody

GONE_SECONDS = 0.25
"""How often a waiting request is looked after: a client that left needs no answer."""


class UnknownModel(ValueError):
    """A request names a model that is not served here."""


def create_app(
    llm: LocalLLM, name: str, waiting: int = 1_024, weights_under: Path | None = None
) -> FastAPI:
    """Build the server.

    Args:
        llm: the loaded model.
        name: the model's id; requests may name this, the folder, or nothing.
        waiting: answers that may wait in the queue; more are refused with 503.
        weights_under: the folder new weights may come from; None keeps the weights as they are.
    """
    batcher = Batcher(llm, waiting)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with batcher:
            yield

    app = FastAPI(
        title="AudioForge policy",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(BodyLimit)
    _add_errors(app)
    _add_facts(app, llm, name)
    _add_answers(app, batcher, name)
    _add_weights(app, batcher, weights_under)
    return app


def _add_facts(app: FastAPI, llm: LocalLLM, name: str) -> None:
    """Add what can be asked about the server."""
    model = {"id": name, "object": "model", "created": 0, "owned_by": "audioforge"}

    @app.get("/health")
    async def health() -> dict:
        return {"status": "ok", "weights_version": llm.version}

    @app.get("/v1/models")
    async def models() -> dict:
        return {"object": "list", "data": [{**model, "max_model_len": llm.context}]}


def _add_answers(app: FastAPI, batcher: Batcher, name: str) -> None:
    """Add the endpoints that ask the model."""
    llm = batcher.llm

    def check(model: str | None) -> None:
        if model not in (None, name, str(llm.folder)):
            raise UnknownModel(f"no model {model!r} here; this server has {name!r}")

    @app.post("/v1/chat/completions")
    async def chat(request: Request, body: ChatBody) -> dict:
        check(body.model)
        prompt = llm.encode_chat([message.plain() for message in body.messages])
        found = await _answers(request, batcher, Question(prompt, body.sampling()))
        return wire.chat_reply(llm, name, body, prompt, found)

    @app.post("/v1/completions")
    async def complete(request: Request, body: CompletionBody) -> dict:
        check(body.model)
        prompt = wire.prompt_ids(body.prompt, llm)
        found = await _answers(request, batcher, Question(prompt, body.sampling()))
        return wire.completion_reply(llm, name, body, prompt, found)

    @app.post("/generate")
    async def generate(request: Request, body: GenerateBody) -> dict:
        prompt = wire.prompt_ids(body.prompt, llm)
        found = await _answers(request, batcher, Question(prompt, body.sampling()))
        return await asyncio.to_thread(wire.generate_reply, llm, body, prompt, found)


def _add_weights(app: FastAPI, batcher: Batcher, under: Path | None) -> None:
    """Add the endpoint through which a trainer changes the weights."""

    @app.post("/weights")
    async def weights(body: WeightsBody) -> dict:
        if under is None:
            raise HTTPException(403, "weights are fixed here; start with --weights-under FOLDER")
        file = (Path(body.folder) / FILE).resolve()
        if not file.is_relative_to(under.resolve()):
            raise HTTPException(403, f"weights must lie under {under}, got {body.folder!r}")

        def change() -> None:
            read_weights(batcher.llm.model, file)
            batcher.llm.version = body.version

        try:
            await batcher.between(change)
        except WeightsError as error:
            raise HTTPException(400, str(error)) from error
        return {"weights_version": batcher.llm.version}


async def _answers(request: Request, batcher: Batcher, question: Question) -> list[Answer]:
    """Wait for the answers, or give up the question when the client is gone."""
    waiting = asyncio.create_task(batcher.answer(question))
    while not (await asyncio.wait([waiting], timeout=GONE_SECONDS))[0]:
        if await request.is_disconnected():
            waiting.cancel()
            raise HTTPException(499, "the client is gone")
    return waiting.result()


def _add_errors(app: FastAPI) -> None:
    """Answer every error as JSON in OpenAI's shape."""

    def invalid(message: str, code: str | None = None, status: int = 400) -> JSONResponse:
        return JSONResponse(wire.error_body(message, "invalid_request_error", code), status)

    @app.exception_handler(RequestValidationError)
    async def _(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return invalid(f"{where}: {first['msg']}" if where else str(first["msg"]))

    @app.exception_handler(PromptError)
    async def _(_: Request, error: PromptError) -> JSONResponse:
        return invalid(str(error), "context_length_exceeded" if "1 to" in str(error) else None)

    @app.exception_handler(ValueError)
    async def _(_: Request, error: ValueError) -> JSONResponse:
        unknown = isinstance(error, UnknownModel)
        return invalid(str(error), "model_not_found" if unknown else None, 404 if unknown else 400)

    @app.exception_handler(HTTPException)
    async def _(_: Request, error: HTTPException) -> JSONResponse:
        return invalid(str(error.detail), None, error.status_code)

    @app.exception_handler(Overloaded)
    async def _(_: Request, error: Overloaded) -> JSONResponse:
        body = wire.error_body(str(error), "overloaded_error", "overloaded")
        return JSONResponse(body, 503, headers={"Retry-After": "1"})

    @app.exception_handler(Exception)
    async def _(_: Request, error: Exception) -> JSONResponse:
        body = wire.error_body(
            f"the model failed ({type(error).__name__}); see the server's log", "server_error"
        )
        return JSONResponse(body, 500)


async def serve(app: FastAPI, bound: socket.socket, announce: Any, lifeline: Any = None) -> None:
    """Serve on a bound socket until a signal comes, or until the `lifeline` file ends."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    if lifeline is not None:

        def watch() -> None:
            lifeline.read()
            server.should_exit = True

        threading.Thread(target=watch, daemon=True).start()
    running = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started and not running.done():
        await asyncio.sleep(0.02)
    if server.started:
        announce()
    await running


def main() -> None:
    """Load a folder and serve it; the arguments are in `--help`."""
    parser = argparse.ArgumentParser(prog="python -m audioforge.policy.server", description=__doc__)
    parser.add_argument(
        "--model", type=Path, required=True, help="folder of a causal language model (safetensors)"
    )
    parser.add_argument("--name", help="model id for clients; the folder's name by default")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="there is no authentication: think before you widen this",
    )
    parser.add_argument("--port", type=int, default=9101, help="0 takes a free one")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for torch's choice")
    parser.add_argument(
        "--waiting", type=int, default=1_024, help="answers that may wait; more get 503"
    )
    parser.add_argument(
        "--weights-under", type=Path, help="a trainer may load weights from below this folder"
    )
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input ends")
    given = parser.parse_args()
    try:
        _run(given)
    except (ModelFolderError, OSError) as error:
        sys.exit(f"error: {error}")


def _run(given: argparse.Namespace) -> None:
    import torch

    if given.threads:
        torch.set_num_threads(given.threads)
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((given.host, given.port))
    host, port = bound.getsockname()[:2]
    llm = LocalLLM(given.model, given.device)
    name = given.name or given.model.resolve().name
    app = create_app(llm, name, given.waiting, given.weights_under)

    def announce() -> None:
        sys.stdout.write(f"http://{host}:{port}/v1\n")
        sys.stdout.flush()

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until uvicorn takes it over
    asyncio.run(serve(app, bound, announce, sys.stdin.buffer if given.lifeline else None))


if __name__ == "__main__":
    main()
