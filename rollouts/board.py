"""Board: the metrics of a run, to metrics.jsonl always and to a tracker when one works.

A tracker never stops a run and never holds it up: it lives in a thread of its own behind a short
queue. A start that takes longer than START_SECONDS is given up; a window that finds the queue full
is left out there and counted; an error of the tracker's is told once, and then it is left alone.
"""

from __future__ import annotations

import json
import logging
import math
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from audioforge.rollouts.metrics import Evaluations, effects_of, rows, worst_and_best
from audioforge.rollouts.pictures import TRACKED_FOLDER, Effects, drawn_window
from audioforge.rollouts.record import Group
from audioforge.utils.wandb_logger import Tracker, WandbLogger, Window

METRICS_FILE = "metrics.jsonl"
START_SECONDS = 20.0
FINISH_SECONDS = 10.0
MAX_WAITING = 4
"""Windows that may wait for the tracker."""
MEDIA_FIRST, MEDIA_SECONDS = 8, 300.0
"""Sound and pictures are shown with the first few windows, then once in a while: a tracker keeps a
copy of every clip, and a long run must not fill the disk."""
_log = logging.getLogger("audioforge.tracker")


def tracker_of(name: str, folder: Path) -> Tracker | None:
    """Return a tracker by its name: "wandb", "trackio" or "none". Nothing is imported yet.

    Raises:
        ValueError: another name.
    """
    if name == "wandb":
        return WandbLogger(folder)
    if name == "trackio":
        from audioforge.rollouts.trackio_logger import TrackioLogger

        return TrackioLogger(folder)
    if name != "none":
        raise ValueError(f"tracker must be wandb, trackio or none, got {name!r}")
    return None


class Board:
    """Collects a window of metrics and writes it on `log`."""

    def __init__(self, folder: Path, tracker: Tracker | None = None) -> None:
        """Prepare.

        Args:
            folder: the run folder.
            tracker: shows the run besides; None writes the JSONL only.
        """
        self.folder, self.window = folder, Window()
        self.effects, self._evaluations = Effects(), Evaluations(folder)
        self._tracker = tracker
        self._tasks: queue.Queue[Callable[[], None] | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._works = False
        self._left_out = 0
        self._shown, self._shown_at = 0, 0.0

    @property
    def on(self) -> bool:
        """Whether a tracker has been started and still works."""
        return self._works

    def start(
        self,
        config: Mapping[str, Any],
        name: str,
        project: str | None = None,
        group: str | None = None,
    ) -> bool:
        """Start the tracker, if there is one; say whether it runs. Takes START_SECONDS at most.

        Args:
            config: plain types, without secrets.
            name: of the run there.
            project: there, None for its default.
            group: of runs that belong together.
        """
        tracker = self._tracker
        if tracker is None or self._thread is not None:
            return self.on
        begun = threading.Event()
        names = {"name": name, "project": project, "group": group}

        def begin() -> None:
            self._works = True
            try:
                self._guarded(lambda: tracker.start(config, names))
            finally:
                begun.set()

        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)
        self._tasks.put(begin)
        self._thread.start()
        if not begun.wait(START_SECONDS):
            self._give_up(f"it did not start within {START_SECONDS:g} s")
        return self.on

    def log(self, step: int, extra: Mapping[str, Any] | None = None) -> dict[str, float]:
        """Write the window and begin a new one.

        Args:
            step: the trainer's step, or the group's index.
            extra: more metrics; what is not a finite number is left out.

        Returns:
            What was written to metrics.jsonl.

        Raises:
            OSError: the run folder cannot be written.
        """
        window, self.window = self.window, Window()
        told = window.metrics()
        told |= {name: float(value) for name, value in (extra or {}).items() if _is_number(value)}
        if self._left_out:
            told["tracker/windows_left_out"] = float(self._left_out)
        self.folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps(
            {"step": int(step), "time": round(time.time(), 3)} | told, allow_nan=False
        )
        with open(self.folder / METRICS_FILE, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self.on:
            try:
                self._tasks.put_nowait(lambda: self._show(step, told, window))
            except queue.Full:
                self._left_out += 1
        return told

    def show(self, group: Group, most: int) -> None:
        """Keep the first `most` rollouts of a group (all where negative) for tables and plots."""
        if not self.on:
            return
        self.window.rows.extend(rows(group, self.folder, most))
        self.effects.points.extend(effects_of(group))
        if pair := worst_and_best(group, self.folder):
            self.window.pairs.append(pair)

    def compare(self, groups: Sequence[Group]) -> None:
        """Keep an evaluation's clips beside those of the first."""
        if self.on:
            self.window.changes.extend(self._evaluations.compared(groups))

    def finish(self) -> None:
        """Close the tracker, within FINISH_SECONDS."""
        thread, tracker = self._thread, self._tracker
        if thread is None or tracker is None or not self.on:
            return
        until = time.monotonic() + FINISH_SECONDS
        try:
            for task in (lambda: self._guarded(tracker.finish), None):
                self._tasks.put(task, timeout=max(until - time.monotonic(), 0.0))
            thread.join(max(until - time.monotonic(), 0.0))
        except queue.Full:
            pass
        if thread.is_alive():
            self._give_up(f"it did not finish within {FINISH_SECONDS:g} s")
        self._works = False

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

    def _show(self, step: int, told: dict[str, float], window: Window) -> None:
        """Draw and send a window; runs in the tracker's thread."""
        tracker = self._tracker
        if not self._works or tracker is None:
            return
        now = time.monotonic()
        if self._shown >= MEDIA_FIRST and now - self._shown_at < MEDIA_SECONDS:
            bare = Window(window.values, window.drops)
            return self._guarded(lambda: tracker.log(step, told, bare, {}))
        self._shown, self._shown_at = self._shown + 1, now
        folder = self.folder / TRACKED_FOLDER
        self._guarded(lambda: self._show_media(tracker, (step, told, window), folder))

    def _show_media(
        self, tracker: Tracker, told: tuple[int, dict[str, float], Window], folder: Path
    ) -> None:
        step, numbers, window = told
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            drawn = drawn_window(window, Path(place))
            pictures: dict[str, Path] = {}
            if self.effects.points:
                pictures["effects/parameters"] = folder / "parameter_effects.png"
                self.effects.draw(folder / "parameter_effects.png")
            tracker.log(step, numbers, drawn, pictures)

    def _guarded(self, action: Callable[[], Any]) -> None:
        """Run one call to the tracker; after an error it is left alone."""
        try:
            action()
        except (Exception, SystemExit) as error:  # noqa: BLE001  (the border of a service that must not stop a run)
            self._give_up(str(error).splitlines()[0] if str(error) else type(error).__name__)

    def _give_up(self, reason: str) -> None:
        if self._works:
            _log.warning("the tracker is off for the rest of this run: %s", reason)
        self._works = False


def _is_number(value: Any) -> bool:
    """Say whether a value is one finite number, of Python or numpy."""
    try:
        return not isinstance(value, (str, bool)) and math.isfinite(value)
    except TypeError:
        return False
