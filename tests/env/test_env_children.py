"""process as a user runs it: from the shell, killed, interrupted, from a bare checkout."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = [sys.executable, str(ROOT / "audioforge_env.py")]
PATIENCE_S = 400.0
"""For a child to end on a busy machine."""


def until(true, seconds: float = 180.0) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_killed_run_goes_on_without_loss_or_double_work(llm, flags, tmp_path, lines, child):
    llm.delay = 0.3
    words = [*SCRIPT, "process", *flags, "--env.total_steps", "4"]
    rollouts = tmp_path / "run" / "rollouts.jsonl"
    with child(words, tmp_path / "first.log") as process:
        until(lambda: rollouts.exists() and rollouts.stat().st_size)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = [
        line for line in rollouts.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")
    ]
    with child(words, tmp_path / "second.log") as process:
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "second.log").read_text()
    after = rollouts.read_bytes().splitlines(keepends=True)
    whole = len(before) - len(before) % 4
    assert whole >= 4
    assert after[:whole] == before[:whole]
    assert [line["id"] for line in lines(rollouts)] == [
        f"g{g:05d}-r{r}" for g in range(4) for r in range(4)
    ]
    assert (tmp_path / "run" / "report.html").exists()


def policies_of(pid: int) -> set[int]:
    """Process ids of the policy servers that a process has started."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"audioforge.policy.server" in (entry / "cmdline").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def alive(pid: int) -> bool:
    """Whether a process is still there."""
    return Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_without_an_endpoint_the_embedded_policy_answers_and_is_gone_afterwards(
    short_targets, tmp_path, lines, child, monkeypatch
):
    monkeypatch.delenv("WANDB_MODE")
    words = [*SCRIPT, "process", "--env.model", "synth", "--env.total_steps", "1"]
    words += ["--env.targets_file", short_targets]
    started: set[int] = set()
    with child(words, tmp_path / "log") as process:
        until(lambda: started.update(policies_of(process.pid)) or started)
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()
    told = (tmp_path / "log").read_text().splitlines()
    assert told[-1] == "report: artifacts/demo/report.html"
    assert len(told) == 2  # the bar and the report, no warnings
    demo = tmp_path / "artifacts" / "demo"
    assert {"rollouts.jsonl", "report.html", "run.yaml", "audio"} <= {
        p.name for p in demo.iterdir()
    }
    (group,) = lines(demo / "groups.jsonl")
    assert len(group["inference_logprobs"]) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"artifacts", "log"}
    assert not [pid for pid in started if alive(pid)]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_an_interrupt_stops_the_policy_and_says_how_to_go_on(tmp_path, child):
    words = [*SCRIPT, "process", "--env.model", "synth", "--env.total_steps", "200"]
    words += ["--env.use_wandb", "False"]
    rollouts = tmp_path / "artifacts" / "demo" / "rollouts.jsonl"
    with child(words, tmp_path / "log") as process:
        until(lambda: rollouts.exists() and rollouts.stat().st_size)
        started = policies_of(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    told = (tmp_path / "log").read_text()
    assert told.splitlines()[-1] == "audioforge: stopped; the same command goes on where it was"
    assert "Traceback" not in told
    assert started
    assert not [pid for pid in started if alive(pid)]
