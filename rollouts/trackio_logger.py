"""TrackioLogger: a run's numbers, tables, sound and pictures in trackio, a local tracker.

Everything lies in the run folder and needs no account and no network; to look at it:
`TRACKIO_DIR=<run folder>/trackio trackio show`. Its tables take text and pictures, so the sound of
a row stands beside the table, under the row's number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from audioforge.utils.wandb_logger import MAX_TEXT, Row, Window

PROJECT = "audioforge"
INSTALL = (
    "pip install --no-deps trackio==0.43.0 && "
    "pip install brotli 'gradio-client>=2,<3' orjson python-multipart"
)
"""Without its dependencies, of which it wants a pillow older than ours; with those we lack."""


class TrackioLogger:
    """A tracker on trackio; at most one run per process, for trackio reads its folder once."""

    def __init__(self, folder: Path) -> None:
        """Prepare; the run folder is where all its files go."""
        self.folder = folder
        self._trackio: Any = None

    def start(self, config: Mapping[str, Any], names: Mapping[str, str | None]) -> None:
        """Open a run in the run folder.

        Raises:
            ImportError: trackio is not installed; the message names the command.
        """
        os.environ["TRACKIO_DIR"] = str((self.folder / "trackio").resolve())
        try:
            import trackio  # type: ignore[import-not-found]
        except ImportError as error:
            raise ImportError(f"trackio is not installed: {INSTALL}") from error
        self._trackio = trackio
        trackio.init(
            project=names.get("project") or PROJECT,
            name=names.get("name"),
            group=names.get("group"),
            config=dict(config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(
        self, step: int, numbers: Mapping[str, Any], window: Window, pictures: Mapping[str, Path]
    ) -> None:
        """Show a window."""
        trackio = self._trackio
        told: dict[str, Any] = dict(numbers)
        for name, values in window.values.items():
            told[f"{name}_histogram"] = trackio.Histogram(list(values))
        told |= self._shown("rollouts", [[row] for row in window.rows], ("",))
        told |= self._shown("worst_and_best", window.pairs, ("worst", "best"))
        told |= self._shown("before_and_after", window.changes, ("before", "after"))
        told |= {name: trackio.Image(str(path)) for name, path in pictures.items()}
        trackio.log(told, step=step)

    def finish(self) -> None:
        """Close the run."""
        if self._trackio is not None:
            self._trackio.finish()

    def _shown(
        self, name: str, lines: Iterable[Iterable[Row]], sides: tuple[str, ...]
    ) -> dict[str, Any]:
        """Return a table, and the sound of its lines by number."""
        trackio, table, told = self._trackio, [], {}
        for number, line in enumerate(lines):
            cells: dict[str, Any] = {"number": number}
            for side, row in zip(sides, line, strict=True):
                cells |= {"target": row.target[:MAX_TEXT], "category": row.category}
                cells[f"{side} prompt".strip()] = row.prompt[:MAX_TEXT]
                cells[f"{side} parameters".strip()] = row.parameters[:MAX_TEXT]
                cells[f"{side} reward".strip()] = row.reward
                if row.picture is not None and row.picture.is_file():
                    cells[f"{side} spectrogram".strip()] = trackio.Image(str(row.picture))
                if row.audio is not None and row.audio.is_file():
                    place = f"{name}_audio/{number:02d} {side}".strip()
                    told[place] = trackio.Audio(str(row.audio), caption=row.prompt[:200])
            table.append(cells)
        return {**told, f"{name}/table": trackio.Table(data=table)} if table else {}
