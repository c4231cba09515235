"""A whole run: planned, resumed after kill -9 and Ctrl-C with nothing lost or doubled, reported."""

import io
import random
import runpy
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from audioforge.generation.request import Failure
from audioforge.generation.synth_backend import SynthBackend
from audioforge.reward_functions.combined_reward import RewardConfig
from audioforge.rollouts import run as run_module
from audioforge.rollouts.errors import ChangedConfigError, RunError, StoreError
from audioforge.rollouts.replay import replay
from audioforge.rollouts.run import RunConfig, plan_targets, run_rollouts
from audioforge.rollouts.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("run_in_child.py")
GROUPS = 14
_child = runpy.run_path(str(CHILD))
ask, config = _child["ask"], _child["config"]


def start_child(folder: Path, groups: int = GROUPS) -> subprocess.Popen:
    command = [sys.executable, str(CHILD), str(folder), str(groups)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_lines(folder: Path, count: int, child: subprocess.Popen) -> None:
    lines = folder / "rollouts.jsonl"
    until = time.monotonic() + 60
    while not (lines.exists() and lines.read_bytes().count(b"\n") >= count):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


def essence(folder: Path) -> list[tuple]:
    """What a run is, apart from clock readings."""
    return [
        (r.id, r.text, r.request, r.clip.sha256)
        for group in RunStore(folder).groups()
        for r in group
    ]


def test_a_run_killed_at_random_moments_is_in_the_end_the_run_that_was_never_killed(tmp_path):
    rng = random.Random(1)
    killed, folder = 0, tmp_path / "killed"
    for _ in range(5):
        child = start_child(folder)
        before = len(RunStore(folder).done()) if folder.exists() else 0
        wait_for_lines(folder, min(2 * before + 2, 2 * GROUPS - 2), child)
        time.sleep(rng.uniform(0, 0.3))
        child.kill()
        killed += child.wait() == -signal.SIGKILL
        child.communicate()
    assert killed >= 3
    summary = run_rollouts(config(folder, GROUPS), ask)
    assert (summary.done, summary.planned, summary.interrupted) == (GROUPS, GROUPS, False)
    whole = run_rollouts(config(tmp_path / "whole", GROUPS), ask)
    assert essence(folder) == essence(tmp_path / "whole")
    ids = [r.id for group in RunStore(folder).groups() for r in group]
    assert ids == [f"g{g:05d}-r{i}" for g in range(GROUPS) for i in range(2)]
    assert len((folder / "rollouts.jsonl").read_bytes().splitlines()) == len(ids)
    assert whole.mean_reward == pytest.approx(summary.mean_reward, abs=0.02)
    assert all(one.same for one in replay(folder, backend=SynthBackend()))


def test_ctrl_c_keeps_every_finished_group_and_says_how_to_go_on(tmp_path):
    groups = 40
    child = start_child(tmp_path, groups)
    wait_for_lines(tmp_path, 2, child)
    child.send_signal(signal.SIGINT)
    said, complaints = child.communicate(timeout=60)
    assert child.returncode == 0, complaints
    done = RunStore(tmp_path).done()
    assert f"stopped after {len(done)} of {groups} groups" in said
    assert "run the same command again to go on" in said
    assert 1 <= len(done) < groups
    assert run_rollouts(config(tmp_path, groups), ask).made_now == groups - len(done)


def test_a_finished_run_makes_nothing_again_and_writes_its_report_again(tmp_path):
    asked = []

    async def counting(messages, n):
        asked.append(n)
        return await ask(messages, n)

    first = run_rollouts(config(tmp_path, 2), counting)
    first.report.unlink()
    again = run_rollouts(config(tmp_path, 2), counting)
    assert asked == [2, 2]
    assert (first.made_now, again.made_now) == (2, 0)
    assert again.report.is_file()
    assert "2 of 2 groups, 4 rollouts, mean reward" in again.line()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 4),
        ("group_size", 3),
        ("groups", 3),
        ("policy", "other"),
        ("targets", "train"),
        ("reward", RewardConfig(weights={"audio_quality": 1.0})),
    ],
)
def test_a_run_is_not_continued_with_another_config(tmp_path, field, value):
    run_rollouts(config(tmp_path, 1), ask)
    with pytest.raises(ChangedConfigError, match=f"with {field} = "):
        run_rollouts(replace(config(tmp_path, 1), **{field: value}), ask)


def test_a_run_is_not_continued_with_other_weights(tmp_path, monkeypatch):
    run_rollouts(config(tmp_path, 1), ask)
    monkeypatch.setattr(SynthBackend, "weights_sha256", "synth-2")
    with pytest.raises(ChangedConfigError, match="weights_sha256 = 'synth-1', now it is 'synth-2'"):
        run_rollouts(config(tmp_path, 1), ask)


def test_a_run_in_which_everything_fails_stops_and_says_why(tmp_path, monkeypatch):
    class Failing(SynthBackend):
        def generate(self, requests):
            return [Failure(request, "memory", "no memory for one clip") for request in requests]

    monkeypatch.setattr(run_module, "load_backend", lambda *_: Failing())
    with pytest.raises(RunError, match=r"3 groups in a row was dropped.*no memory for one clip"):
        run_rollouts(config(tmp_path, 9), ask)
    assert RunStore(tmp_path).done() == {0, 1, 2}


def test_an_error_of_the_language_model_keeps_the_finished_groups(tmp_path):
    calls = []

    async def failing(messages, n):
        calls.append(n)
        if len(calls) == 3:
            raise ConnectionError("the endpoint is gone")
        return await ask(messages, n)

    with pytest.raises(ConnectionError):
        run_rollouts(config(tmp_path, 4), failing)
    assert RunStore(tmp_path).done() == {0, 1}
    assert run_rollouts(config(tmp_path, 4), ask).made_now == 2


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"groups": 0}, "groups must be at least 1, got 0"),
        ({"group_size": 0}, "group_size must be at least 1, got 0"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_a_config_says_what_must_hold(tmp_path, changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        RunConfig(out=tmp_path, **changes)


def test_unknown_targets_and_models_are_refused_before_anything_is_written(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match="or a file, got 'nowhere"):
        run_rollouts(replace(config(folder, 1), targets="nowhere.json"), ask)
    with pytest.raises((ValueError, ImportError)):
        run_rollouts(replace(config(folder, 1), model=str(tmp_path / "no-model")), ask)
    assert not folder.exists()


def test_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        run_rollouts(config(tmp_path / "run", 1), ask)


def test_a_short_run_meets_every_category_and_a_long_one_starts_over(tmp_path):
    plan = plan_targets(RunConfig(out=tmp_path, groups=300, targets="train"))
    assert len({target.category for target in plan[:5]}) == 5
    assert len({target.id for target in plan[:40]}) == 40
    count = len({target.id for target in plan})
    assert plan[count] is plan[0]
    assert plan == plan_targets(RunConfig(out=tmp_path, groups=300, targets="train"))
    assert plan != plan_targets(RunConfig(out=tmp_path, groups=300, targets="train", seed=1))


def test_the_progress_bar_tells_groups_and_mean_reward(tmp_path):
    screen = io.StringIO()
    run_rollouts(
        config(tmp_path, 2), ask, console=Console(file=screen, force_terminal=True, width=120)
    )
    assert "2/2" in screen.getvalue()
    assert "mean reward 0." in screen.getvalue()
