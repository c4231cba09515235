"""Pictures for a tracker: the spectrogram of a clip, and rewards against what was asked for."""

from __future__ import annotations

import io
import math
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from audioforge.rollouts.report_media import spectrogram_bytes
from audioforge.utils.audio_processing import read_audio
from audioforge.utils.wandb_logger import Pair, Row, Window

MAX_POINTS = 2_048
TRACKED_FOLDER = "tracked"
"""In the run folder; what is drawn and kept for a tracker."""


class Point(NamedTuple):
    """What one clip was asked for, and what it was worth."""

    steps: int
    cfg_scale: float
    sampler: str
    reward: float


@dataclass
class Effects:
    """The latest clips of a run as points, and their plot."""

    points: deque[Point] = field(default_factory=lambda: deque(maxlen=MAX_POINTS))

    def draw(self, path: Path) -> None:
        """Plot rewards against steps, cfg and sampler into a PNG file: points, and means per value.

        Raises:
            OSError: the file cannot be written.
        """
        from matplotlib.figure import Figure  # without pyplot: safe in any thread

        points = list(self.points)
        figure = Figure(figsize=(9.6, 3.2), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        for panel, name in zip(panels, ("steps", "cfg_scale"), strict=False):
            values = [getattr(point, name) for point in points]
            panel.scatter(values, [point.reward for point in points], s=6, alpha=0.35)
            means = _means(
                [(value, point.reward) for value, point in zip(values, points, strict=True)]
            )
            panel.plot([x for x, _ in means], [y for _, y in means], color="black", linewidth=1)
            panel.set_xlabel(name)
        names = sorted({point.sampler for point in points})
        groups = [[p.reward for p in points if p.sampler == name] for name in names]
        panels[2].boxplot(groups, tick_labels=names, showfliers=False)
        panels[2].tick_params(axis="x", labelrotation=30)
        panels[0].set_ylabel("reward")
        panels[0].set_ylim(0, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=100)


def drawn_window(window: Window, place: Path) -> Window:
    """Return a window whose rows have spectrograms, drawn into a folder.

    Args:
        window: as collected.
        place: of the pictures; a row whose sound is gone stays as it is.
    """

    def drawn(row: Row) -> Row:
        if row.audio is None:
            return row
        path = place / f"{row.audio.stem}.png"
        try:
            if not path.is_file():
                with Image.open(io.BytesIO(spectrogram_bytes(read_audio(row.audio)))) as picture:
                    picture.save(path)
        except (OSError, ValueError):  # removed in the meantime
            return row
        return replace(row, picture=path)

    def both(pair: Pair) -> Pair:
        return Pair(drawn(pair.worse), drawn(pair.better))

    return replace(
        window,
        rows=deque(map(drawn, window.rows)),
        pairs=deque(map(both, window.pairs)),
        changes=deque(map(both, window.changes)),
    )


def _means(pairs: list[tuple[float, float]], bins: int = 12) -> list[tuple[float, float]]:
    """Return the mean reward in bins with equally many points, along x."""
    ordered = sorted(pairs)
    size = max(math.ceil(len(ordered) / bins), 1)
    chunks = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [
        (sum(x for x, _ in chunk) / len(chunk), sum(y for _, y in chunk) / len(chunk))
        for chunk in chunks
    ]
