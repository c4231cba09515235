"""The rewards as a metric: one row per file, whatever the file is, the same for any order."""

import math
import shutil
import struct
from dataclasses import replace

import numpy as np
import pytest
import soundfile as sf

from audioforge.data.brief import Brief
from audioforge.generation.synth import render
from audioforge.reward_functions import folder as metric
from audioforge.reward_functions import list_files, score, score_files
from audioforge.reward_functions.file_score import FAILED, SCORED, UNREADABLE, FileScore
from audioforge.reward_functions.versions import scorer_version
from audioforge.utils.audio_processing import encode

RATE = 16_000


def clip(kind, seconds=1.0, seed=0):
    return render(Brief(*kind, seconds=seconds), seed)


def rows_of(paths, workers=0, **options):
    found = score_files(list_files(paths, **options), workers=workers)
    return sorted((scored.row for scored in found), key=lambda row: row.place)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    rain, bell = clip(("ambient", "rain")), clip(("instruments", "bell"))
    (folder / "rain.wav").write_bytes(encode(rain, "WAV"))
    (folder / "bell.flac").write_bytes(encode(bell, "FLAC"))
    return folder


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Every kind of file that a folder from elsewhere may hold."""
    folder = tmp_path_factory.mktemp("odd")
    rng = np.random.default_rng(1)
    noise = 0.1 * rng.standard_normal((RATE, 1))
    sf.write(folder / "short.wav", noise[: RATE // 100], RATE)
    sf.write(folder / "wide.wav", np.tile(noise, 8), RATE)
    sf.write(folder / "fast.wav", np.repeat(noise, 12, axis=0), 192_000)
    broken = np.where(np.arange(RATE) == 99, np.nan, noise[:, 0])
    sf.write(folder / "nan.wav", broken, RATE, subtype="FLOAT")
    sf.write(folder / "no_frames.wav", noise[:0], RATE)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("not a sound")
    (folder / "gone.wav").symlink_to(folder / "absent.wav")
    with sf.SoundFile(folder / "bomb.flac", "w", 8_000, 1, "PCM_16") as file:
        for _ in range(2):
            file.write(np.zeros(8_000 * 400, np.int16))
    sf.write(folder / "liar.wav", noise, RATE)
    content = bytearray((folder / "liar.wav").read_bytes())
    content[40:44] = struct.pack("<I", 0xFFFFFFF0)
    (folder / "liar.wav").write_bytes(content)
    return folder


def test_a_row_says_what_score_says(sounds):
    bell, rain = rows_of([sounds], brief="rain on leaves")
    report = score(sounds / "rain.wav", "rain on leaves")
    assert rain.total == report.total
    assert rain.parts["prompt_alignment"] == report.parts["prompt_alignment"].value
    assert rain.parts["style_consistency"] is None
    assert (rain.outcome, rain.seconds, rain.sample_rate) == (SCORED, 1.0, 44_100)
    assert '"family": "rain"' in rain.understood
    assert "rain" in bell.failed_checks
    assert bell.total < rain.total


def test_every_odd_file_is_one_row_with_a_reason_and_only_verdicts_are_zero(odd):
    rows = {row.path.rsplit("/", 1)[1]: row for row in rows_of([odd], workers=1)}
    unreadable = {
        "empty.wav": "it is empty",
        "text.wav": "not a readable sound file",
        "bomb.flac": "longer than 600 s",
    }
    for name, words in unreadable.items():
        assert rows[name].outcome == UNREADABLE
        assert rows[name].total is None
        assert words in rows[name].reason
        assert str(odd) not in rows[name].reason
    for name, gate in {
        "short.wav": "too short",
        "nan.wav": "not finite",
        "no_frames.wav": "empty",
    }.items():
        assert (rows[name].outcome, rows[name].total, rows[name].gates) == (SCORED, 0.0, gate)
        assert rows[name].reason
    for name in ("wide.wav", "fast.wav", "liar.wav"):
        assert rows[name].outcome == SCORED
        assert math.isfinite(rows[name].total)
    assert rows["wide.wav"].channels == 8
    assert rows["fast.wav"].sample_rate == 192_000
    assert set(rows) == {*unreadable, "short.wav", "nan.wav", "no_frames.wav"} | {
        "wide.wav",
        "fast.wav",
        "liar.wav",
    }


def test_a_link_to_nothing_named_in_a_list_is_a_row(odd):
    (odd / "list.jsonl").write_text('{"path": "gone.wav"}')
    (row,) = rows_of([odd / "list.jsonl"])
    assert (row.outcome, row.reason) == (UNREADABLE, "No such file or directory")


def test_the_number_of_workers_changes_no_row(sounds, odd):
    told = [rows_of([sounds, odd], workers=workers, brief="rain") for workers in (0, 2)]
    assert told[0] == told[1]


def test_names_and_folders_change_no_score(sounds, tmp_path):
    (tmp_path / "z" / "deep").mkdir(parents=True)
    shutil.copy(sounds / "rain.wav", tmp_path / "z" / "deep" / "bell.wav")
    shutil.copy(sounds / "bell.flac", tmp_path / "a.flac")
    before, after = rows_of([sounds]), rows_of([tmp_path])
    assert [replace(row, path="") for row in before] == [replace(row, path="") for row in after]


def test_the_same_bytes_and_brief_are_judged_once(sounds, tmp_path):
    for name in ("a.wav", "b.wav", "c.wav"):
        shutil.copy(sounds / "rain.wav", tmp_path / name)
    scored = list(score_files(list_files([tmp_path]), workers=0))
    assert sum(one.fresh for one in scored) == 1
    assert len({one.row.total for one in scored}) == 1
    again = list(score_files(list_files([tmp_path]), [scored[0].row], workers=0))
    assert not any(one.fresh for one in again)
    assert {one.row for one in map(lambda s: s._replace(row=s.row.path), again)} == {
        str(tmp_path / name) for name in ("a.wav", "b.wav", "c.wav")
    }


def test_another_brief_another_scorer_or_a_failure_is_judged_anew(sounds):
    listed = list_files([sounds / "rain.wav"], brief="rain")
    (first,) = score_files(listed, workers=0)
    for known in (
        replace(first.row, asked="other"),
        replace(first.row, scorer="other"),
        replace(first.row, outcome=FAILED),
    ):
        (again,) = score_files(listed, [known], workers=0)
        assert again.fresh
        assert again.row == first.row


def test_a_scorer_that_breaks_is_a_failed_row_and_not_a_zero(sounds, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("by a bug")

    monkeypatch.setattr(metric.CombinedReward, "judge", broken)
    for row in rows_of([sounds]):
        assert (row.outcome, row.total) == (FAILED, None)
        assert row.reason == "the scorer broke: ZeroDivisionError: by a bug"


def test_a_brief_that_names_no_sound_is_told_and_not_checked(sounds):
    (row, _) = rows_of([sounds], brief="something nice")
    assert row.understood == ""
    assert row.reason.startswith("no kind of sound was recognised in the brief")
    assert row.parts["prompt_alignment"] is None


def test_the_version_of_the_scorer_is_a_hash_that_stays():
    assert scorer_version() == scorer_version()
    assert len(scorer_version()) == 16


def test_rows_survive_json_and_text():
    row = FileScore(
        "a", "b", SCORED, 0.25, {"audio_quality": 1 / 3, "creativity": None}, seconds=0.1
    )
    plain = row.to_json()
    text = {name: "" if value is None else str(value) for name, value in plain.items()}
    assert FileScore.from_json(plain).to_json() == FileScore.from_json(text).to_json() == plain
    with pytest.raises(ValueError, match="must have the columns"):
        FileScore.from_json({"path": "a"})
    with pytest.raises(ValueError, match="outcome must be one of"):
        FileScore.from_json(plain | {"outcome": "0"})
