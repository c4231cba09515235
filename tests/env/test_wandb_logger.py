"""The logger: JSONL always, W&B when it works, and never the end of a run."""

from __future__ import annotations

import json
import logging
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from audioforge.utils.audio_processing import Audio, flac_bytes
from audioforge.utils.wandb_logger import (
    MAX_ROWS,
    MAX_TEXT,
    MAX_VALUES,
    Row,
    WandbLogger,
    Window,
    has_key,
)


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "clip.flac"
    path.write_bytes(flac_bytes(Audio(np.zeros((1, 8_000), np.float32), 8_000)))
    return path


def row(clip=None, prompt="warm pad"):
    return Row("a pad", prompt, "{}", 0.5, clip)


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


def test_metrics_are_written_without_wandb(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import would fail
    board = WandbLogger(tmp_path / "run", wanted=False)
    board.window.add("reward", 0.5)
    board.log(3, {"x": np.float32(2), "words": "left out", "bad": math.nan, "many": [1, 2]})
    board.log(4)
    written = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert written == [{"step": 3, "reward_mean": 0.5, "reward_std": 0.0, "x": 2.0}, {"step": 4}]
    assert not board.on


@pytest.mark.parametrize(
    "error",
    [RuntimeError("no API key configured\nmore"), TimeoutError("unreachable"), OSError(28, "full")],
)
def test_a_start_that_fails_is_told_once_and_stops_nothing(tmp_path, monkeypatch, caplog, error):
    calls = []

    def init(**_):
        calls.append(1)
        raise error

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    board = WandbLogger(tmp_path)
    with caplog.at_level(logging.WARNING, logger="audioforge.wandb"):
        assert not board.start({}, "n")
        assert not board.start({}, "n")
        board.log(0, {"x": 1.0})
        board.finish()
    assert len(calls) == 1
    assert len(caplog.records) == 1
    assert "\n" not in caplog.records[0].message
    assert (tmp_path / "metrics.jsonl").exists()


def test_a_log_that_fails_switches_wandb_off(tmp_path, monkeypatch, caplog):
    class Run:
        def log(self, *_, **__):
            raise ConnectionError("gone")

    monkeypatch.setitem(
        sys.modules,
        "wandb",
        types.SimpleNamespace(init=lambda **_: Run(), Histogram=lambda values: values),
    )
    board = WandbLogger(tmp_path)
    assert board.start({}, "n")
    board.log(0, {"x": 1.0})
    board.log(1, {"x": 1.0})
    assert not board.on
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_offline_everything_lies_in_the_run_folder(tmp_path, monkeypatch, clip):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    board = WandbLogger(tmp_path / "run")
    assert board.start({"seed": 1}, "n", project="p")
    board.window.add("reward", 0.5)
    board.window.rows.extend(
        [row(clip, "x" * (MAX_TEXT + 50)), row(None), row(tmp_path / "removed.flac")]
    )
    board.log(0, board.table())
    board.finish()
    folder = tmp_path / "run"
    assert list(folder.rglob("*.wandb"))
    assert len(list(folder.rglob("media/audio/rollouts/*.flac"))) == 1
    table = json.loads(next(iter(folder.rglob("*.table.json"))).read_text())
    assert [len(line[1]) for line in table["data"]] == [MAX_TEXT, len("warm pad"), len("warm pad")]
    assert not (tmp_path / "home").exists()
    assert not Path("wandb").exists()


def test_there_is_no_table_while_wandb_is_off(tmp_path, clip):
    board = WandbLogger(tmp_path)
    board.window.rows.append(row(clip))
    assert board.table() == {}


def test_a_key_is_seen_but_not_read_out(tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_key()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert has_key() is True
