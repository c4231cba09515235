"""The board: JSONL always, a tracker when it works, and never the end of a run."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from audioforge.rollouts import board as boards
from audioforge.rollouts.board import Board, tracker_of
from audioforge.rollouts.pictures import Effects, Point
from audioforge.rollouts.trackio_logger import INSTALL
from audioforge.utils.audio_processing import Audio, flac_bytes
from audioforge.utils.wandb_logger import (
    MAX_ROWS,
    MAX_TEXT,
    MAX_VALUES,
    Pair,
    Row,
    WandbLogger,
    Window,
    has_key,
)


@pytest.fixture
def clips(tmp_path) -> list[Path]:
    """Two short sounds that differ."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, hz in enumerate((220.0, 880.0)):
        wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(8_000) / 8_000, dtype=np.float32)
        (folder / f"{number}.flac").write_bytes(flac_bytes(Audio(wave[None], 8_000)))
    return sorted(folder.iterdir())


def row(clip=None, prompt="warm pad", reward=0.5):
    return Row("a pad", prompt, '{"steps": 8}', reward, clip, category="instruments")


def lines_of(folder) -> list[dict]:
    told = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in told:
        assert line.pop("time") > 1e9
    return told


class Scripted:
    """A tracker that does what it is told, and notes what it gets."""

    def __init__(self, start=lambda: None, log=lambda: None, finish=lambda: None):
        self.calls = {"start": start, "log": log, "finish": finish}
        self.seen: list[str] = []
        self.windows: list[Window] = []
        self.pictures: list[dict] = []
        self.threads: set[str] = set()

    def start(self, config, names):
        self.seen.append("start")
        self.calls["start"]()

    def log(self, step, numbers, window, pictures):
        self.seen.append("log")
        self.threads.add(threading.current_thread().name)
        self.windows.append(window)
        self.pictures.append({name: path.is_file() for name, path in pictures.items()})
        self.rows_seen = [r.picture is not None and r.picture.is_file() for r in window.rows]
        self.calls["log"]()

    def finish(self):
        self.seen.append("finish")
        self.calls["finish"]()


def failing(error):
    def fail():
        raise error

    return fail


def test_a_window_tells_mean_spread_and_drops():
    window = Window()
    for value in (0.2, 0.6, None, math.nan):
        window.add("reward", value)
    window.drops["no clip (memory)"] += 2
    assert window.metrics() == pytest.approx(
        {"reward_mean": 0.4, "reward_std": 0.2, "drops/no clip (memory)": 2.0}
    )


def test_a_window_is_bounded():
    window = Window()
    for number in range(MAX_VALUES + 10):
        window.add("reward", number)
        window.rows.append(row())
    assert len(window.values["reward"]) == MAX_VALUES
    assert len(window.rows) == MAX_ROWS


def test_metrics_are_written_without_a_tracker(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import would fail
    board = Board(tmp_path / "run", tracker_of("none", tmp_path))
    assert not board.start({}, "n")
    board.window.add("reward", 0.5)
    board.log(3, {"x": np.float32(2), "words": "left out", "bad": math.nan, "many": [1, 2]})
    board.log(4)
    assert lines_of(tmp_path / "run") == [
        {"step": 3, "reward_mean": 0.5, "reward_std": 0.0, "x": 2.0},
        {"step": 4},
    ]
    assert not board.on


def test_an_unknown_tracker_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="tracker must be wandb, trackio or none, got 'x'"):
        tracker_of("x", tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no API key configured\nmore"),
        TimeoutError("unreachable"),
        OSError(28, "No space left on device"),
        SystemExit(1),
    ],
)
@pytest.mark.parametrize("place", ["start", "log"])
def test_a_tracker_that_fails_is_told_of_once_and_stops_nothing(tmp_path, caplog, error, place):
    tracker = Scripted(**{place: failing(error)})
    board = Board(tmp_path, tracker)
    with caplog.at_level(logging.WARNING, logger="audioforge.tracker"):
        board.start({}, "n")
        board.start({}, "n")
        for step in range(3):
            board.log(step, {"x": 1.0})
        board.finish()
    assert len(caplog.records) == 1
    assert "\n" not in caplog.records[0].message
    assert not board.on
    assert tracker.seen.count("start") == 1
    assert len(lines_of(tmp_path)) == 3


def test_a_start_that_hangs_is_given_up(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(boards, "START_SECONDS", 0.1)
    never = threading.Event()
    board = Board(tmp_path, Scripted(start=lambda: never.wait(30)))
    with caplog.at_level(logging.WARNING, logger="audioforge.tracker"):
        assert not board.start({}, "n")
    board.log(0, {"x": 1.0})
    board.finish()
    never.set()
    assert "did not start within 0.1 s" in caplog.text
    assert len(lines_of(tmp_path)) == 1
    assert boards.START_SECONDS < 20.1


def test_a_tracker_that_is_slow_is_given_less_and_holds_nothing_up(tmp_path, monkeypatch):
    monkeypatch.setattr(boards, "FINISH_SECONDS", 0.2)
    go, entered = threading.Event(), threading.Event()

    def stuck():
        entered.set()
        go.wait(30)

    board = Board(tmp_path, Scripted(log=stuck))
    assert board.start({}, "n")
    board.log(0)
    entered.wait(20)
    for step in range(1, 21):
        board.log(step)
    told = lines_of(tmp_path)
    assert len(told) == 21
    assert told[-1]["tracker/windows_left_out"] == 20 - boards.MAX_WAITING - 1
    board.finish()
    assert not board.on
    go.set()


def test_pictures_are_drawn_in_the_trackers_thread_and_then_removed(tmp_path, clips):
    tracker = Scripted()
    board = Board(tmp_path, tracker)
    board.start({}, "n")
    board.effects.points.extend(
        Point(steps, 1.0 + steps, sampler, steps / 20)
        for steps in (4, 8, 16)
        for sampler in ("euler", "dpmpp-3m-sde")
    )
    board.window.rows.extend([row(clips[0]), row(clips[1]), row(None), row(tmp_path / "gone")])
    board.log(0)
    board.finish()
    assert tracker.seen == ["start", "log", "finish"]
    assert tracker.threads == {"tracker"}
    assert tracker.rows_seen == [True, True, False, False]
    assert tracker.pictures == [{"effects/parameters": True}]
    assert [path.name for path in (tmp_path / "tracked").iterdir()] == ["parameter_effects.png"]


def test_sound_is_shown_with_the_first_windows_and_then_seldom(tmp_path, clips):
    tracker = Scripted()
    board = Board(tmp_path, tracker)
    board.start({}, "n")
    for step in range(boards.MEDIA_FIRST + 3):
        board.window.rows.append(row(clips[0]))
        board.log(step)
        while len(tracker.windows) <= step:
            threading.Event().wait(0.01)
    board.finish()
    assert [len(window.rows) for window in tracker.windows] == [1] * boards.MEDIA_FIRST + [0] * 3


def test_the_effects_of_one_sampler_can_be_drawn(tmp_path):
    effects = Effects()
    effects.points.append(Point(8, 1.0, "euler", 0.5))
    effects.draw(tmp_path / "x" / "plot.png")
    assert (tmp_path / "x" / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_offline_wandb_holds_tables_sound_and_pictures_in_the_run_folder(
    tmp_path, monkeypatch, clips
):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "run"
    board = Board(folder, WandbLogger(folder))
    assert board.start({"seed": 1}, "n", project="p")
    board.window.add("reward", 0.5)
    board.window.rows.extend([row(clips[0], "x" * (MAX_TEXT + 50)), row(None)])
    board.window.pairs.append(Pair(row(clips[0], "dull", 0.1), row(clips[1], "bright", 0.9)))
    board.window.changes.append(Pair(row(clips[0], "then", 0.2), row(clips[1], "now", 0.3)))
    board.effects.points.append(Point(8, 1.0, "euler", 0.5))
    board.log(0, {"y": 2.0})
    board.finish()
    assert not board._left_out
    assert list(folder.rglob("*.wandb"))
    media = folder / "wandb"
    assert len(list(media.rglob("media/audio/rollouts/*.flac"))) == 1
    assert len(list(media.rglob("media/audio/pairs/*.flac"))) == 2
    assert list(media.rglob("media/images/effects/*.png"))
    tables = {
        path.name.split("_0_")[0]: json.loads(path.read_text())
        for path in media.rglob("*.table.json")
    }
    assert set(tables) == {"table", "worst_and_best", "before_and_after"}
    assert [len(line[2]) for line in tables["table"]["data"]] == [MAX_TEXT, len("warm pad")]
    pair = dict(
        zip(tables["worst_and_best"]["columns"], tables["worst_and_best"]["data"][0], strict=True)
    )
    assert (pair["worst prompt"], pair["best prompt"]) == ("dull", "bright")
    assert (pair["worst reward"], pair["best reward"]) == (0.1, 0.9)
    assert {"worst audio", "best audio", "worst spectrogram", "best spectrogram"} <= set(pair)
    assert not (tmp_path / "home").exists()
    assert not Path("wandb").exists()


DEAD_PORT = """
import sys
from pathlib import Path
from audioforge.rollouts import board as boards
from audioforge.utils.wandb_logger import WandbLogger

boards.START_SECONDS = 2.0
board = boards.Board(Path(sys.argv[1]), WandbLogger(Path(sys.argv[1])))
print("on" if board.start({}, "n") else "off")
board.log(0, {"x": 1.0})
board.finish()
"""


def test_a_server_that_is_not_there_holds_neither_a_run_nor_its_end_up(tmp_path, monkeypatch):
    for name, value in {
        "WANDB_MODE": "online",
        "WANDB_API_KEY": "x" * 40,
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }.items():
        monkeypatch.setenv(name, value)
    words = [sys.executable, "-c", DEAD_PORT, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "off"), ended.stderr
    assert len(lines_of(tmp_path)) == 1


def test_trackio_holds_the_same_in_the_run_folder(tmp_path, clips):
    if find_spec("trackio") is None:  # not imported here: it reads its folder when it is
        pytest.skip(INSTALL)
    folder = tmp_path / "run"
    board = Board(folder, tracker_of("trackio", folder))
    assert board.start({"seed": 1}, "n", project="p")
    board.window.add("reward", 0.5)
    board.window.rows.append(row(clips[0]))
    board.window.pairs.append(Pair(row(clips[0], "dull", 0.1), row(clips[1], "bright", 0.9)))
    board.effects.points.append(Point(8, 1.0, "euler", 0.5))
    board.log(0, {"y": 2.0})
    board.finish()
    (base,) = (folder / "trackio").glob("*.db")
    told = "".join(str(line) for line in sqlite3.connect(base).execute("select * from metrics"))
    for word in ("reward_mean", "rollouts/table", "worst_and_best/table", "effects/parameters"):
        assert word in told
    assert len(list((folder / "trackio" / "media").rglob("*.flac"))) == 3
    assert len(list((folder / "trackio" / "media").rglob("*.png"))) >= 3


def test_without_trackio_the_command_that_installs_it_is_told(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "trackio", None)
    board = Board(tmp_path, tracker_of("trackio", tmp_path))
    with caplog.at_level(logging.WARNING, logger="audioforge.tracker"):
        assert not board.start({}, "n")
    assert f"trackio is not installed: {INSTALL}" in caplog.text


def test_a_key_is_seen_but_not_read_out(tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_key()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert has_key() is True
