"""The page on performance is what its command writes from the committed results."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write(page, *options):
    command = [sys.executable, "benchmarks/report.py", "--page", page, *options]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True)
    return page.read_text(encoding="utf-8")


def test_the_committed_page_is_up_to_date_and_its_pictures_are_there(tmp_path):
    assert write(tmp_path / "performance.md") == (ROOT / "docs" / "performance.md").read_text()
    for picture in (tmp_path / "figures").iterdir():
        assert (ROOT / "docs" / "figures" / picture.name).is_file()


def test_models_stand_side_by_side_and_what_was_not_measured_is_left_out(tmp_path):
    speeds = {"solo": 1.0, "grouped": 1.5, "ours": 4.0, "uniform": 4.2}
    ratios = {"ours_over_solo": 4.0, "ours_over_uniform": 0.95, "max_abs_difference": 1e-6}
    told = {
        "tiny": speeds | ratios,
        "versions": {"torch": "2"},
        "command": "python x",
        "seconds": 9,
    }
    (tmp_path / "heterogeneous_batch-cpu.json").write_text(json.dumps(told))
    text = write(tmp_path / "page.md", "--results", tmp_path)
    assert "| tiny, cpu | 1 | 1.5 | 4 | 4.2 | 4 | 0.95 | 1e-06 |" in text
    assert "`python x`, cpu, 9 s, torch 2." in text
    assert text.count("## ") == 1
    assert (tmp_path / "figures" / "performance-heterogeneous_batch.png").is_file()
