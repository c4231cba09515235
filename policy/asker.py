"""Asker: the language model of a training environment, as text and as tokens.

Servers that tell their tokens (vllm, sglang, our own) are asked through the framework's managed
server, so that a trainer gets the very tokens and log-probabilities that were drawn. Others are
asked by `client.endpoint` and tokenised again: good for evaluation, not for training.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from audioforge.policy.client import AskSettings, EndpointError, endpoint
from audioforge.policy.credit import credited
from audioforge.policy.following import following_ids, gone_on, told_again
from audioforge.policy.patience import patient
from audioforge.policy.servers import TELLING, Settled
from audioforge.rollouts.action import Decides
from audioforge.rollouts.backoff import Backoff
from audioforge.rollouts.collect import Completion
from audioforge.rollouts.episode import Talk
from audioforge.rollouts.errors import RunError
from audioforge.rollouts.launch import cause, one_line
from audioforge.rollouts.outgoing import MASKED, Encoded, encode_answer
from audioforge.rollouts.record import clip_seed
from audioforge.rollouts.studio import Answer

_log = logging.getLogger("audioforge.asker")


@dataclass
class Asker:
    """Asks the language model of a training environment."""

    manager: Any
    """The framework's servers: `servers`, each with its `config`, and `managed_server()`."""
    tokenizer: Any
    settled: Settled
    settings: AskSettings
    api_key_env: str = "OPENAI_API_KEY"
    decides: Decides = "both"
    """What of an answer counts; the rest of it is not trained on."""
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

    def warn_a_trainer(self) -> None:
        """Log it where no training is possible."""
        if not self.tells_tokens:
            _log.warning("server_type openai tells no tokens: use vllm or sglang for training")

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
        return [
            Answer(one, self._credited(encode_answer(self.tokenizer, messages, one.text)))
            for one in answers
        ]

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
                self._credited(Encoded(node.tokens, node.masked_tokens, node.logprobs)),
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
        counts = credited(whole, len(drawn[0]), self.tokenizer, self.decides)
        return Answer(Completion(text, reason or "stop"), counts)

    def _credited(self, encoded: Encoded) -> Encoded:
        """Mask what does not count of a conversation's only unmasked answer."""
        drawn = sum(mask != MASKED for mask in encoded.masks)
        return credited(encoded, drawn, self.tokenizer, self.decides)

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
