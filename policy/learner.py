"""Learner: one training's model and optimiser, and what a batch of groups does to them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from audioforge.policy.grpo import (
    BatchError,
    GroupBatch,
    Loss,
    Objective,
    answer_distributions,
    drift,
    group_batch,
    group_loss,
    of_answers,
)
from audioforge.policy.local_llm import LocalLLM


@dataclass(frozen=True)
class Training:
    """What a training does; everything that decides its weights, apart from the batches."""

    steps: int = 60
    batch_size: int = 64
    """Answers per step: whole groups of the environment."""
    updates: int = 2
    """Optimiser steps per batch, each on its share of the groups."""
    rate: float = 2e-4
    """Learning rate of AdamW after the warm-up."""
    warmup: int = 4
    """Optimiser steps of linear warm-up."""
    anneal: float = 0.0
    """Share of the steps, the last ones, over which the rate falls linearly towards 0."""
    max_norm: float = 1.0
    """Gradients are scaled down to this norm."""
    seed: int = 0
    """Of the order in which the groups of a batch are learnt."""
    objective: Objective = field(default_factory=Objective)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "updates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must be in (0, 1), got {self.rate}")
        if not 0 <= self.anneal <= 1:
            raise ValueError(f"anneal must be in [0, 1], got {self.anneal}")

    def rate_at(self, step: int, done: int) -> float:
        """Return the learning rate.

        Args:
            step: of the training, from 0.
            done: optimiser steps before this one.
        """
        warm = (done + 1) / max(self.warmup, 1)
        left = (self.steps - step) / (self.anneal * self.steps) if self.anneal else 1.0
        return self.rate * min(1.0, warm, left)


class Learner:
    """A model, its optimiser and, where a divergence counts, the model at the start."""

    def __init__(self, llm: LocalLLM, training: Training) -> None:
        self.llm, self.training = llm, training
        self.model: Any = llm.model.float().requires_grad_(True)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=training.rate, betas=(0.9, 0.99), weight_decay=0.0
        )
        self.start: Any = None
        if training.objective.kl or training.objective.hold:
            self.start = LocalLLM(llm.folder, str(llm.device)).model.float()
        self.done = 0
        """Optimiser steps."""

    def learn(self, groups: Sequence[Mapping[str, Any]], step: int) -> dict[str, float]:
        """Learn from one batch; return what is logged.

        Raises:
            BatchError: a group cannot be learnt from; nothing has been learnt then.
        """
        began = time.perf_counter()
        scale = self.training.objective.scale
        batches = [group_batch(group, scale).to(self.llm.device) for group in groups]
        order = np.random.default_rng([self.training.seed, step]).permutation(len(batches))
        updates = min(self.training.updates, len(batches))
        told = [
            self._update([batches[place] for place in part], step)
            for part in np.array_split(order, updates)
        ]
        scores = [score for group in groups for score in group["scores"]]
        return {
            "reward_mean": float(np.mean(scores)),
            "reward_std": float(np.std(scores)),
            "group_std": float(np.mean([np.std(group["scores"]) for group in groups])),
            "tokens": float(sum(batch.tokens for batch in batches)),
            "learn_seconds": time.perf_counter() - began,
            **{name: float(np.mean([part[name] for part in told])) for name in told[0]},
        }

    def _update(self, batches: Sequence[GroupBatch], step: int) -> dict[str, float]:
        """Take one optimiser step on some groups, one group in memory at a time."""
        tokens = sum(batch.tokens for batch in batches)
        self.optimiser.zero_grad()
        hold = self.training.objective.hold
        parts: list[Loss] = []
        drifted = 0.0
        for batch in batches:
            loss, away = self._loss(batch)
            total = loss.total
            if away is not None:
                total = total + hold * away
                drifted += float(away.detach())
            (total / tokens).backward()
            parts.append(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.training.max_norm)
        rate = self.training.rate_at(step, self.done)
        self.done += 1
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        if not bool(torch.isfinite(norm)):
            raise BatchError("the gradient is not finite; lower the rate")
        self.optimiser.step()
        told = {
            "loss": sum(float(part.total.detach()) for part in parts) / tokens,
            "ratio": sum(part.ratio for part in parts) / tokens,
            "clipped": sum(part.clipped for part in parts) / tokens,
            "kl_step": sum(part.kl for part in parts) / tokens,
            "gradient_norm": float(norm),
            "rate": rate,
        }
        if hold:
            told["drift"] = drifted / max(sum(int(batch.held.sum()) for batch in batches), 1)
        return told

    def _loss(self, batch: GroupBatch) -> tuple[Loss, torch.Tensor | None]:
        """Return the loss of a group and, where they count, how far its held tokens have moved."""
        objective, start = self.training.objective, None
        with self._precision():
            now = answer_distributions(self.model, batch)
            if self.start is not None:
                with torch.no_grad():
                    start = answer_distributions(self.start, batch)
        told = of_answers(now, batch)
        if start is None:
            return group_loss(told, batch, objective), None
        loss = group_loss(told, batch, objective, of_answers(start, batch))
        return loss, drift(now, start, batch) if objective.hold else None

    def _precision(self) -> torch.autocast:
        """Compute in bfloat16 on CUDA, with float32 weights; in float32 on a CPU."""
        on = self.llm.device.type == "cuda"
        return torch.autocast(self.llm.device.type, torch.bfloat16, enabled=on)


def identity(learner: Learner) -> str:
    """Return a text that differs where going on from a checkpoint would mix two trainings.

    The number of steps is not part of it: a finished training can be made longer, unless its rate
    falls towards the last step.
    """
    training = learner.training
    kept = asdict(training) | {"steps": training.steps if training.anneal else None}
    weights = hashlib.sha256()
    for file in sorted(learner.llm.folder.glob("*.safetensors")):
        weights.update(file.read_bytes())
    return json.dumps(kept, sort_keys=True) + weights.hexdigest()
