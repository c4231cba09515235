"""The quick run of the soak: real processes, a faulty language model, and the accounts add up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_group_that_went_in_came_out_or_says_why_not():
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    words = [str(ROOT / "benchmarks" / "serve.py"), "--quick", "--share", "0.3"]
    done = subprocess.run(
        [sys.executable, *words, "--model", "synth", "--tracker", "none"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    accounted = told["groups_out"] + sum(told["withheld"].values()) + told["unconfirmed"]
    assert told["groups_in"] == accounted + told["kept_for_the_next_start"] > 0
    assert (told["lost"], told["doubled"], told["hangs"], told["exit_code"]) == (0, 0, 0, 0)
    assert sum(told["faults_injected"].values()) > 0
    assert told["clips_on_disk"] <= 64 + 32  # those of groups that are not recorded yet besides
