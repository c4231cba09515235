"""Kernel model: regularised least squares on a Gaussian kernel, what realism and kinds are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from audioforge.reward_functions.committed import committed


class Shape(NamedTuple):
    """What is chosen before a model is fitted."""

    width: float
    """Of the kernel, in units of the square root of D."""
    ridge: float
    """Strength of the regularisation, in units of a row's weight."""
    limit: float
    """Standard deviations beyond which a number is as far as it gets."""
    least_spread: float
    """Added to the standard deviations: what hardly varies counts little."""


class KernelModel(NamedTuple):
    """A fitted model of D numbers per row."""

    middle: np.ndarray
    spread: np.ndarray
    """Mean and standard deviation of each number, [D]."""
    centres: np.ndarray
    """Scaled rows the kernel compares with, [centres, D]."""
    coefficients: np.ndarray
    """[centres, outputs]."""
    width: float
    limit: float

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the outputs of rows, [rows, D]: [rows, outputs]."""
        return self._likeness(self._scaled(rows)) @ self.coefficients

    def save(self, path: Path, **more: Any) -> None:
        """Write the model, and what else belongs to it, as an npz file."""
        stored: dict[str, Any] = {k: np.asarray(v) for k, v in (self._asdict() | more).items()}
        np.savez_compressed(path, **stored)

    def _scaled(self, rows: np.ndarray) -> np.ndarray:
        return ((rows - self.middle) / self.spread).clip(-self.limit, self.limit)

    def _likeness(self, scaled: np.ndarray) -> np.ndarray:
        """Compare scaled rows, [rows, D], with the centres: [rows, centres] in [0, 1]."""
        held = self.centres.astype(np.float64)
        apart = (scaled**2).sum(1)[:, None] + (held**2).sum(1) - 2 * scaled @ held.T
        return np.exp(-np.maximum(apart / scaled.shape[1], 0) / self.width**2)


def fit(
    rows: np.ndarray, target: np.ndarray, weight: np.ndarray, chosen: np.ndarray, shape: Shape
) -> KernelModel:
    """Fit weighted least squares.

    Args:
        rows: [rows, D].
        target: [rows, outputs].
        weight: of each row, [rows].
        chosen: indices of the rows that become centres.
        shape: of the model.
    """
    middle, spread = rows.mean(0), rows.std(0) + shape.least_spread
    scaled = ((rows - middle) / spread).clip(-shape.limit, shape.limit)
    draft = KernelModel(
        middle.astype(np.float32),
        spread.astype(np.float32),
        scaled[chosen].astype(np.float16),
        np.zeros((len(chosen), target.shape[1]), np.float32),
        shape.width,
        shape.limit,
    )
    among, within = draft._likeness(scaled), draft._likeness(draft.centres.astype(np.float64))
    weighted = weight[:, None] * among
    found = np.linalg.solve(
        among.T @ weighted + shape.ridge * within + 1e-6 * np.eye(len(within)), weighted.T @ target
    )
    return draft._replace(coefficients=found.astype(np.float32))


def load(name: str, command: str) -> tuple[KernelModel, dict[str, np.ndarray]]:
    """Load a committed model and what else its file holds.

    Raises:
        FileNotFoundError: it is missing; the message names the command that makes it.
    """
    with committed(name, command).open("rb") as file, np.load(file) as stored:
        values = {key: stored[key] for key in stored.files}
    middle, spread, centres, coefficients = (values.pop(key) for key in KernelModel._fields[:4])
    width, limit = (float(values.pop(key)) for key in KernelModel._fields[4:])
    return KernelModel(middle, spread, centres, coefficients, width, limit), values
