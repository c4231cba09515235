"""The training loop of the embedded models: resumable, seeded per step, safe to interrupt."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeRemainingColumn(),
)


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a cosine to zero."""

    steps: int
    peak: float
    """Highest learning rate."""
    warmup: int = 100

    def at(self, step: int) -> float:
        """Return the learning rate of a step."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.peak * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def run_steps(
    model: torch.nn.Module,
    step_loss: Callable[[int], torch.Tensor],
    path: Path,
    schedule: Schedule,
    *,
    after: Callable[[int], None] = lambda step: None,
    save_every: int = 250,
) -> None:
    """Run AdamW from the checkpoint in `path`, if there is one, to the end of the schedule.

    Args:
        model: what is trained; parameters without requires_grad are left alone.
        step_loss: gives the loss of a step; its randomness must come from the step number.
        path: checkpoint file, written every `save_every` steps and at an interrupt.
        schedule: number of steps and learning rates.
        after: called after each optimiser step.
        save_every: steps between checkpoints.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=schedule.peak, betas=(0.9, 0.98), weight_decay=1e-3)
    start = _restore(model, optimiser, path)
    with Progress(*_COLUMNS, refresh_per_second=0.2) as progress:
        task = progress.add_task(path.stem, total=schedule.steps, completed=start)
        smooth, step = math.nan, start
        try:
            for step in range(start, schedule.steps):
                for group in optimiser.param_groups:
                    group["lr"] = schedule.at(step)
                torch.manual_seed(step)
                loss = step_loss(step)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimiser.step()
                after(step)
                smooth = loss.item() if math.isnan(smooth) else 0.98 * smooth + 0.02 * loss.item()
                progress.update(
                    task, completed=step + 1, description=f"{path.stem} loss {smooth:.4f}"
                )
                if (step + 1) % save_every == 0:
                    _save(model, optimiser, path, step + 1)
                    progress.console.print(f"{path.stem} step {step + 1} loss {smooth:.4f}")
        except KeyboardInterrupt:
            _save(model, optimiser, path, step)
            raise
    _save(model, optimiser, path, max(start, schedule.steps))


def precision(device: str) -> torch.autocast:
    """Return a context that computes in bfloat16 where the hardware does, else in float32.

    A CPU without bfloat16 instructions emulates them, at a tenth of the speed.
    """
    fast = device == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return torch.autocast(device, torch.bfloat16, enabled=fast)


def start_from(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> int:
    """Copy the weights whose name and shape the model shares, in place; return how many values."""
    own = model.state_dict()
    shared = {n: w.float() for n, w in weights.items() if n in own and own[n].shape == w.shape}
    model.load_state_dict(own | shared)
    return sum(w.numel() for w in shared.values())


def is_finished(path: Path, schedule: Schedule) -> bool:
    """Say whether a checkpoint has come to the end of a schedule."""
    return (
        path.exists()
        and torch.load(path, map_location="cpu", weights_only=True)["step"] >= schedule.steps
    )


def run_stages(stages: Mapping[str, Callable[[], object]], only: str = "") -> None:
    """Run all stages of a training script in order, or one.

    Raises:
        typer.BadParameter: there is no stage of that name.
    """
    if only and only not in stages:
        raise typer.BadParameter(f"--only must be one of {list(stages)}, got {only!r}")
    for name in [only] if only else stages:
        stages[name]()


def _save(model: torch.nn.Module, optimiser: torch.optim.Optimizer, path: Path, step: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    torch.save(
        {"step": step, "model": model.state_dict(), "optimiser": optimiser.state_dict()}, partial
    )
    os.replace(partial, path)


def _restore(model: torch.nn.Module, optimiser: torch.optim.Optimizer, path: Path) -> int:
    if not path.exists():
        return 0
    kept = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(kept["model"])
    optimiser.load_state_dict(kept["optimiser"])
    return int(kept["step"])
