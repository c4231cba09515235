"""Train tiny-stable-audio from nothing: teacher clips, autoencoder, diffusion, decoder, export.

    python -m audioforge.generation.tiny.train_stable_audio --out data/models/tiny-stable-audio

Every stage is seeded, checkpointed in the work folder and resumed by running the same command
again; `--only STAGE` runs one of them, so that the decoder can be refined while the diffusion model
trains.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from safetensors.torch import load_file, save_file

from audioforge.generation.stable_audio_load import CARD, CONFIG, WEIGHTS
from audioforge.generation.tiny import autoencoder_stage, design, diffusion_stage
from audioforge.generation.tiny.clips import ClipSpec, draw, load_or_render
from audioforge.generation.tiny.loop import Schedule, is_finished, run_stages

SEED = 1
_FEED_FORWARD = ".ff.ff."
_AUTOENCODER = "pretransform.model."
AUDIOFORGE_CARD = {
    "recommended": {"steps": 8, "cfg_scale": 3.0, "sampler": "dpmpp"},
    "steps": [1, 50],
    "cfg_scale": [1.0, 8.0],
    # rk4 is left out: a policy would pay four times for a step
    "samplers": ["euler", "dpmpp", "pingpong"],
    "licence": "MIT",
    "note": "Plain words: kind of sound, tempo in bpm, key, tone. 8 steps suffice; "
    "cfg 2 to 4 follows the words more closely.",
}


class Run:
    """The stages of one training run over one work folder."""

    def __init__(
        self, work: Path, clips: int, steps: dict[str, int], device: str, start: Path | None = None
    ) -> None:
        self.work, self.count, self.steps, self.device = work, clips, steps, device
        self.start = load_file(start / WEIGHTS) if start else {}

    def clips(self) -> np.ndarray:
        """Return the teacher clips, rendering them if they are not cached."""
        return load_or_render(self.work, SEED, self.count)

    def autoencoder(self) -> Any:
        """Train encoder and decoder."""
        return autoencoder_stage.train(self.clips(), self.steps["autoencoder"], self._place())

    def latents(self) -> tuple[torch.Tensor, float]:
        """Return latents of unit variance and the scale that was divided out."""
        path = self.work / "latents.pt"
        if not path.exists():
            made = autoencoder_stage.encode_means(
                self._ready_autoencoder().eval(), self.clips(), self.device
            )
            scale = float(made.std())
            torch.save({"latents": (made / scale).half(), "scale": scale}, path)
        kept = torch.load(path, weights_only=True)
        return kept["latents"].float(), kept["scale"]

    def diffusion(self) -> Any:
        """Train the transformer and the text embeddings."""
        latents, scale = self.latents()
        specs: list[ClipSpec] = [draw(SEED, i) for i in range(len(latents))]
        tokenizer = self.work / design.TOKENIZER_FOLDER
        if not tokenizer.exists():
            design.save_tokenizer(tokenizer)
        model = diffusion_stage.build(str(tokenizer), scale, self.start)
        diffusion_stage.train(
            model, latents, specs, self.work / "diffusion.pt", self.steps["diffusion"], self.device
        )
        return model

    def decoder(self) -> Any:
        """Train the decoder on, with the encoder frozen."""
        model = self._ready_autoencoder()
        if self.steps["decoder"]:
            autoencoder_stage.refine_decoder(
                model, self.clips(), self.steps["decoder"], self._place()
            )
        return model

    def export(self, out: Path) -> None:
        """Write the checkpoint in the hub's layout."""
        model, (_, scale) = self.diffusion(), self.latents()
        model.pretransform.model.load_state_dict(self.decoder().state_dict())
        write_checkpoint(model, scale, self.work / design.TOKENIZER_FOLDER, out)

    def _place(self) -> autoencoder_stage.Place:
        whole = len(_AUTOENCODER)
        start = {n[whole:]: w for n, w in self.start.items() if n.startswith(_AUTOENCODER)}
        return autoencoder_stage.Place(self.work, SEED, self.device, start)

    def _ready_autoencoder(self) -> Any:
        path = self.work / "autoencoder.pt"
        if not is_finished(path, Schedule(self.steps["autoencoder"], 0.0)):
            return self.autoencoder()
        model = autoencoder_stage.build()
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
        return model.to(self.device)


def write_checkpoint(model: Any, scale: float, tokenizer: Path, out: Path) -> None:
    """Write configuration, card, tokenizer and weights.

    Weights are float16, those of the transformer's feed-forward layers float8 (e4m3): that keeps
    the model under 15 MB.
    """
    shutil.copytree(tokenizer, out / design.TOKENIZER_FOLDER, dirs_exist_ok=True)
    config = design.model_config(design.TOKENIZER_FOLDER, scale)
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / CARD).write_text(json.dumps(AUDIOFORGE_CARD, indent=2) + "\n", encoding="utf-8")
    weights = {
        name: weight.detach().cpu().to(torch.float8_e4m3fn if _FEED_FORWARD in name else torch.half)
        for name, weight in model.state_dict().items()
    }
    save_file({name: weight.contiguous() for name, weight in weights.items()}, out / WEIGHTS)


def main(
    out: Annotated[Path, typer.Option(help="folder of the finished model")] = Path(
        "data/models/tiny-stable-audio"
    ),
    work: Annotated[Path, typer.Option(help="folder of clips and checkpoints")] = Path(
        "artifacts/tiny"
    ),
    clips: Annotated[int, typer.Option(min=64, help="teacher clips")] = 6_000,
    autoencoder_steps: Annotated[int, typer.Option(min=1)] = 7_000,
    diffusion_steps: Annotated[int, typer.Option(min=1)] = 4_500,
    decoder_steps: Annotated[int, typer.Option(min=0)] = 1_000,
    start: Annotated[
        Path | None, typer.Option(help="start from the weights of this model folder that fit")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 1,
    only: Annotated[
        str, typer.Option(help="one stage: clips, autoencoder, latents, diffusion, decoder, export")
    ] = "",
) -> None:
    """Train the embedded text-to-audio model; running it again goes on where it stopped."""
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    steps = {
        "autoencoder": autoencoder_steps,
        "diffusion": diffusion_steps,
        "decoder": decoder_steps,
    }
    run = Run(work, clips, steps, device, start)
    stages = {
        "clips": run.clips,
        "autoencoder": run.autoencoder,
        "latents": run.latents,
        "diffusion": run.diffusion,
        "decoder": run.decoder,
        "export": lambda: run.export(out),
    }
    run_stages(stages, only)


if __name__ == "__main__":
    typer.run(main)
