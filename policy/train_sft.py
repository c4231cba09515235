"""Train the embedded policy on the action format: supervised, seeded, resumable.

    python -m audioforge.policy.train_sft

Each step has one system message and many lessons below it, so the system message is run once and
shared by the whole batch. Only answers are learnt. A run that is interrupted goes on from its last
checkpoint in `--work`; the finished folder is written to `--out` in half precision.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from audioforge.policy.checkpoints import CheckpointError, restore_checkpoint, save_checkpoint
from audioforge.policy.sft_batches import LessonBatch, Recipe, batch_loss, draw_batch
from audioforge.policy.tokenizer import CONTEXT, build_tokenizer, training_texts

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

FOLDER = Path(__file__).resolve().parents[1] / "data" / "models" / "tiny-policy"


def build_model(recipe: Recipe, tokenizer: Any) -> LlamaForCausalLM:
    """Build the untrained model, with weights from the recipe's seed."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=recipe.hidden,
            intermediate_size=recipe.feed_forward,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    path: Path,
    *,
    save_every: int = 100,
) -> float:
    """Run the recipe from the checkpoint in `path`, if there is one; return the last smoothed loss.

    Raises:
        CheckpointError: the checkpoint belongs to another recipe or tokenizer.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    device = next(model.parameters()).device
    told = _identity(recipe, tokenizer)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.peak, betas=(0.9, 0.98), weight_decay=0.01
    )
    start = restore_checkpoint(path, model, optimiser, told)
    smooth, step = math.nan, start
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, refresh_per_second=0.5) as progress:
        task = progress.add_task("tiny-policy", total=recipe.steps, completed=start)
        try:
            for step in range(start, recipe.steps):
                for group in optimiser.param_groups:
                    group["lr"] = recipe.rate(step)
                drawn = draw_batch(step, recipe, tokenizer)
                batch = LessonBatch(
                    *(t.to(device) for t in (drawn.prefix, drawn.lessons, drawn.labels))
                )
                with _autocast(device):
                    loss = batch_loss(model, batch)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                smooth = loss.item() if math.isnan(smooth) else 0.97 * smooth + 0.03 * loss.item()
                progress.update(
                    task, completed=step + 1, description=f"tiny-policy loss {smooth:.3f}"
                )
                if (step + 1) % save_every == 0:
                    save_checkpoint(path, model, optimiser, {"step": step + 1, "told": told})
                    progress.console.print(f"step {step + 1} loss {smooth:.3f}")
        except KeyboardInterrupt:
            save_checkpoint(path, model, optimiser, {"step": step, "told": told})
            raise
    save_checkpoint(path, model, optimiser, {"step": max(start, recipe.steps), "told": told})
    return smooth


def export(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    sharpen: float = 1.0,
) -> None:
    """Write the folder that AutoModelForCausalLM and AutoTokenizer load, in half precision.

    Args:
        model: as trained; not changed.
        tokenizer: of the model.
        folder: made where it is missing.
        sharpen: the model written at temperature 1 draws as the trained one does at 1 / sharpen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    half = build_model_like(model)
    with torch.no_grad():
        half.model.norm.weight.mul_(sharpen)  # the last factor before the logits
    half.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def build_model_like(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Return a float16 copy on the CPU; the model itself goes on training as it was."""
    copy = type(model)(model.config)
    copy.load_state_dict({k: v.detach().cpu() for k, v in model.state_dict().items()})
    return copy.half().eval()


def _tokenizer(recipe: Recipe, folder: Path) -> PreTrainedTokenizerFast:
    """Train the tokenizer, or read the one an earlier start of this training wrote.

    A checkpoint means nothing with other token ids, and the texts change whenever a target does.
    """
    from transformers import PreTrainedTokenizerFast

    if not (folder / "tokenizer.json").exists():
        build_tokenizer(training_texts(recipe.seed)).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def _autocast(device: torch.device) -> Any:
    return (
        torch.autocast(device.type, torch.bfloat16)
        if device.type == "cuda" or _has_bf16()
        else nullcontext()
    )


def _has_bf16() -> bool:
    flags = Path("/proc/cpuinfo")
    return flags.exists() and "avx512_bf16" in flags.read_text(encoding="utf-8", errors="replace")


def _identity(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> str:
    """Return a text that differs where going on from a checkpoint would mix two trainings.

    The number of steps is not part of it, for a finished training can be made longer, and what is
    done at the export is not either.
    """
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items()))
    kept = {
        name: value for name, value in asdict(recipe).items() if name not in ("steps", "sharpen")
    }
    return json.dumps(kept) + hashlib.sha256(vocabulary.encode()).hexdigest()


def main() -> None:
    """Train and export; the arguments are in `--help`."""
    default = Recipe()
    parser = argparse.ArgumentParser(
        prog="python -m audioforge.policy.train_sft", description=__doc__
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the finished model")
    parser.add_argument(
        "--work", type=Path, default=Path("artifacts/tiny-policy"), help="folder of checkpoints"
    )
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--batch", type=int, default=default.batch, help="lessons per step")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = Recipe(steps=given.steps, batch=given.batch, seed=given.seed)
    tokenizer = _tokenizer(recipe, given.work / f"tokenizer-seed{recipe.seed}")
    model = build_model(recipe, tokenizer).to(given.device)
    try:
        train(model, tokenizer, recipe, given.work / f"seed{recipe.seed}.pt")
    except CheckpointError as error:
        sys.exit(f"error: {error}")
    export(model, tokenizer, given.out, recipe.sharpen)


if __name__ == "__main__":
    main()
