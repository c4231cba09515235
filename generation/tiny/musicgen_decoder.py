"""Second stage of tiny-musicgen: the decoder over codes and the text encoder, trained together.

Cross-entropy on codes in MusicGen's delay pattern (Copet et al. 2023): codebook k is k steps late.
The words are dropped in a tenth of the rows, for classifier-free guidance. The text encoder, frozen
in MusicGen, is small and ours, so it learns too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from audioforge.generation.tiny.loop import Schedule, run_steps
from audioforge.generation.tiny.musicgen_beat import start_beat
from audioforge.generation.tiny.musicgen_clips import VOICES_OF_TEACHER, Question, words_for
from audioforge.generation.tiny.musicgen_design import CODEBOOK_SIZE, TEMPI, model_config

BATCH = 24
NO_WORDS = 0.1
PEAK = 1.2e-3
"""Highest learning rate."""
WEIGHTS = (1.0, 0.6, 0.4, 0.3)
"""Weight of each codebook in the loss: the first ones hold pitch and place."""
SHARES = {
    "techno": 0.35,
    "house": 0.35,
    "note": 0.06,
    "interval": 0.1,
    "chord": 0.04,
    "bassline": 0.05,
    "arpeggio": 0.05,
}
"""What is learnt, by kind or family, and how much of each; of drums only loops with every beat."""
_TOKEN_STD = 0.4
_TEMPO_WIDTH = 12.0
"""Tempi closer than this, in BPM, start with alike embeddings."""


def build(tokenizer: Any, codes: torch.Tensor, seed: int) -> Any:
    """Return the model before training; it hears the beat of the tempo it is told.

    Args:
        tokenizer: of the captions.
        codes: of some clips, [clips, K, T]; the beat is fitted on what the decoder makes of them.
        seed: of the random weights.
    """
    from transformers import MusicgenForConditionalGeneration

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model: Any = MusicgenForConditionalGeneration(model_config(len(tokenizer)))
        # transformers' 0.02 would drown in the sinusoidal positions, whose size is 1.
        for table in model.decoder.model.decoder.embed_tokens:
            table.weight.normal_(0.0, _TOKEN_STD)
        rows = tokenizer.convert_tokens_to_ids([str(t) for t in TEMPI])
        model.text_encoder.shared.weight[rows] = _tempo_features(model.config.text_encoder.d_model)
    start_beat(model, tokenizer, delayed(codes.long())[0])
    return model


def _tempo_features(width: int) -> torch.Tensor:
    """Return random Fourier features of TEMPI (Rahimi & Recht 2007), shape [tempi, width]."""
    rng = np.random.default_rng(3)
    angles = np.outer(np.array(TEMPI) / _TEMPO_WIDTH, rng.standard_normal(width))
    features = np.sqrt(2) * np.cos(angles + rng.uniform(0, 2 * np.pi, width))
    return torch.from_numpy(features.astype(np.float32))


def delayed(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return decoder inputs and targets, both [B, K, T + K - 1], of codes [B, K, T].

    Places where a codebook has nothing to say hold CODEBOOK_SIZE, the start token, as in generate.
    """
    batch, books, frames = codes.shape
    targets = codes.new_full((batch, books, frames + books - 1), CODEBOOK_SIZE)
    for k in range(books):
        targets[:, k, k : k + frames] = codes[:, k]
    start = targets.new_full((batch, books, 1), CODEBOOK_SIZE)
    return torch.cat([start, targets[:, :, :-1]], dim=2), targets


def code_loss(model: Any, words: Any, codes: torch.Tensor) -> torch.Tensor:
    """Return the weighted cross-entropy of codes [B, K, T] given tokenised words."""
    inputs, targets = delayed(codes)
    batch, books, steps = inputs.shape
    logits = model(
        input_ids=words["input_ids"],
        attention_mask=words["attention_mask"],
        decoder_input_ids=inputs.reshape(batch * books, steps),
    ).logits.view(batch, books, steps, -1)
    losses = [
        weight
        * F.cross_entropy(
            logits[:, k].flatten(0, 1), targets[:, k].flatten(), ignore_index=CODEBOOK_SIZE
        )
        for k, weight in enumerate(WEIGHTS)
    ]
    return torch.stack(losses).sum() / sum(WEIGHTS)


def train(
    model: Any,
    tokenizer: Any,
    codes: torch.Tensor,
    asked: Sequence[Question],
    steps: int,
    path: Path,
) -> None:
    """Train on codes [clips, K, T] of the clips asked; resumes from `path`."""
    model.audio_encoder.requires_grad_(False)
    chances = _chances(asked)
    trained = torch.nn.ModuleList([model.text_encoder, model.decoder, model.enc_to_dec_proj])

    def step_loss(step: int) -> torch.Tensor:
        rng = np.random.default_rng([11, step])
        rows = rng.choice(len(asked), size=BATCH, p=chances)
        texts = [words_for(asked[r], rng) for r in rows]
        words = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        # An empty mask is what generate gives the unguided half.
        words["attention_mask"][torch.from_numpy(rng.random(BATCH) < NO_WORDS)] = 0
        return code_loss(model, words, codes[torch.from_numpy(rows)].long())

    model.train()
    run_steps(trained, step_loss, path, Schedule(steps, PEAK, warmup=150))
    model.eval()


def _chances(asked: Sequence[Question]) -> np.ndarray:
    """Return the probability of drawing each clip."""
    names = [q.voice if q.kind in VOICES_OF_TEACHER else q.kind for q in asked]
    counts = Counter(names)
    weights = np.array([SHARES.get(name, 0.0) / counts[name] for name in names])
    return weights / weights.sum()
