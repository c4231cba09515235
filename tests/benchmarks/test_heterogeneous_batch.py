"""The quick run of the benchmark of mixed batches: its keys, and that both sides made the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_quick_run_compares_four_ways_that_make_the_same_sound():
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "benchmarks/heterogeneous_batch.py", "--quick", "--clips", "3"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])["tiny"]
    assert {"solo", "grouped", "ours", "uniform", "ours_over_solo"} <= told.keys()
    assert told["ours_over_uniform"] > 0
    assert told["max_abs_difference"] < 1e-3
    assert told["clips"] == 3
