"""GRPO with TRL on the embedded models: one step, on a CPU, without a network.

python examples/trl_grpo.py                      needs: pip install "audioforge[trl]"
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from audioforge.adapters.trl_rewards import SoundReward, prompt_dataset
from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.rollouts.desk import Desk
from audioforge.rollouts.settings import EnvSettings


def train(
    settings: dict[str, Any], out: Path, steps: int, answers: int
) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Train tiny-policy; return TRL's log lines and the weights before and after."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    model = AutoModelForCausalLM.from_pretrained(EMBEDDED_FOLDER, dtype=torch.float32)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    desk = Desk(EnvSettings(**settings), policy="tiny-policy", remember=True)
    config = GRPOConfig(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=answers,
        num_generations=answers,
        max_completion_length=96,
        learning_rate=1e-4,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=SoundReward(desk),
        args=config,
        train_dataset=prompt_dataset(desk, max(steps, 2)),
        processing_class=AutoTokenizer.from_pretrained(EMBEDDED_FOLDER),
    )
    trainer.train()
    desk.close()
    return trainer.state.log_history, before, dict(model.named_parameters())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        history, _, _ = train({"model": "tiny-stable-audio"}, Path(folder), steps=1, answers=4)
    for name, value in history[0].items():
        if name.startswith(("reward", "part", "format_rate", "loss", "grad_norm")):
            print(f"{name:40} {value:.4f}")
