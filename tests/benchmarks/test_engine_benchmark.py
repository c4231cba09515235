"""The quick run of the engine's benchmark: nothing lost, nothing twice, whatever is killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_nothing_is_lost_or_made_twice_under_fire():
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "engine.py"), "--quick"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["requests"], told["lost"], told["duplicated"]) == (200, 0, 0)
    assert told["made"] + told["poisoned"] + told["cancelled"] == 200
    assert told["kills"] == 5
    assert told["ooms"] > 0
    assert told["cancelled"] > 10
    assert told["overhead_us"] > 0
