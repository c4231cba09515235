"""Which files are judged, against what, in which order."""

import json
import os

import pytest

from audioforge.data.targets import curated
from audioforge.reward_functions.listing import list_files

TARGETS = {target.id: target for target in curated()}


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.WAV", "b/1.flac", "a.mp3", "b/notes.txt", "b/.hidden.wav", "b/c/3.ogg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def names(listed, folder):
    return [os.path.relpath(one.path, folder) for one in listed]


def test_a_folder_is_searched_through_for_sound_files_sorted_by_path(folder):
    assert names(list_files([folder]), folder) == ["a.mp3", "b/1.flac", "b/2.WAV", "b/c/3.ogg"]


def test_the_order_of_the_arguments_changes_nothing_and_nothing_is_listed_twice(folder):
    one, other = folder / "a.mp3", folder / "b"
    assert list_files([one, other]) == list_files([other, one, folder / "b" / "1.flac"])


def test_a_folder_that_links_to_itself_is_no_loop(folder):
    (folder / "b" / "loop").symlink_to(folder)
    assert len(list_files([folder])) == 4


def test_a_named_file_is_tried_whatever_its_suffix(folder):
    assert len(list_files([folder / "b" / "notes.txt"])) == 1


def test_nothing_to_judge_is_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match="no sound file in this folder"):
        list_files([tmp_path])
    with pytest.raises(ValueError, match="there is no such file or folder"):
        list_files([tmp_path / "absent.wav"])


def test_a_list_gives_each_file_its_own_brief_and_paths_from_its_folder(folder):
    lines = [
        {"path": "b/1.flac", "brief": "rain"},
        {"path": "a.mp3"},
        {"path": "a.mp3", "brief": "x"},
    ]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    listed = list_files([folder / "list.jsonl"], brief="wind")
    assert [(one.path.name, one.brief) for one in listed] == [
        ("a.mp3", "wind"),
        ("a.mp3", "x"),
        ("1.flac", "rain"),
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2: not a JSON object"),
        ("[" * 100_000, "line 2: not a JSON object"),
        ("[]", 'line 2: must be an object with "path"'),
        ('{"path": 3}', 'line 2: must be an object with "path"'),
        ('{"path": "a.mp3", "prompt": "x"}', r"line 2: fields must be among .* got \['prompt'\]"),
        ('{"path": "a.mp3", "brief": 3}', "line 2: brief must be text, got 3"),
        ('{"path": "a.mp3", "target": "none"}', "line 2: no target 'none' among the targets given"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(folder, line, words):
    (folder / "list.jsonl").write_text('{"path": "a.mp3"}\n' + line)
    with pytest.raises(ValueError, match=words):
        list_files([folder / "list.jsonl"])


def test_an_endless_brief_is_refused(folder):
    with pytest.raises(ValueError, match="a brief must be at most 4000 characters, got 5000"):
        list_files([folder / "a.mp3"], brief="x" * 5_000)


def test_targets_are_found_by_folder_by_file_name_and_by_list(tmp_path):
    for name in ("techno-01_3.wav", "house-02/take.wav", "techno-011.wav", "other.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "list.jsonl").write_text('{"path": "other.wav", "target": "techno-02"}')
    listed = list_files([tmp_path, tmp_path / "list.jsonl"], targets=TARGETS)
    found = {(one.path.name, one.target): one for one in listed}
    assert set(found) == {
        ("take.wav", "house-02"),
        ("techno-01_3.wav", "techno-01"),
        ("techno-011.wav", ""),
        ("other.wav", ""),
        ("other.wav", "techno-02"),
    }
    assert found["techno-01_3.wav", "techno-01"].brief == TARGETS["techno-01"].brief
    assert found["techno-01_3.wav", "techno-01"].references == TARGETS["techno-01"].reference_files
    assert "no target has" in found["techno-011.wav", ""].refusal


def test_a_brief_and_targets_exclude_each_other(folder):
    with pytest.raises(ValueError, match="give one of them"):
        list_files([folder], brief="rain", targets=TARGETS)


def test_a_name_that_is_no_utf8_can_be_shown(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe.wav"
    with open(path, "wb") as file:
        file.write(b"x")
    (one,) = list_files([tmp_path])
    one.shown.encode()
    assert one.shown.endswith("\\xff\\xfe.wav")
