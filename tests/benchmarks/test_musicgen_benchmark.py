"""The benchmark of MusicGen: its keys, and that what it compares is the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_both_make_the_same_tokens_and_the_numbers_are_there(tmp_path):
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    out = tmp_path / "numbers.json"
    done = subprocess.run(
        [sys.executable, "benchmarks/musicgen.py", "--quick", "--seconds", "0.2", "--out", out],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == json.loads(out.read_text())
    assert told["greedy_equal"] == {"1": True, "4": True}
    assert set(told["speedup"]) == {"1", "4"}
    assert told["bandwidth_fraction"] is None
    assert told["machine"].endswith(f", {os.cpu_count()} cores")
