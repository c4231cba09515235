"""Merge: what several trainings of one model have learnt, in one model.

    python -m audioforge.policy.merge --base FOLDER --out FOLDER TRAINED TRAINED ...

Each training moved the weights of the same start; the moves are added (task arithmetic, Ilharco et
al. 2023, arXiv 2212.04089). That keeps both where they hardly touch the same weights, as when one
learnt words and the other settings: then the moves are nearly orthogonal, and trainings that would
undo each other one after the other can also run side by side. How alike they are is printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from audioforge.policy.local_llm import LocalLLM
from audioforge.policy.weights import WeightsError


def merge(base: Path, trained: Sequence[Path], out: Path, weight: float = 1.0) -> float:
    """Write base + weight * sum(trained - base) as a model folder, in float32.

    Args:
        base: the model all trainings began with.
        trained: their models; at least one.
        out: folder of the merged model; it loads as any causal language model does.
        weight: of every move.

    Returns:
        The largest cosine between two moves, -1 to 1; 0 where there is only one. Near 0 they do
        not touch the same weights; near 1 they learnt the same, and their sum goes too far.

    Raises:
        ValueError: nothing to merge.
        WeightsError: a model has other weights than the base, or numbers that are not finite.
    """
    if not trained:
        raise ValueError("nothing to merge: name at least one trained model")
    llm = LocalLLM(base, "cpu")
    start = _weights(llm.model)
    moves = [_move(start, folder) for folder in trained]
    with torch.no_grad():
        for name, tensor in llm.model.float().named_parameters():
            tensor.copy_(start[name] + weight * sum(move[name] for move in moves))
    llm.model.save_pretrained(out, safe_serialization=True)
    llm.tokenizer.save_pretrained(out)
    alike = [_cosine(one, two) for i, one in enumerate(moves) for two in moves[:i]]
    return max(alike, default=0.0)


def _weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().float().clone() for name, tensor in model.named_parameters()}


def _move(start: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """Return how far a training has moved the weights."""
    found = _weights(LocalLLM(folder, "cpu").model)
    odd = sorted(
        name
        for name in {*start, *found}
        if name not in start or name not in found or start[name].shape != found[name].shape
    )
    if odd:
        raise WeightsError(f"{folder}: not a training of the base model, see {odd[:3]}")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in found.values()):
        raise WeightsError(f"{folder}: holds numbers that are not finite")
    return {name: found[name] - tensor for name, tensor in start.items()}


def _cosine(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    flat = [torch.cat([move[name].flatten() for name in sorted(move)]) for move in (one, two)]
    return float(torch.nn.functional.cosine_similarity(*flat, dim=0))


def main() -> None:
    """Merge; the arguments are in `--help`."""
    parser = argparse.ArgumentParser(
        prog="python -m audioforge.policy.merge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trained", type=Path, nargs="+", help="model folders")
    parser.add_argument("--base", type=Path, required=True, help="what all of them began with")
    parser.add_argument("--out", type=Path, required=True, help="folder of the merged model")
    parser.add_argument("--weight", type=float, default=1.0, help="of every move")
    given = parser.parse_args()
    try:
        alike = merge(given.base, given.trained, given.out, given.weight)
    except (WeightsError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    sys.stdout.write(f"model: {given.out}, largest cosine between two moves {alike:.3f}\n")


if __name__ == "__main__":
    main()
