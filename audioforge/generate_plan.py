"""What `audioforge generate` is to make: options and JSONL lines become requests, checked at once.

A line of a prompts file has `prompt` and, if they are to differ from the options,
`negative_prompt`, `seconds`, `steps`, `cfg_scale`, `sampler`, `temperature`, `top_k`, `top_p`,
`seed` and `n`. Everything wrong in it is said before anything is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audioforge.data import field_rules as rules
from audioforge.data.field_rules import FieldError
from audioforge.data.target_formats import SyntaxProblem, jsonl_entries, read_text
from audioforge.generation.backend import Capabilities, problem_of
from audioforge.generation.request import MAX_PROMPT, MAX_SEED, GenerationRequest

MAX_CLIPS = 100_000
MAX_BYTES = 200_000_000
"""Of a prompts file."""
_TOKEN_FIELDS = ("temperature", "top_k", "top_p")
_RULES: dict[str, rules.Rule] = {
    "prompt": rules.text(MAX_PROMPT),
    "negative_prompt": rules.text(MAX_PROMPT),
    "seconds": rules.number(0.01, 10_000),
    "steps": rules.integer(1, 10_000),
    "cfg_scale": rules.number(0, 1_000),
    "sampler": rules.text(40),
    "temperature": rules.number(0, 10),
    "top_k": rules.integer(0, 1_000_000),
    "top_p": rules.number(0.001, 1),
    "seed": rules.integer(0, MAX_SEED),
    "n": rules.integer(1, MAX_CLIPS),
}


@dataclass(frozen=True)
class Wish:
    """One prompt and how to make it; None takes what the model recommends."""

    prompt: str
    negative_prompt: str = ""
    seconds: float | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    sampler: str | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    """Of the first clip; further ones count up."""
    n: int = 1


def wishes_of(file: Path, usual: Wish) -> list[Wish]:
    """Read a JSONL file of prompts.

    Args:
        file: one JSON object per line.
        usual: the options, for what a line leaves out; a line without a seed counts on from it.

    Raises:
        ValueError: a line is not right; the message names it and the field.
    """
    try:
        entries = list(jsonl_entries(read_text(file, MAX_BYTES)))
    except SyntaxProblem as problem:
        where = f"{file}, line {problem.line}" if problem.line else str(file)
        raise ValueError(f"{where}: must {problem.must}, got {problem.came}") from problem
    wishes, seed = [], usual.seed
    for entry in entries:
        try:
            wish = replace(usual, **{"seed": seed, **_fields(entry.value)})
        except FieldError as error:
            raise ValueError(f"{file}, line {entry.line_of('')}: {error}") from error
        wishes.append(wish)
        seed += wish.n
    if not wishes:
        raise ValueError(f"{file}: must hold a prompt, one JSON object per line; it is empty")
    return wishes


def _fields(value: Any) -> Mapping[str, Any]:
    rules.known_fields(value, tuple(_RULES))
    rules.required(value, "prompt", _RULES["prompt"])
    return {name: _RULES[name](name, given) for name, given in value.items() if given is not None}


def requests_of(wishes: list[Wish], can: Capabilities) -> list[GenerationRequest]:
    """Turn wishes into requests that a model can make, without repeats.

    Raises:
        ValueError: the model cannot make one of them, or there are more than MAX_CLIPS.
    """
    if (count := sum(wish.n for wish in wishes)) > MAX_CLIPS:
        raise ValueError(f"at most {MAX_CLIPS} clips can be made at once, got {count}")
    requests = list(dict.fromkeys(r for wish in wishes for r in _each(wish, can)))
    for request in requests:
        if problem := problem_of(request, can):
            raise ValueError(f"{can.model} cannot make {request.prompt[:60]!r}: {problem}")
    return requests


def _each(wish: Wish, can: Capabilities) -> Iterator[GenerationRequest]:
    best = can.recommended
    drawn = {n: getattr(wish, n) for n in _TOKEN_FIELDS if getattr(wish, n) is not None}
    for take in range(wish.n):
        yield GenerationRequest(
            prompt=wish.prompt,
            negative_prompt=wish.negative_prompt,
            seconds=min(can.max_seconds, 10.0) if wish.seconds is None else wish.seconds,
            steps=best.steps if wish.steps is None else wish.steps,
            cfg_scale=best.cfg_scale if wish.cfg_scale is None else wish.cfg_scale,
            sampler=wish.sampler or best.sampler,
            seed=(wish.seed + take) % (MAX_SEED + 1),
            **drawn,
        )


def file_name(request: GenerationRequest) -> str:
    """Return a name without suffix: words of the prompt, the seed, what tells the rest apart."""
    words = re.sub(r"[^a-z0-9]+", "-", request.prompt.lower())[:40].strip("-") or "clip"
    return f"{words}-s{request.seed}-{request.key[:8]}"
