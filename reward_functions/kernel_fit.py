"""Kernel fit: regularised least squares on a Gaussian kernel, shared by realism and kinds."""

from __future__ import annotations

import numpy as np


def gaussian(scaled: np.ndarray, centres: np.ndarray, width: float) -> np.ndarray:
    """Return the likeness of rows, [rows, D], to centres, [centres, D]: [rows, centres] in [0, 1].

    Args:
        scaled: in standard deviations.
        centres: the same.
        width: of the kernel, in units of the square root of D.
    """
    held = centres.astype(np.float64)
    apart = (scaled**2).sum(1)[:, None] + (held**2).sum(1) - 2 * scaled @ held.T
    return np.exp(-np.maximum(apart / scaled.shape[1], 0) / width**2)


def least_squares(
    among: np.ndarray, within: np.ndarray, weight: np.ndarray, target: np.ndarray, ridge: float
) -> np.ndarray:
    """Solve for the coefficients of the centres, [centres, outputs].

    Args:
        among: `gaussian` of all rows, [rows, centres].
        within: `gaussian` of the centres, [centres, centres].
        weight: of each row, [rows].
        target: [rows, outputs].
        ridge: strength of the regularisation, in units of a row's weight.
    """
    weighted = weight[:, None] * among
    eye = 1e-6 * np.eye(len(within))
    return np.linalg.solve(among.T @ weighted + ridge * within + eye, weighted.T @ target)
