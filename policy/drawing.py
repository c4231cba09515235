"""Drawing: how answers are asked for, and how their tokens are drawn.

Every answer has its own random numbers, from (seed, answer number), and never from a global
generator. Log-probabilities are the model's own, at temperature 1 and before top_p.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

MAX_N = 64
"""Answers to one question."""
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn."""

    n: int = 1
    temperature: float = 1.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    max_tokens: int = 256
    """Longest answer; less where the context ends first."""
    seed: int | None = None
    """None draws from the operating system."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer; they are not part of its text."""

    def __post_init__(self) -> None:
        _within("n", self.n, 1, MAX_N)
        _within("temperature", self.temperature, 0, 5)
        _within("max_tokens", self.max_tokens, 1, 1_000_000)
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")
        if self.seed is not None:
            _within("seed", self.seed, 0, MAX_SEED)
        if len(self.stop) > 8 or not all(0 < len(text) <= 200 for text in self.stop):
            raise ValueError("stop must be at most 8 texts of 1 to 200 characters")


@dataclass(frozen=True)
class Question:
    """One prompt, as token ids, and how to answer it."""

    prompt: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True)
class Answer:
    """One answer. The end token, where the model wrote it, is the last of the token ids."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural log-probability of each token id, at temperature 1."""
    finish_reason: str
    """"stop", or "length" where it was cut."""


class Reader(Protocol):
    """What a row needs of its model."""

    tokenizer: Any
    ends: frozenset[int]
    context: int


class Row:
    """One answer while it is written."""

    def __init__(self, llm: Reader, question: Question, number: int) -> None:
        self.llm, self.sampling = llm, question.sampling
        self.room = min(question.sampling.max_tokens, llm.context - len(question.prompt))
        seed = secrets.randbits(63) if question.sampling.seed is None else question.sampling.seed
        told = hashlib.sha256(f"{seed}:{number}".encode()).digest()
        own = torch.Generator().manual_seed(int.from_bytes(told[:8], "big") >> 1)
        self.uniforms = torch.rand(self.room, generator=own, dtype=torch.float64)
        self.token_ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish = ""

    def take(self, token: int, logprob: float) -> None:
        """Append a token, unless the answer has ended."""
        if self.finish:
            return
        self.token_ids.append(token)
        self.logprobs.append(logprob)
        if token in self.llm.ends or (
            self.sampling.stop and self._stop_at(self._text()) is not None
        ):
            self.finish = "stop"
        elif len(self.token_ids) >= self.room:
            self.finish = "length"

    def answer(self) -> Answer:
        text = self._text()
        return Answer(
            text[: self._stop_at(text)], tuple(self.token_ids), tuple(self.logprobs), self.finish
        )

    def _text(self) -> str:
        return str(self.llm.tokenizer.decode(self.token_ids, skip_special_tokens=True))

    def _stop_at(self, text: str) -> int | None:
        found = [at for stop in self.sampling.stop if (at := text.find(stop)) >= 0]
        return min(found, default=None)


@dataclass(frozen=True)
class Draw:
    """The random numbers and settings of a batch, one row per answer."""

    uniforms: torch.Tensor
    """Shape [rows, steps], in [0, 1)."""
    temperature: torch.Tensor
    """Shape [rows, 1]."""
    top_p: torch.Tensor
    """Shape [rows, 1]."""

    @staticmethod
    def of(rows: Sequence[Row], device: torch.device) -> Draw:
        uniforms = torch.nn.utils.rnn.pad_sequence([row.uniforms for row in rows], batch_first=True)
        temperature = torch.tensor([[row.sampling.temperature] for row in rows])
        top_p = torch.tensor([[row.sampling.top_p] for row in rows])
        return Draw(uniforms.to(device), temperature.to(device), top_p.to(device))

    def tokens(self, logits: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a token per row by inverting its distribution; also return its raw logprob."""
        raw = torch.log_softmax(logits.float(), -1)
        odds = torch.softmax(raw / self.temperature.clamp(min=1e-6), -1, dtype=torch.float64)
        if bool((self.top_p < 1).any()):
            best, order = odds.sort(-1, descending=True)
            kept = torch.zeros_like(odds, dtype=torch.bool)
            kept.scatter_(-1, order, (best.cumsum(-1) - best < self.top_p) | (self.top_p >= 1))
            odds = odds * kept
        sums = odds.cumsum(-1)
        marks = self.uniforms[:, step, None] * sums[:, -1:]
        drawn = torch.searchsorted(sums, marks, right=True).clamp(max=odds.shape[-1] - 1)
        tokens = torch.where(self.temperature > 0, drawn, raw.argmax(-1, keepdim=True))
        logprobs = raw.gather(-1, tokens)[:, 0]
        if not bool(torch.isfinite(logprobs).all()):
            raise FloatingPointError(
                "the model gave logits that are not finite; its weights are damaged"
            )
        return tokens[:, 0], logprobs


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low:g} to {high:g}, got {value}")
