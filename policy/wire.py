"""Wire: the bodies our language-model server reads and writes.

Requests follow OpenAI's chat and text completions and vLLM's plain `/generate`, as Atropos'
ManagedServer calls it. What this server cannot do is refused by name, never ignored: a client that
asks for `top_k` must not believe that it got it. Fields nobody has heard of are ignored, as
OpenAI's clients expect.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from audioforge.policy.drawing import MAX_N, MAX_SEED, Answer, Sampling
from audioforge.policy.local_llm import LocalLLM, PromptError

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "stream": (False,),
    "echo": (False,),
    "top_k": (-1, 0),
    "min_p": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "logit_bias": ({},),
    "ignore_eos": (False,),
    "min_tokens": (0,),
}
"""Fields other servers know, with the values that ask for nothing."""


class _Body(BaseModel):
    """What all requests share."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    n: int | None = Field(None, ge=1, le=MAX_N)
    temperature: float | None = Field(None, ge=0, le=5)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    stop: str | list[str] | None = None

    @model_validator(mode="after")
    def _only_what_we_can(self) -> _Body:
        for name, neutral in _NEUTRAL.items():
            value = (self.model_extra or {}).get(name)
            if value is not None and value not in neutral:
                raise ValueError(f"{name} is not supported by this server; leave it out")
        return self

    def sampling(self) -> Sampling:
        """Return how to draw; what was left out takes the default of Sampling."""
        given: dict[str, Any] = {
            "n": self.n,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_completion_tokens or self.max_tokens,
            "seed": self.seed,
            "stop": ((self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
            if self.stop
            else None,
        }
        return Sampling(**{name: value for name, value in given.items() if value is not None})


class TextPart(BaseModel):
    """A part of a message's content; only text can be read."""

    type: str = Field(pattern="^text$")
    text: str


class Message(BaseModel):
    """One chat message."""

    role: str = Field(pattern="^[a-z_]{1,20}$")
    content: str | list[TextPart]

    def plain(self) -> dict[str, str]:
        """Return the message with its content as one text."""
        text = (
            self.content
            if isinstance(self.content, str)
            else "".join(part.text for part in self.content)
        )
        return {"role": self.role, "content": text}


class ChatBody(_Body):
    """POST /v1/chat/completions."""

    model: str | None = None
    messages: list[Message] = Field(min_length=1, max_length=256)
    logprobs: bool | None = None


class CompletionBody(_Body):
    """POST /v1/completions."""

    model: str | None = None
    prompt: str | list[int]
    logprobs: int | None = Field(
        None, ge=0, le=1, description="log-probabilities of the written tokens"
    )


class WeightsBody(BaseModel):
    """POST /weights: a trainer has new weights."""

    model_config = ConfigDict(extra="forbid")

    folder: str = Field(min_length=1, max_length=1_000, description="holds model.safetensors")
    version: int = Field(ge=0, le=2**53)


class TokensPrompt(BaseModel):
    """A prompt given as token ids."""

    prompt_token_ids: list[int]


class GenerateBody(_Body):
    """POST /generate."""

    prompt: TokensPrompt | str
    logprobs: int | None = Field(
        None, ge=0, le=1, description="log-probabilities of the written tokens"
    )
    prompt_logprobs: int | None = Field(None, ge=0, le=20)


def prompt_ids(prompt: str | list[int] | TokensPrompt, llm: LocalLLM) -> tuple[int, ...]:
    """Return a prompt's token ids; text is tokenised as it stands, without a chat template."""
    if isinstance(prompt, TokensPrompt):
        return tuple(prompt.prompt_token_ids)
    if isinstance(prompt, str):
        return tuple(llm.tokenizer.encode(prompt))
    if not prompt:
        raise PromptError("prompt must not be empty")
    return tuple(prompt)


def chat_reply(
    llm: LocalLLM, model: str, body: ChatBody, prompt: Sequence[int], answers: list[Answer]
) -> dict:
    """Return OpenAI's chat.completion object."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": answer.text, "refusal": None},
            "finish_reason": answer.finish_reason,
            "logprobs": {"content": _chat_logprobs(llm, answer), "refusal": None}
            if body.logprobs
            else None,
        }
        for index, answer in enumerate(answers)
    ]
    return _envelope("chat.completion", (model, llm.version), choices, prompt, answers)


def completion_reply(
    llm: LocalLLM, model: str, body: CompletionBody, prompt: Sequence[int], answers: list[Answer]
) -> dict:
    """Return OpenAI's text_completion object."""
    choices = [
        {
            "index": index,
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "logprobs": None if body.logprobs is None else _text_logprobs(llm, answer),
        }
        for index, answer in enumerate(answers)
    ]
    return _envelope("text_completion", (model, llm.version), choices, prompt, answers)


def generate_reply(
    llm: LocalLLM, body: GenerateBody, prompt: Sequence[int], answers: list[Answer]
) -> dict:
    """Return what vLLM's API server returns, as atroposlib's VLLMServer reads it.

    `logprobs` holds, per answer and token, a list with one `{token id: logprob}`.
    """
    reply: dict[str, Any] = {
        "text": [answer.text for answer in answers],
        "weights_version": llm.version,
        "finish_reasons": [answer.finish_reason for answer in answers],
        "prompt_token_ids": list(prompt),
        "token_ids": [list(answer.token_ids) for answer in answers],
    }
    if body.logprobs is not None:
        reply["logprobs"] = [
            [
                [{str(token): value}]
                for token, value in zip(answer.token_ids, answer.logprobs, strict=True)
            ]
            for answer in answers
        ]
    if body.prompt_logprobs is not None:
        entries = llm.prompt_logprobs(prompt, body.prompt_logprobs)
        reply["prompt_logprobs"] = [
            entry and {str(token): value for token, value in entry.items()} for entry in entries
        ]
    return reply


def error_body(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict:
    """Return an error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_json(*args: Any) -> bytes:
    """Return `error_body` as bytes."""
    return json.dumps(error_body(*args)).encode()


def _envelope(
    kind: str,
    model: tuple[str, int],
    choices: list,
    prompt: Sequence[int],
    answers: list[Answer],
) -> dict:
    """Return what both kinds of reply share; `model` is its name and its weights' version."""
    written = sum(len(answer.token_ids) for answer in answers)
    return {
        "id": f"{'chatcmpl' if kind.startswith('chat') else 'cmpl'}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model[0],
        "system_fingerprint": f"weights-{model[1]}",
        "choices": choices,
        "usage": {
            "prompt_tokens": len(prompt),
            "completion_tokens": written,
            "total_tokens": len(prompt) + written,
        },
    }


def _chat_logprobs(llm: LocalLLM, answer: Answer) -> list[dict]:
    return [
        {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []}
        for text, value in zip(_pieces(llm, answer), answer.logprobs, strict=True)
    ]


def _text_logprobs(llm: LocalLLM, answer: Answer) -> dict:
    pieces = _pieces(llm, answer)
    offsets = [sum(len(p) for p in pieces[:i]) for i in range(len(pieces))]
    return {
        "tokens": pieces,
        "token_logprobs": list(answer.logprobs),
        "top_logprobs": None,
        "text_offset": offsets,
    }


def _pieces(llm: LocalLLM, answer: Answer) -> list[str]:
    return [str(llm.tokenizer.decode([token])) for token in answer.token_ids]
