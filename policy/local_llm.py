"""LocalLLM: any causal language model folder, sampled in batches with token ids and logprobs.

The same question gives the same answers again, whatever is batched with it (up to the rounding of
the batched forward pass; see `drawing`). Log-probabilities are the model's own, at temperature 1
and before top_p, as vLLM reports them by default (`raw_logprobs`) and as a policy gradient needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from audioforge.policy.drawing import MAX_N, Answer, Draw, Question, Row

MAX_ROWS = MAX_N
"""Answers written side by side; more are written in turns."""


class ModelFolderError(ValueError):
    """The folder does not hold a model that can be loaded safely."""


class PromptError(ValueError):
    """The prompt cannot be answered by this model."""


class LocalLLM:
    """A causal language model on this machine.

    Args:
        folder: with config.json, a tokenizer and safetensors weights; no code from it is run.
        device: "auto" (CUDA where there is one), "cpu", "cuda", ...

    Raises:
        ModelFolderError: the folder is missing or is not such a folder.
    """

    def __init__(self, folder: str | Path, device: str = "auto") -> None:
        self.folder = Path(folder)
        _check_folder(self.folder)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self.tokenizer, model = _load(self.folder, self.device)
        self.model: Any = model.to(self.device).eval()
        self.context = int(getattr(model.config, "max_position_embeddings", 2_048))
        """Tokens of prompt and answer together."""
        self.vocabulary = int(model.config.vocab_size)
        self.version = 0
        """Of the weights; a trainer raises it (`weights`)."""
        ends = self.model.generation_config.eos_token_id
        self.ends: frozenset[int] = frozenset(ends if isinstance(ends, list) else [ends]) | {
            self.tokenizer.eos_token_id
        }
        """Token ids that end an answer."""

    def encode_chat(self, messages: Sequence[dict[str, str]]) -> tuple[int, ...]:
        """Tokenise messages with the model's chat template, ready for its answer.

        Raises:
            PromptError: the model has no chat template, or the template refuses the messages.
        """
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True
            )
        except (TemplateError, ValueError) as error:
            raise PromptError(
                f"messages do not fit the chat template of {self.folder.name}: {error}"
            ) from error
        return tuple(self.tokenizer.encode(str(text), add_special_tokens=False))

    def check_prompt(self, prompt: Sequence[int]) -> None:
        """Refuse a prompt that would fail inside a batch and take others with it.

        Raises:
            PromptError: empty, too long for the context, or with ids outside the vocabulary.
        """
        if not 0 < len(prompt) < self.context:
            raise PromptError(
                f"prompt must have 1 to {self.context - 1} tokens, got {len(prompt)}; shorten it"
            )
        if min(prompt) < 0 or max(prompt) >= self.vocabulary:
            raise PromptError(
                f"token ids must be 0 to {self.vocabulary - 1}, got {min(prompt)} to {max(prompt)}"
            )

    @torch.inference_mode()
    def generate(self, questions: Sequence[Question]) -> list[list[Answer]]:
        """Answer every question: a list of `n` answers each, in the order of the questions.

        Raises:
            PromptError: one of the prompts is not acceptable; nothing is generated.
        """
        for question in questions:
            self.check_prompt(question.prompt)
        answers: list[list[Answer]] = []
        turn: list[Question] = []
        for question in questions:
            if turn and sum(a.sampling.n for a in turn) + question.sampling.n > MAX_ROWS:
                answers += self._batch(turn)
                turn = []
            turn.append(question)
        return answers + (self._batch(turn) if turn else [])

    @torch.inference_mode()
    def prompt_logprobs(self, prompt: Sequence[int], top: int = 0) -> list[dict[int, float] | None]:
        """Return, per prompt token, its log-probability and those of the `top` likeliest.

        The first token has nothing before it and gets None. The prompt's own token comes first.
        """
        self.check_prompt(prompt)
        logits = self.model(torch.tensor([list(prompt)], device=self.device)).logits[0, :-1]
        table = torch.log_softmax(logits.float(), -1).cpu()
        entries: list[dict[int, float] | None] = [None]
        for row, token in zip(table, prompt[1:], strict=True):
            best = row.topk(min(top, len(row)))
            likeliest = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            entries.append({token: float(row[token])} | dict(likeliest))
        return entries

    def _batch(self, questions: Sequence[Question]) -> list[list[Answer]]:
        """Read each prompt once, then write all answers side by side, one token a step."""
        longest = max(len(question.prompt) for question in questions)
        ids = torch.zeros(len(questions), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, question in enumerate(questions):
            ids[row, longest - len(question.prompt) :] = torch.tensor(question.prompt)
            mask[row, longest - len(question.prompt) :] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        read = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
        )
        owners = [
            index for index, question in enumerate(questions) for _ in range(question.sampling.n)
        ]
        chosen = torch.tensor(owners, device=self.device)
        memory = read.past_key_values
        memory.batch_select_indices(chosen)
        rows = [
            Row(self, question, number)
            for question in questions
            for number in range(question.sampling.n)
        ]
        draw = Draw.of(rows, self.device)
        logits, mask, position = (read.logits[chosen, -1], mask[chosen], positions[chosen, -1:])
        for step in range(max(row.room for row in rows)):
            tokens, logprobs = draw.tokens(logits, step)
            for row, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist(), strict=True):
                row.take(token, logprob)
            if all(row.finish for row in rows):
                break
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], -1)
            position = position + 1
            wrote = self.model(
                input_ids=tokens[:, None], attention_mask=mask, position_ids=position,
                past_key_values=memory, use_cache=True,
            )  # fmt: skip
            logits = wrote.logits[:, -1]
        answers: list[list[Answer]] = [[] for _ in questions]
        for owner, row in zip(owners, rows, strict=True):
            answers[owner].append(row.answer())
        return answers


def _load(folder: Path, device: torch.device) -> tuple[Any, Any]:
    """Load tokenizer and model, without a progress bar."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    dtype = "auto" if device.type == "cuda" else torch.float32
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        model = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, dtype=dtype, **safe
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelFolderError(
            f"{folder}: cannot be loaded as a causal language model ({error})"
        ) from error
    finally:
        if shown:
            logging.enable_progress_bar()
    return tokenizer, model


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelFolderError(
            f"{folder}: no model there (config.json is missing); give the folder of a causal LM"
        )
    if not any(folder.glob("*.safetensors")):
        raise ModelFolderError(
            f"{folder}: no .safetensors weights; pickled weights are not loaded, convert them"
        )
