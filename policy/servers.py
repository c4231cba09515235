"""Servers: which language-model servers a training environment asks, settled before it starts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from audioforge.policy.client import EndpointError
from audioforge.policy.embedded import EMBEDDED_FOLDER, EMBEDDED_MODEL, embedded_policy
from audioforge.rollouts.launch import NO_KEYS

NOT_YET = "http://127.0.0.1:0/v1"
"""Stands for the embedded policy's URL until it runs."""
TELLING = ("vllm", "sglang")
"""Kinds of server that tell their tokens."""


class ServerSettings(Protocol):
    """What the framework's server settings hold."""

    model_name: str
    base_url: str | None
    api_key: str | None
    server_type: Any
    tokenizer_name: str

    def model_copy(self) -> ServerSettings:
        """Return a copy."""
        ...


class Settled(NamedTuple):
    """Servers that are ready to be asked."""

    servers: list[Any]
    embedded: bool
    """Whether it is the policy that ships with the code; it is still to be started."""
    tokenizer: str
    """Folder or hub id of the tokenizer."""


def settle(servers: Sequence[ServerSettings], tokenizer: str, api_key_env: str) -> Settled:
    """Fill in what depends on the endpoint: kind, tokenizer and key.

    Args:
        servers: as configured; not changed, for they get printed and must not hold a key.
        tokenizer: asked for; empty is the served model's if tokens are told, else the embedded one.
        api_key_env: environment variable that holds the key.

    Raises:
        ValueError: settings that do not go together, a key among them, or missing weights.
    """
    first, embedded = servers[0], not servers[0].base_url
    if embedded and (len(servers) > 1 or first.model_name != EMBEDDED_MODEL):
        raise ValueError(
            "--openai.model_name needs --openai.base_url, such as http://127.0.0.1:9101/v1"
        )
    if any(server.api_key not in NO_KEYS for server in servers):
        raise ValueError(
            f"keys come from the environment only: set {api_key_env}, not openai.api_key"
        )
    kinds = {"vllm"} if embedded else {str(server.server_type) for server in servers}
    if len(kinds) > 1 or not kinds <= {"openai", *TELLING}:
        raise ValueError(
            f"openai.server_type must be openai, vllm or sglang, one for all, got {sorted(kinds)}"
        )
    kind = next(iter(kinds))
    served = first.model_name if first.tokenizer_name == "none" else first.tokenizer_name
    here = str(EMBEDDED_FOLDER)
    tokenizer = tokenizer or (served if kind in TELLING and not embedded else here)
    if (embedded or tokenizer == here) and not EMBEDDED_FOLDER.is_dir():
        raise ValueError(
            f"the embedded policy is missing at {here}: train it with `python -m "
            "audioforge.policy.train_sft`, or name an endpoint (--openai.base_url, "
            "--openai.model_name) and a tokenizer (--env.tokenizer_name)"
        )
    copies = [server.model_copy() for server in servers]
    for server in copies:
        server.server_type, server.tokenizer_name = kind, tokenizer
        server.api_key = "x" if embedded else os.environ.get(api_key_env) or "x"
        server.base_url = server.base_url or NOT_YET
    return Settled(copies, embedded, tokenizer)


async def begin(settled: Settled, resources: ExitStack, *, wait: bool) -> None:
    """Start the embedded policy, or find out early whether the endpoint is there.

    Args:
        settled: the servers; an embedded one learns its URL.
        resources: ends the embedded policy.
        wait: whether an endpoint may come later.

    Raises:
        EndpointError: nothing listens there.
    """
    server = settled.servers[0]
    if settled.embedded:
        server.base_url = resources.enter_context(embedded_policy())
    elif not wait:
        await reach(server.base_url)


async def reach(base_url: str, seconds: float = 5.0) -> None:
    """Find out early whether anything listens at a URL.

    Raises:
        EndpointError: nothing does within `seconds`, or it is no URL.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EndpointError(f"base_url must look like http://127.0.0.1:9101/v1, got {base_url!r}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, port), seconds)
        writer.close()
    except (TimeoutError, OSError) as error:
        raise EndpointError(
            f"{base_url}: no language model answers there; start the server or correct base_url "
            "(without one the embedded policy is used)"
        ) from error
