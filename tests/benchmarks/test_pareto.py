"""The quick run: its keys, and that its figures follow from one another."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def check(told):
    for guidance, curve in told["reward"].items():
        for steps, reward in curve.items():
            low, high = told["interval"][guidance][steps]
            assert 0 <= low <= reward <= high <= 1
        assert told["paired"][guidance]["8"] == [0, 0, 0]
    costs, rewards = zip(*[point[2:] for point in told["front"]], strict=True)
    assert list(costs) == sorted(costs)
    assert list(rewards) == sorted(rewards)
    for guidance, steps, cost, reward in told["front"]:
        assert reward == told["reward"][f"{guidance:g}"][f"{steps:g}"]
        assert cost == steps * (1 if guidance == 1 else 2)
    steps, guidance = told["best_steps"]["0"], told["best_cfg"]["0"]
    best = max(reward for curve in told["reward"].values() for reward in curve.values())
    assert told["reward"][f"{guidance:g}"][f"{steps:g}"] == best
    chosen = zip(told["best_steps"].values(), told["best_cfg"].values(), strict=True)
    costs = [steps * (1 if cfg == 1 else 2) for steps, cfg in chosen]
    assert costs == sorted(costs, reverse=True)  # the more is charged, the cheaper the best


def test_the_committed_figures_follow_from_one_another():
    check(json.loads((ROOT / "benchmarks/results/pareto-cpu.json").read_text()))


@pytest.mark.slow
def test_the_quick_run_prints_its_figures_and_draws(tmp_path):
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "benchmarks/pareto.py", "--quick", "--plot", str(tmp_path / "p.png")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout.splitlines()[-1]))
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
