"""Client: any OpenAI-compatible endpoint as the language model of a run.

`endpoint(...)` gives the callable that rollouts ask. It works with OpenAI, vLLM, SGLang, ollama and
our own server. The key is read from the environment when the call is made and appears nowhere else.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from audioforge.rollouts.collect import Ask, Completion
from audioforge.rollouts.errors import LanguageModelError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

NO_KEY = "none"
"""Sent where the environment has no key: local servers want none, but the header needs a word."""
_MAX_TOLD = 300
"""Characters of a server's own words that go into an error line."""


class EndpointError(LanguageModelError):
    """An endpoint cannot be reached or refuses."""


@dataclass(frozen=True)
class AskSettings:
    """How answers are drawn, and how patient to be."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 512
    """Tokens of one answer."""
    seed: int | None = None
    """With a seed, the k-th call with the same messages gets the same answers again in another run,
    where the server honours seeds."""
    timeout_seconds: float = 120.0
    retries: int = 3
    """Times a call is tried again after a lost connection, 429 or 5xx; the waits grow."""


@dataclass
class _Known:
    """What was learnt about an endpoint, and how often each question was asked."""

    ignores_n: bool = False
    asked: dict[str, int] = field(default_factory=dict)


def endpoint(
    base_url: str,
    model: str,
    api_key_env: str = "OPENAI_API_KEY",
    settings: AskSettings = AskSettings(),
) -> Ask:
    """Return the callable that asks a language model for n answers.

    Args:
        base_url: such as "http://127.0.0.1:9101/v1".
        model: the model's name on that server.
        api_key_env: environment variable that holds the key, if one is needed.
        settings: sampling and patience.

    Raises (when called):
        EndpointError: the server cannot be reached, refuses, or answers with nothing.
    """
    known = _Known()

    async def ask(messages: list[dict[str, str]], n: int) -> list[Completion]:
        import openai

        key = os.environ.get(api_key_env) or NO_KEY
        options: dict[str, Any] = {
            "model": model,
            "messages": messages,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
        }
        seed = _seed(settings.seed, messages, known)
        try:
            async with openai.AsyncOpenAI(
                base_url=base_url,
                api_key=key,
                timeout=settings.timeout_seconds,
                max_retries=settings.retries,
            ) as client:
                choices = await _choices(client, options, n, seed, known)
        except openai.OpenAIError as error:
            raise EndpointError(
                _explain(error, base_url, model, api_key_env).replace(key, "***")
            ) from None
        except (ValueError, AttributeError, TypeError) as error:
            raise EndpointError(
                f"{base_url}: what came is no chat completion ({type(error).__name__}); "
                "check that base_url ends in /v1, or try again later"
            ) from error
        if len(choices) < n:
            raise EndpointError(
                f"{base_url}: {n} answers were asked for, {len(choices)} came; try again later"
            )
        return [
            Completion(str(c.message.content or ""), str(c.finish_reason or "stop"))
            for c in choices[:n]
        ]

    return ask


async def _choices(
    client: AsyncOpenAI, options: dict[str, Any], n: int, seed: int | None, known: _Known
) -> list[Any]:
    """Ask once with n; where the server ignores or refuses n, ask once per answer."""
    import openai

    async def once(count: int, number: int) -> list[Any]:
        own: dict[str, Any] = {} if seed is None else {"seed": seed + number}
        if count > 1:
            own["n"] = count
        return list((await client.chat.completions.create(**options, **own)).choices or [])

    choices: list[Any] = []
    if not known.ignores_n or n == 1:
        try:
            choices = await once(n, 0)
        except openai.BadRequestError:
            if n == 1:
                raise
        if len(choices) >= n:
            return choices
        if n > 1:
            known.ignores_n = True
    more = await asyncio.gather(*(once(1, number) for number in range(len(choices), n)))
    return choices + [choice for single in more for choice in single[:1]]


def _seed(seed: int | None, messages: list[dict[str, str]], known: _Known) -> int | None:
    """Derive a call's seed from the run's seed, the messages, and how often they were asked."""
    if seed is None:
        return None
    text = json.dumps(messages, sort_keys=True)
    place = hashlib.sha256(text.encode()).hexdigest()
    known.asked[place] = known.asked.get(place, 0) + 1
    digest = hashlib.sha256(f"{seed}:{known.asked[place]}:{place}".encode()).digest()
    return (
        int.from_bytes(digest[:4], "big") >> 2
    )  # small enough for every server, with room to add n


def _explain(error: Exception, base_url: str, model: str, api_key_env: str) -> str:
    """Say in one line what went wrong at which URL, and what to do about it."""
    import openai

    if isinstance(error, openai.APITimeoutError):
        return f"{base_url}: no answer in time; raise the timeout or use a smaller model"
    if isinstance(error, openai.APIConnectionError):
        return (
            f"{base_url}: no language model answers there; start the server or correct base_url "
            "(without one the embedded policy is used)"
        )
    if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
        return f"{base_url}: the server refuses the key; set the environment variable {api_key_env}"
    told = " ".join(str(getattr(error, "message", error)).split())[:_MAX_TOLD]
    if isinstance(error, openai.NotFoundError):
        listed = f"{base_url.rstrip('/')}/models"
        return f"{base_url}: no model {model!r} there; {listed} lists what it has ({told})"
    if isinstance(error, openai.RateLimitError):
        return (
            f"{base_url}: the server is at its limit; lower the concurrency or try later ({told})"
        )
    if isinstance(error, openai.InternalServerError):
        return (
            f"{base_url}: the server failed or is overloaded; look at its log or try later ({told})"
        )
    return f"{base_url}: the server refused the call; check model and settings ({told})"
