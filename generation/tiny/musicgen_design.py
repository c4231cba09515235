"""Design of tiny-musicgen: configurations, tokenizer, and text embeddings that know their tempo.

All three parts are transformers' own classes, so that any loader of MusicGen checkpoints serves it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from audioforge.data.brief import NOTES
from audioforge.data.families import FAMILIES, in_category
from audioforge.generation.tiny import musicgen_clips as mc
from audioforge.generation.tiny.clips import SAMPLE_RATE

CODEBOOKS, CODEBOOK_SIZE = 4, 512
RATIOS = (10, 8, 8)
"""Strides of the codec, decoder order: 640 samples, 25 frames a second, four tokens each."""
LATENT = 128
WIDTH = 256
TEXT_WIDTH = 128
TEMPI = range(40, 241)
MAX_WORDS = 16


def codec_config() -> Any:
    """Return the EnCodec configuration: 16 kHz mono, 900 bit/s, not causal."""
    from transformers import EncodecConfig

    return EncodecConfig(
        sampling_rate=SAMPLE_RATE,
        audio_channels=1,
        normalize=False,
        num_filters=16,
        hidden_size=LATENT,
        upsampling_ratios=list(RATIOS),
        num_lstm_layers=1,
        use_causal_conv=False,
        codebook_size=CODEBOOK_SIZE,
        # transformers counts codebooks at 10 bits each: 1 kbit/s at 25 Hz makes 4.
        target_bandwidths=[1.0],
    )


def model_config(words: int) -> Any:
    """Return the configuration of the whole model for a tokenizer of so many words."""
    from transformers import MusicgenConfig, MusicgenDecoderConfig, T5Config

    text = T5Config(
        vocab_size=words,
        d_model=TEXT_WIDTH,
        d_kv=32,
        d_ff=256,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        pad_token_id=0,
    )
    decoder = MusicgenDecoderConfig(
        vocab_size=CODEBOOK_SIZE,
        hidden_size=WIDTH,
        num_hidden_layers=4,
        ffn_dim=640,
        num_attention_heads=4,
        num_codebooks=CODEBOOKS,
        dropout=0.0,
        initializer_factor=0.05,
        pad_token_id=CODEBOOK_SIZE,
        bos_token_id=CODEBOOK_SIZE,
    )
    return MusicgenConfig(
        text_encoder=text.to_dict(),
        audio_encoder=codec_config().to_dict(),
        decoder=decoder.to_dict(),
        initializer_factor=0.05,
    )


def words() -> list[str]:
    """Return the vocabulary: every caption's words, one word per note and per tempo."""
    texts = [template for group in mc.TEMPLATES.values() for template in group]
    texts += [*mc.VOICES, *mc.INTERVALS, *mc.CHORDS, *mc.LEVELS.values()]
    families = [*in_category("drums"), *(FAMILIES[name] for name in mc.PHRASES)]
    texts += [word for family in families for word in family.words]
    plain = re.sub(r"\{\w+\}", " ", " ".join(texts).lower())
    notes = [note.lower().replace("#", "sharp") for note in NOTES]
    return [
        "[PAD]",
        "[UNK]",
        *notes,
        *(str(t) for t in TEMPI),
        *sorted(set(re.findall("[a-z0-9]+", plain)) - set(notes)),
    ]


def save_tokenizer(folder: Path) -> Any:
    """Write the word-level tokenizer and return it; "c#", "c sharp" and "d flat" are one token."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(words())}, unk_token="[UNK]")
    )
    spellings = [
        normalizers.Replace(Regex(rf"\b{letter}({ending})"), f"{note}sharp ")
        for letters, ending in (("acdfg", " ?#|[ -]?sharp\\b"), ("bdega", "[ -]?flat\\b"))
        for letter, note in zip(letters, "acdfg", strict=True)
    ]
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), *spellings, normalizers.Replace(Regex("[^a-z0-9]"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=MAX_WORDS
    )
    wrapped.save_pretrained(folder)
    return wrapped
