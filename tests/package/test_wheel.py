"""The wheel: built, unpacked away from the checkout, and used from an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel from a copy of the checkout and unpack it into a folder of its own."""
    work = tmp_path_factory.mktemp("wheel")
    kept = shutil.ignore_patterns(".git", ".venv", "artifacts", "build", "*.egg-info", ".types")
    shutil.copytree(ROOT, work / "source", ignore=kept)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(work), "."]
    subprocess.run(command, cwd=work / "source", check=True, capture_output=True)
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work / "site")
    return work / "site"


def run(installed, folder, *arguments):
    """Run `python -m audioforge.cli` in a folder, with nothing but the wheel to import from."""
    code = "import audioforge, sys; print(audioforge.__file__, file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    where = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert str(installed) in where.stderr
    return subprocess.run(
        [sys.executable, "-m", "audioforge.cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_wheel_holds_only_our_two_names(installed):
    names = {p.name for p in installed.iterdir() if not p.name.endswith(".dist-info")}
    assert names == {"audioforge", "audioforge_env.py"}


def test_models_and_references_travel_in_the_wheel(installed, tmp_path):
    ended = run(installed, tmp_path, "doctor", "--json")
    assert ended.returncode == 0, ended.stderr
    found = {(f["area"], f["name"]): f["usable"] for f in json.loads(ended.stdout)}
    for need in (
        ("backend", "tiny-stable-audio"),
        ("policy", "tiny-policy"),
        ("reward", "style references"),
    ):
        assert found[need], need


def test_a_group_of_rollouts_is_made_from_an_empty_folder(installed, tmp_path):
    ended = run(installed, tmp_path, "rollouts", "--groups", "1", "--out", "run1")
    assert ended.returncode == 0, ended.stderr
    assert len((tmp_path / "run1" / "rollouts.jsonl").read_text().splitlines()) == 4
    assert (tmp_path / "run1" / "report.html").stat().st_size > 10_000
    again = run(installed, tmp_path, "replay", "run1")
    assert again.returncode == 0, again.stdout
