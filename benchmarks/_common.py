"""What benchmarks share: options, one JSON object as the last line, real clips, AUC."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

REAL = Path(__file__).parents[2] / "shared" / "real_audio"
"""Where real clips lie, when nothing else is named."""
PACKAGES = ("torch", "transformers", "stable-audio-tools", "numpy", "scipy", "librosa")


class Benchmark:
    """A run of one benchmark: parses the command line, keeps the time, reports at the end.

    Args:
        about: the module's docstring, shown by `--help`.
    """

    def __init__(self, about: str | None) -> None:
        self.parser = argparse.ArgumentParser(
            description=about, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self.parser.add_argument(
            "--quick", action="store_true", help="a smoke test in under a minute"
        )
        self.parser.add_argument("--out", type=Path, help="also write the JSON object to this file")
        self._began = time.perf_counter()

    def options(self) -> argparse.Namespace:
        """Read the command line."""
        self.given = self.parser.parse_args()
        return self.given

    def options_with_real_clips(self) -> argparse.Namespace:
        """Read the command line with `--real`, a folder of real clips with its manifest.json.

        Raises:
            SystemExit: there is none.
        """
        self.parser.add_argument("--real", type=Path, default=REAL, help="clips and manifest.json")
        given = self.options()
        if not (given.real / "manifest.json").is_file():
            sys.stderr.write(
                f"no manifest.json in {given.real}: name a set of real clips with --real\n"
            )
            raise SystemExit(2)
        return given

    def finish(self, numbers: dict[str, Any], device: str = "cpu") -> None:
        """Print the numbers with device, machine, versions, command and seconds as the last line.

        Raises:
            ValueError: a number is not finite.
        """
        told = numbers | {
            "device": device,
            "machine": machine(),
            "versions": versions(),
            "command": " ".join(["python", *sys.argv]),
            "seconds": round(time.perf_counter() - self._began, 1),
        }
        line = json.dumps(tidy(told), allow_nan=False)
        if self.given.out:
            self.given.out.parent.mkdir(parents=True, exist_ok=True)
            self.given.out.write_text(line + "\n", encoding="utf-8")
        sys.stdout.write(line + "\n")


def auc(damaged_ones: np.ndarray, clean_ones: np.ndarray) -> float:
    """Return the chance that a damaged clip has the higher number; ties count half."""
    from scipy.stats import rankdata

    ranks, n = rankdata(np.concatenate([damaged_ones, clean_ones])), len(damaged_ones)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(clean_ones)))


def machine() -> str:
    """Return the processor, as far as the system tells it, and how many cores of it there are."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = named[0] if named else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Return the versions of Python and of those PACKAGES that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def tidy(value: Any) -> Any:
    """Round floats to four significant digits, all the way down."""
    if isinstance(value, dict):
        return {key: tidy(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [tidy(inner) for inner in value]
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.4g}")
    return value
