"""The embedded policy's tokenizer: byte-level BPE trained on its messages and answers.

Numbers are one token wherever they stand, so that a tempo can be copied from a description into a
prompt. There is no BOS token, and nothing is added to a text that the chat template did not write:
what a client tokenises is what the server reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from audioforge.data.families import FAMILIES
from audioforge.policy.sft_texts import draw_capabilities, draw_lesson, system_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, END = "<|pad|>", "<|end|>"
SPECIALS = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
VOCABULARY = 1_536
CONTEXT = 1_024
"""Tokens the model was built for."""


def training_texts(seed: int, lessons: int = 4_000) -> Iterator[str]:
    """Yield texts like those the policy will meet, and every number it may have to copy."""
    rng = np.random.default_rng([seed, 0xB9E])
    for index in range(lessons):
        capabilities, template = draw_capabilities(rng)
        lesson = draw_lesson(rng, capabilities, template)
        yield from (lesson.user, lesson.answer)
        if index % 10 == 0:
            yield system_text(capabilities, template)
    words = [word for family in FAMILIES.values() for word in family.words]
    for _ in range(40):
        yield from (
            " ".join(str(n) for n in range(start, start + 20)) for start in range(0, 200, 20)
        )
        yield from (f"{word} {word.capitalize()}" for word in words)


def build_tokenizer(texts: Iterator[str], vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer with the chat template; any text round-trips."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            special_tokens=list(SPECIALS),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(SPECIALS[2:]),
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
