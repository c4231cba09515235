"""Asker: the language model of a training environment, as text and as tokens.

Servers that tell their tokens (vllm, sglang, our own) are asked through the framework's managed
server, so that a trainer gets the very tokens and log-probabilities that were drawn. Others are
asked by `client.endpoint` and tokenised again: good for evaluation, not for training.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from audioforge.policy.client import AskSettings, EndpointError, endpoint
from audioforge.policy.embedded import EMBEDDED_FOLDER, EMBEDDED_MODEL
from audioforge.policy.following import following_ids, gone_on, told_again
from audioforge.policy.patience import patient
from audioforge.rollouts.backoff import Backoff
from audioforge.rollouts.collect import Completion
from audioforge.rollouts.episode import Talk
from audioforge.rollouts.errors import RunError
from audioforge.rollouts.launch import NO_KEYS, cause, one_line
from audioforge.rollouts.outgoing import Encoded, encode_answer
from audioforge.rollouts.record import clip_seed
from audioforge.rollouts.studio import Answer

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


@dataclass
class Asker:
    """Asks the language model of a training environment."""

    manager: Any
    """The framework's servers: `servers`, each with its `config`, and `managed_server()`."""
    tokenizer: Any
    settled: Settled
    settings: AskSettings
    api_key_env: str = "OPENAI_API_KEY"
    max_tokens: int | None = None
    """A whole conversation must be shorter than this; the trainer tells it when it is there."""

    def __post_init__(self) -> None:
        if self.tells_tokens:
            named = Backoff(patience=0, cap=60.0)
            for server in self.manager.servers:
                patient(server, named)

    @property
    def tells_tokens(self) -> bool:
        """Whether tokens and log-probabilities are those that were drawn."""
        return self.settled.servers[0].server_type in TELLING

    async def ask(
        self, messages: list[dict[str, str]], n: int, index: int, split: str = "train"
    ) -> list[Answer]:
        """Ask once for n answers.

        Args:
            messages: what to ask.
            n: how many answers.
            index: of the group; chooses among several servers, and seeds the embedded policy.
            split: "train" or "eval"; the framework counts them apart.

        Raises:
            EndpointError: the model cannot be reached or refuses.
            RunError: the trainer's limit leaves no room for an answer.
        """
        room = self._room(messages)
        if self.tells_tokens:
            return await self._told(messages, n, room, index, split)
        return await self._asked(messages, n, index, room)

    async def _asked(
        self, messages: list[dict[str, str]], n: int, index: int, room: int
    ) -> list[Answer]:
        server = self.settled.servers[index % len(self.settled.servers)]
        settings = AskSettings(self.settings.temperature, max_tokens=room, seed=self.settings.seed)
        answers = await endpoint(server.base_url, server.model_name, self.api_key_env, settings)(
            messages, n
        )
        return [Answer(one, encode_answer(self.tokenizer, messages, one.text)) for one in answers]

    async def _told(
        self, messages: list[dict[str, str]], n: int, room: int, index: int, split: str
    ) -> list[Answer]:
        with self._explained():
            async with self.manager.managed_server(tokenizer=self.tokenizer) as managed:
                said = await managed.chat_completion(
                    messages=messages,
                    n=n,
                    max_tokens=room,
                    temperature=self.settings.temperature,
                    split=split,
                    **self._seed(split, index, 0),
                )
                nodes = managed.get_state()["nodes"]
        return [
            Answer(
                Completion(choice.message.content or "", choice.finish_reason or "stop"),
                Encoded(node.tokens, node.masked_tokens, node.logprobs),
            )
            for choice, node in zip(said.choices, nodes, strict=True)
        ]

    async def follow(self, talk: Talk, split: str = "train") -> Answer | None:
        """Ask for the next answer of one conversation.

        Args:
            talk: the conversation.
            split: "train" or "eval".

        Returns:
            The answer, with the tokens of the whole conversation, or None: there is no room for one
            in the model's context or under the trainer's limit.

        Raises:
            EndpointError: the model cannot be reached or refuses.
        """
        if not self.tells_tokens:
            room = self._left(len(encode_answer(self.tokenizer, talk.messages, "").tokens))
            if room < 1:
                return None
            (answer,) = await self._asked(talk.messages, 1, talk.group, room)
            return answer._replace(encoded=told_again(talk.encoded, answer.encoded))
        before = talk.encoded
        between = following_ids(self.tokenizer, talk.messages, before.tokens[-1])
        room = self._left(len(before.tokens) + len(between))
        if room < 1:
            return None
        seed = self._seed(f"{split} turn {talk.turn}", talk.group, talk.member)
        with self._explained():
            async with self.manager.managed_server(tokenizer=self.tokenizer) as managed:
                _, drawn, logprobs, reasons = await managed.server.tokens_and_logprobs_completion(
                    input_ids=[*before.tokens, *between],
                    n=1,
                    max_tokens=room,
                    temperature=self.settings.temperature,
                    split=split,
                    **seed,
                )
        text = self.tokenizer.decode(drawn[0], skip_special_tokens=True)
        reason = reasons[0]["type"] if isinstance(reasons[0], dict) else reasons[0]
        whole = gone_on(before, between, drawn[0], logprobs[0])
        return Answer(Completion(text, reason or "stop"), whole)

    def _seed(self, split: str, index: int, member: int) -> dict[str, int]:
        """Return the seed of a question to the embedded policy; other servers get none."""
        if not self.settled.embedded:
            return {}
        return {"seed": clip_seed(self.settings.seed or 0, split, index, member)}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from tenacity import RetryError

        try:
            yield
        except RetryError as error:
            url = self.settled.servers[0].base_url
            raise EndpointError(
                f"{url}: the language model gave no tokens: {one_line(cause(error))}"
            ) from error

    def _room(self, messages: list[dict[str, str]]) -> int:
        """Return how many tokens an answer may have."""
        if self.max_tokens is None:
            return self.settings.max_tokens
        asked = len(encode_answer(self.tokenizer, messages, "").tokens)
        room = self.max_tokens - asked - 2
        if room < 1:
            raise RunError(
                f"the trainer takes fewer than {self.max_tokens} tokens, the question alone has "
                f"{asked}; raise the trainer's limit"
            )
        return min(self.settings.max_tokens, room)

    def _left(self, asked: int) -> int:
        """Return how many tokens the next answer of a conversation may have, or less than 1."""
        limits = [self.settings.max_tokens, self.tokenizer.model_max_length - asked]
        if self.max_tokens is not None:
            limits.append(self.max_tokens - asked - 2)
        return min(limits)
