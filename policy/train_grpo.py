"""Train a language model on the groups of an Atropos API: GRPO, resumable.

    run-api --port 8000
    python -m audioforge.policy.server --model FOLDER --port 9101 --weights-under artifacts/grpo
    python audioforge_env.py serve --openai.base_url http://127.0.0.1:9101/v1 \
        --openai.server_type vllm --openai.model_name FOLDER
    python -m audioforge.policy.train_grpo --model FOLDER --server http://127.0.0.1:9101

(`python -m audioforge.policy.learn` starts all four.) Every step takes one batch, learns from it in
`--updates` parts, writes the weights and has the server take them over. A training that was ended
in any way goes on from its checkpoint in `--out`; the finished model is written to `--out`/model.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from audioforge.policy.checkpoints import CheckpointError, restore_checkpoint, save_checkpoint
from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.policy.grpo import BatchError, Objective
from audioforge.policy.learner import Learner, Training, identity
from audioforge.policy.local_llm import LocalLLM, ModelFolderError
from audioforge.policy.training_api import Registration, ServiceError, TrainingApi
from audioforge.policy.weights import write_weights


class Run:
    """A training in its folder: checkpoint.pt, train.jsonl, weights/, model/."""

    def __init__(self, learner: Learner, api: TrainingApi, folder: Path) -> None:
        self.learner, self.api, self.folder = learner, api, folder
        self.step = 0
        self.told = identity(learner)

    def restore(self) -> None:
        """Go on from the checkpoint where there is one.

        Raises:
            CheckpointError: it belongs to another training.
        """
        learner = self.learner
        path = self.folder / "checkpoint.pt"
        self.step = restore_checkpoint(path, learner.model, learner.optimiser, self.told)
        learner.done = self.step * learner.training.updates

    def train(self, servers: Sequence[str], save_every: int, stop: Any) -> None:
        """Take batches and learn until the last step or until `stop` says so."""
        while self.step < self.learner.training.steps and not stop():
            began = time.perf_counter()
            groups = self.api.batch()
            if groups is None:
                break
            waited = time.perf_counter() - began
            try:
                told = self.learner.learn(groups, self.step)
            except BatchError as error:
                sys.stderr.write(f"batch left out: {error}\n")
                continue
            self.step += 1
            self.hand_over(servers)
            self._log(told | {"wait_seconds": waited})
            if self.step % save_every == 0:
                self.save()
        self.save()

    def save(self) -> None:
        """Write a checkpoint."""
        place = {"step": self.step, "told": self.told}
        path = self.folder / "checkpoint.pt"
        save_checkpoint(path, self.learner.model, self.learner.optimiser, place)

    def export(self) -> Path:
        """Write the model as a folder that AutoModelForCausalLM and AutoTokenizer load."""
        from transformers.utils import logging

        logging.disable_progress_bar()
        folder = self.folder / "model"
        self.learner.model.save_pretrained(folder, safe_serialization=True)
        self.learner.llm.tokenizer.save_pretrained(folder)
        return folder

    def hand_over(self, servers: Sequence[str]) -> None:
        """Write the weights of this step, have the servers take them, and drop older ones."""
        if not servers:
            return
        weights = self.folder / "weights"
        folder = weights / f"step-{self.step:06d}"
        write_weights(self.learner.model, folder)
        self.api.push(servers, folder.resolve(), self.step)
        for old in sorted(weights.glob("step-*"))[:-2]:
            for file in old.iterdir():
                file.unlink()
            old.rmdir()

    def _log(self, told: Mapping[str, float]) -> None:
        line = {"step": self.step, "time": time.time(), **told}
        with open(self.folder / "train.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        sys.stdout.write(
            f"step {self.step}/{self.learner.training.steps} reward {told['reward_mean']:.3f} "
            f"kl {told['kl_step']:.4f} waited {told['wait_seconds']:.0f} s\n"
        )
        sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    usual, objective = Training(), Objective()
    parser = argparse.ArgumentParser(
        prog="python -m audioforge.policy.train_grpo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--model", type=Path, default=EMBEDDED_FOLDER, help="folder of a causal language model")
    add("--api", default="http://127.0.0.1:8000", help="of run-api")
    add("--server", action="append", default=[], help="that draws answers; may be given again")
    add("--out", type=Path, default=Path("artifacts/grpo"), help="folder of this training")
    add("--steps", type=int, default=usual.steps)
    add("--batch", type=int, default=usual.batch_size, help="answers per step, whole groups")
    add("--updates", type=int, default=usual.updates, help="optimiser steps per batch")
    add("--rate", type=float, default=usual.rate, help="learning rate")
    add("--anneal", type=float, default=usual.anneal, help="share of steps in which the rate falls")
    add("--clip-low", type=float, default=objective.clip_low)
    add("--clip-high", type=float, default=objective.clip_high)
    add("--kl", type=float, default=objective.kl, help="weight of the divergence from the start")
    add("--hold", type=float, default=objective.hold, help="the same on what does not count")
    add("--scale", action="store_true", help="divide advantages by the spread of their group")
    add("--seed", type=int, default=0)
    add("--max-tokens", type=int, default=1_024, help="sequences must be shorter")
    add("--save-every", type=int, default=10, help="steps between checkpoints")
    add("--patience", type=float, default=600.0, help="seconds a service may be away")
    add("--device", default="auto", help="auto, cpu, cuda")
    add("--threads", type=int, default=0, help="CPU threads, 0 for torch's choice")
    add("--project", default="audioforge", help="of W&B, told to the environment")
    return parser


def main() -> None:
    """Train; the arguments are in `--help`."""
    given = parser().parse_args()
    try:
        _main(given)
    except (ModelFolderError, CheckpointError, ServiceError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def _main(given: argparse.Namespace) -> None:
    if given.threads:
        torch.set_num_threads(given.threads)
    objective = Objective(given.clip_low, given.clip_high, given.kl, given.hold, given.scale)
    training = Training(
        given.steps,
        given.batch,
        given.updates,
        given.rate,
        anneal=given.anneal,
        seed=given.seed,
        objective=objective,
    )
    ended: list[int] = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: ended.append(number))
    given.out.mkdir(parents=True, exist_ok=True)
    api = TrainingApi(given.api, given.patience, lambda: bool(ended))
    run = Run(Learner(LocalLLM(given.model, given.device), training), api, given.out)
    run.restore()
    told = Registration(
        training.batch_size,
        given.max_tokens,
        run.step,
        training.steps,
        given.out.resolve(),
        given.save_every,
        given.project,
    )
    run.hand_over(given.server)  # before the environment may ask the first question
    api.register(told)
    run.train(given.server, given.save_every, lambda: bool(ended))
    if run.step < training.steps:
        sys.exit(f"stopped after step {run.step}: the same command goes on")
    sys.stdout.write(f"model: {run.export()}\n")


if __name__ == "__main__":
    main()
