"""The quick runs of the benchmarks of the rewards: their keys, and what they say without clips."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import signals

ROOT = Path(__file__).resolve().parents[2]


def run(script, *options):
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), "--quick", *map(str, options)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def numbers(script, *options):
    done = run(script, *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def real():
    if not (signals.REAL_AUDIO / "manifest.json").is_file():
        pytest.skip("no real audio here")
    return signals.REAL_AUDIO


@pytest.mark.parametrize("script", ["faults.py", "tempo.py"])
def test_without_real_clips_one_line_says_so(script, tmp_path):
    done = run(script, "--real", tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--real" in done.stderr


def test_strong_damage_is_told_from_clean_clips(real):
    told = numbers("faults.py", "--real", real)
    assert told["faults_total"] == len(told["reference"]) == 14
    assert 0 <= told["faults_at_reference"] <= 14
    assert all(len(values) == 3 for values in told["auc"].values())
    for fault in ("clipping", "dc", "sample_hold", "tail_silence", "bit_crush"):
        assert told["auc"][fault][2] > 0.9
        assert told["auc_quality"][fault][2] > 0.7


def test_nothing_without_a_pulse_earns_marks_for_tempo(real):
    told = numbers("tempo.py", "--real", real)
    assert told["free_marks_max"] <= 0.1
    assert 0.7 < told["auc"] <= 1
    assert 0 <= told["beats_all_decoys"] <= 1


def test_the_cost_of_scoring_is_told_beside_librosa():
    told = numbers("scoring.py")
    for measured in ("gpu_clips_per_s", "gpu_cpu_largest_difference"):
        assert (told[measured] is None) == (told["gpu"] is None)
    for key in ("cpu_ratio_vs_librosa", "cpu_ms_per_clip", "first_call_s", "two_process_scaling"):
        assert told[key] > 0
    assert told["rss_growth_mb"] < 200


def test_parts_tell_what_should_earn_them_from_what_should_not(tmp_path):
    told = numbers("calibration.py", "--real", tmp_path / "none", "--plot", tmp_path / "plot.png")
    assert told["music"] == "evaluation references"
    assert set(told["auc"]) == set(told["parts"]) >= {"audio_quality", "total", "creativity"}
    assert told["auc"]["prompt_alignment"] > 0.95
    assert told["auc"]["audio_quality"] > 0.8
    assert (tmp_path / "plot.png").stat().st_size > 10_000
