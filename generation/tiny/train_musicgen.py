"""Train tiny-musicgen from nothing: teacher clips, codec, codes, decoder, export.

    python -m audioforge.generation.tiny.train_musicgen --out data/models/tiny-musicgen

Every stage is seeded, checkpointed in the work folder and resumed by running the same command
again; `--only STAGE` runs one of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from audioforge.generation.tiny import musicgen_codec, musicgen_decoder
from audioforge.generation.tiny.loop import Schedule, is_finished, run_stages
from audioforge.generation.tiny.musicgen_clips import (
    FRAMES,
    SECONDS,
    draw,
    draw_loop,
    load_or_render,
    load_or_render_loops,
)
from audioforge.generation.tiny.musicgen_design import CODEBOOK_SIZE, CODEBOOKS, save_tokenizer

SEED = 1
_TEMPERATURE = 0.6
_BEAT_CLIPS = 96
"""Clips whose codes the decoder's starting point is fitted on."""
AUDIOFORGE_CARD = {
    "recommended": {"steps": 1, "cfg_scale": 2.0, "sampler": "sample"},
    "cfg_scale": [1.0, 8.0],
    "window_seconds": SECONDS,
    "max_seconds": 4 * SECONDS,
    "licence": "MIT",
    "note": "Plain words: a note, interval or chord and its instrument (c sharp note, piano; "
    "perfect fifth on a, flute), or a techno or house beat, bass line or arpeggio with its bpm.",
}


@dataclass(frozen=True)
class Run:
    """The stages of one training run over one work folder."""

    work: Path
    count: int
    """Teacher clips of all kinds."""
    loops: int
    """Further drum loops, for the decoder alone: it learns a few by heart and keeps no tempo."""
    steps: dict[str, int]
    """Steps of `autoencoder`, `quantised` and `decoder`."""

    def clips(self) -> np.ndarray:
        """Return the teacher clips, rendering them if they are not cached."""
        return load_or_render(self.work, SEED, self.count)

    def codec(self) -> Any:
        """Train EnCodec, first without codebooks, then with them."""
        model = musicgen_codec.build(SEED)
        path = self.work / "quantised.pt"
        if not path.exists():
            continuous = self.work / "autoencoder.pt"
            musicgen_codec.train_continuous(
                model, self.clips(), self.steps["autoencoder"], continuous, SEED
            )
            musicgen_codec.fit_codebooks(model, self.clips(), SEED)
        musicgen_codec.train_quantised(model, self.clips(), self.steps["quantised"], path, SEED)
        return model.eval()

    def codes(self) -> torch.Tensor:
        """Return the codes of clips, then loops, int16, shape [all, CODEBOOKS, frames]."""
        path = self.work / "codes.pt"
        if not path.exists():
            codec = self._ready_codec()
            sets = (self.clips(), load_or_render_loops(self.work, SEED, self.loops))
            torch.save(torch.cat([musicgen_codec.to_codes(codec, some) for some in sets]), path)
        return torch.load(path, weights_only=True)

    def decoder(self) -> Any:
        """Train decoder and text encoder; return the whole model."""
        tokenizer = save_tokenizer(self.work / "tokenizer")
        codes = self.codes()
        model = musicgen_decoder.build(tokenizer, codes[:_BEAT_CLIPS], SEED)
        asked = [draw(SEED, i) for i in range(self.count)]
        asked += [draw_loop(SEED, i) for i in range(self.loops)]
        path = self.work / "decoder.pt"
        musicgen_decoder.train(model, tokenizer, codes, asked, self.steps["decoder"], path)
        return model

    def export(self, out: Path) -> None:
        """Write the checkpoint in transformers' layout, weights in float16."""
        model = self.decoder()
        model.audio_encoder.load_state_dict(self._ready_codec().state_dict())
        write_checkpoint(model, out)

    def _ready_codec(self) -> Any:
        path = self.work / "quantised.pt"
        if not is_finished(path, Schedule(self.steps["quantised"], 0.0)):
            return self.codec()
        model = musicgen_codec.build(SEED)
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
        return model.eval()


def write_checkpoint(model: Any, out: Path) -> None:
    """Write configurations, card, tokenizer and float16 weights.

    The output layers are scaled up: a request's temperature 1 is 0.6 of what was learnt, as a small
    model's own distribution is too flat to keep a beat. The configuration says float32, which is
    what the weights are to be used in.
    """
    out.mkdir(parents=True, exist_ok=True)
    save_tokenizer(out)
    model.generation_config.update(
        decoder_start_token_id=CODEBOOK_SIZE,
        pad_token_id=CODEBOOK_SIZE,
        bos_token_id=CODEBOOK_SIZE,
        do_sample=True,
        max_new_tokens=FRAMES // model.audio_encoder.config.hop_length + CODEBOOKS - 1,
        top_k=0,
        guidance_scale=AUDIOFORGE_CARD["recommended"]["cfg_scale"],
    )
    weights = {
        name: (weight / (_TEMPERATURE if ".lm_heads." in name else 1.0)).half().contiguous()
        for name, weight in model.state_dict().items()
    }
    model.save_pretrained(out, state_dict=weights)
    card = json.dumps(AUDIOFORGE_CARD, indent=2) + "\n"
    (out / "audioforge.json").write_text(card, encoding="utf-8")


def main(
    out: Annotated[Path, typer.Option(help="folder of the finished model")] = Path(
        "data/models/tiny-musicgen"
    ),
    work: Annotated[Path, typer.Option(help="folder of clips and checkpoints")] = Path(
        "artifacts/tiny-musicgen"
    ),
    clips: Annotated[int, typer.Option(min=8, help="teacher clips")] = 6_000,
    loops: Annotated[int, typer.Option(min=1, help="further drum loops")] = 3_200,
    autoencoder_steps: Annotated[int, typer.Option(min=1)] = 900,
    quantised_steps: Annotated[int, typer.Option(min=1)] = 800,
    decoder_steps: Annotated[int, typer.Option(min=1)] = 3_000,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 1,
    only: Annotated[str, typer.Option(help="one stage: clips, codec, codes, decoder, export")] = "",
) -> None:
    """Train the embedded token model; running it again goes on where it stopped."""
    torch.set_num_threads(threads)
    steps = {
        "autoencoder": autoencoder_steps,
        "quantised": quantised_steps,
        "decoder": decoder_steps,
    }
    run = Run(work, clips, loops, steps)
    stages = {
        "clips": run.clips,
        "codec": run.codec,
        "codes": run.codes,
        "decoder": run.decoder,
        "export": lambda: run.export(out),
    }
    run_stages(stages, only)


if __name__ == "__main__":
    typer.run(main)
