"""Small MusicGen checkpoints with random weights, in the layout of the hub."""

import json

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    PreTrainedTokenizerFast,
    T5Config,
)

VOCABULARY = 64
WORDS = ["drum", "loop", "a", "soft", "pad", "bright", "bell", "deep", "bass", "rain", "siren"]
POSITIONS = 84
"""Of the decoder: windows of 80 frames, 1.6 s at 50 frames a second."""


def build(channels=1, text_width=32):
    """Return a model whose logits differ enough for tokens to be worth comparing."""
    codec = EncodecConfig(
        sampling_rate=16_000,
        num_filters=8,
        hidden_size=32,
        codebook_size=VOCABULARY,
        codebook_dim=32,
        upsampling_ratios=[8, 5, 4, 2],
        target_bandwidths=[1.2],
        num_lstm_layers=1,
    )
    text = T5Config(vocab_size=64, d_model=text_width, d_kv=8, d_ff=64, num_layers=1, num_heads=2)
    decoder = MusicgenDecoderConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=POSITIONS,
        num_hidden_layers=2,
        hidden_size=32,
        ffn_dim=64,
        num_attention_heads=4,
        num_codebooks=4 * channels,
        audio_channels=channels,
        pad_token_id=VOCABULARY,
        bos_token_id=VOCABULARY,
    )
    config = MusicgenConfig(
        text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict()
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MusicgenForConditionalGeneration(config).eval()
        for weight in model.decoder.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.2)
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()
    chosen = model.generation_config
    chosen.decoder_start_token_id = chosen.pad_token_id = chosen.bos_token_id = VOCABULARY
    return model


def tokenizer():
    """Return a tokenizer of WORDS."""
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def write(folder, channels=1, card=None, **changes):
    """Save a checkpoint to a folder and return the folder."""
    build(channels, **changes).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    if card is not None:
        (folder / "audioforge.json").write_text(json.dumps(card))
    return folder
