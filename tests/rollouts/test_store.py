"""The run folder survives being torn, filled up, shared and resumed with other wishes."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import yaml

from audioforge.rollouts import store as store_module
from audioforge.rollouts.errors import ChangedConfigError, StoreError
from audioforge.rollouts.record import Rollout
from audioforge.rollouts.store import RunStore
from audioforge.utils.audio_processing import Audio, pcm16_sha256

CONFIG = {"groups": 4, "seed": 0}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def three_groups(collect, say, started):
    for index in range(3):
        collect(say(prompt=f"bell {index}"), "no idea", index=index, store=started)
    started.close()
    return started.folder


def reopened(folder: Path) -> set[int]:
    with RunStore(folder) as store:
        return store.start(CONFIG, {})


def test_finished_groups_are_known_after_a_restart(three_groups):
    assert reopened(three_groups) == {0, 1, 2}
    assert [[r.id for r in group] for group in RunStore(three_groups).groups()][2] == [
        "g00002-r0",
        "g00002-r1",
    ]


def test_cut_at_any_byte_only_whole_groups_count_and_the_rest_is_made_again(
    three_groups, collect, say
):
    lines = RunStore(three_groups).rollouts_file
    whole = lines.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == 10]
    group_ends = ends[1::2]
    cuts = {*range(0, len(whole), 211), *ends, *(e - 1 for e in ends), *(e + 1 for e in ends[:-1])}
    for cut in sorted(cuts):
        lines.write_bytes(whole[:cut])
        expected = set(range(sum(end <= cut for end in group_ends)))
        assert RunStore(three_groups).done() == expected, cut
        with RunStore(three_groups) as store:
            assert store.start(CONFIG, {}) == expected
            for index in set(range(3)) - expected:
                collect(say(prompt=f"bell {index}"), "no idea", index=index, store=store)
        assert RunStore(three_groups).done() == {0, 1, 2}
        assert len(lines.read_bytes().splitlines()) == 6


def test_rubbish_after_the_last_line_is_ignored(three_groups):
    lines = RunStore(three_groups).rollouts_file
    whole = lines.read_bytes()
    for rubbish in (
        b"\0" * 4_096,
        b"{",
        b"{}\n",
        b'{"schema": 1}\n',
        b"\xff\xfe\n",
        whole.splitlines()[0],
    ):
        lines.write_bytes(whole + rubbish)
        assert reopened(three_groups) == {0, 1, 2}
        assert lines.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_named(three_groups):
    lines = RunStore(three_groups).rollouts_file
    rows = lines.read_bytes().splitlines(keepends=True)
    lines.write_bytes(b"".join([*rows[:2], b"{oops}\n", *rows[3:]]))
    with pytest.raises(StoreError, match=r"line 3: .*remove that line and its group is made again"):
        reopened(three_groups)
    lines.write_bytes(b"".join([*rows[:2], *rows[3:]]))
    assert reopened(three_groups) == {0, 2}


def test_a_changed_config_is_refused_by_the_name_of_the_field(three_groups):
    before = (three_groups / "run.yaml").read_bytes()
    with (
        RunStore(three_groups) as store,
        pytest.raises(ChangedConfigError, match="seed = 0, now it is 1"),
    ):
        store.start(CONFIG | {"seed": 1}, {})
    with (
        RunStore(three_groups) as store,
        pytest.raises(ChangedConfigError, match="model = None, now it is 'x'"),
    ):
        store.start(CONFIG | {"model": "x"}, {})
    assert (three_groups / "run.yaml").read_bytes() == before
    assert reopened(three_groups) == {0, 1, 2}


def test_run_yaml_keeps_the_facts_of_the_first_start(tmp_path):
    for versions in ("1", "2"):
        with RunStore(tmp_path) as store:
            store.start(CONFIG, {"versions": {"numpy": versions}})
    assert RunStore(tmp_path).run_facts() == {
        "config": CONFIG,
        "facts": {"versions": {"numpy": "1"}},
    }


@pytest.mark.parametrize("text", ["[1, 2]", "config: {", "config: {}\n", "\x00"])
def test_a_damaged_run_yaml_is_one_clear_error(tmp_path, text):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(StoreError, match=r"run\.yaml"):
        RunStore(tmp_path).run_facts()


def test_run_yaml_is_read_without_building_objects(tmp_path):
    (tmp_path / "run.yaml").write_text("config: !!python/object/apply:os.getcwd []\nfacts: {}\n")
    with pytest.raises(StoreError):
        RunStore(tmp_path).run_facts()
    assert yaml.safe_load("a: 1") == {"a": 1}


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(StoreError, match="holds no run"):
        RunStore(tmp_path).run_facts()
    assert RunStore(tmp_path).done() == set()


def test_two_writers_do_not_share_a_folder(three_groups):
    with RunStore(three_groups) as first:
        first.start(CONFIG, {})
        with (
            RunStore(three_groups) as second,
            pytest.raises(StoreError, match="being written by another process"),
        ):
            second.start(CONFIG, {})
    assert reopened(three_groups) == {0, 1, 2}


def test_sound_is_stored_once_under_its_own_hash(started):
    audio = Audio(np.sin(np.arange(8_000) / 9)[None, :].astype(np.float32) * 0.5, 16_000)
    first, again = started.keep(audio), started.keep(audio)
    assert first == again
    assert first.path == f"audio/{pcm16_sha256(audio)}.flac"
    assert (first.seconds, first.sample_rate, first.channels) == (0.5, 16_000, 1)
    assert [path.name for path in (started.folder / "audio").iterdir()] == [f"{first.sha256}.flac"]
    stored, _ = sf.read(started.folder / first.path, dtype="int16")
    assert np.abs(stored - np.round(audio.samples[0] * 32_767)).max() <= 1


def test_an_unfinished_sound_file_is_swept_up(started):
    started.close()
    leftover = started.folder / "audio" / "abc.flac.part"
    leftover.write_bytes(b"half")
    reopened(started.folder)
    assert not leftover.exists()


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_while_storing_sound_is_one_clear_line_and_leaves_nothing(
    collect, say, started, monkeypatch
):
    monkeypatch.setattr(store_module.os, "write", full_disk)
    with pytest.raises(
        StoreError, match=r"no space left while writing .*finished groups are safe"
    ) as caught:
        collect(say(), store=started)
    assert "\n" not in str(caught.value)
    assert list((started.folder / "audio").iterdir()) == []
    assert started.rollouts_file.read_bytes() == b""


@pytest.mark.parametrize("fails_at", ["write", "half", "fsync"])
def test_a_full_disk_while_appending_leaves_no_torn_line(
    collect, say, started, monkeypatch, fails_at
):
    collect(say(prompt="bell"), index=0, store=started)
    before = started.rollouts_file.read_bytes()
    real_write, real_fsync = os.write, os.fsync
    lines = os.stat(started.rollouts_file).st_ino

    def write(handle, content):
        if os.fstat(handle).st_ino != lines or fails_at == "fsync":
            return real_write(handle, content)
        if fails_at == "half" and os.fstat(handle).st_size == len(before):
            return real_write(handle, bytes(content)[: len(content) // 2])
        return full_disk()

    def fsync(handle):
        return (
            full_disk()
            if fails_at == "fsync" and os.fstat(handle).st_ino == lines
            else real_fsync(handle)
        )

    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "write", write)
        patch.setattr(store_module.os, "fsync", fsync)
        with pytest.raises(StoreError, match="no space left"):
            collect(say(prompt="rain"), index=1, store=started)
    assert started.rollouts_file.read_bytes() == before
    collect(say(prompt="rain"), index=1, store=started)
    assert started.done() == {0, 1}


def test_a_real_file_size_limit_stops_the_run_and_a_later_one_goes_on(collect, say, three_groups):
    lines = RunStore(three_groups).rollouts_file
    size = lines.stat().st_size
    script = textwrap.dedent(f"""
        import resource, sys
        from audioforge.rollouts.errors import StoreError
        from audioforge.rollouts.store import RunStore
        from dataclasses import replace
        store = RunStore({str(three_groups)!r})
        store.start({CONFIG!r}, {{}})
        group = [replace(r, group=3) for r in next(iter(store.groups()))]
        resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 100}, {size + 100}))
        try:
            store.append(group)
        except StoreError as error:
            sys.exit(str(error))
    """)
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("no space left while writing")
    assert len(run.stderr.strip().splitlines()) == 1
    assert lines.stat().st_size == size
    with RunStore(three_groups) as store:
        assert store.start(CONFIG, {}) == {0, 1, 2}
        collect(say(), index=3, store=store)
    assert RunStore(three_groups).done() == {0, 1, 2, 3}


def test_a_group_is_appended_whole_and_in_order_or_not_at_all(collect, say, started):
    group = collect(say(prompt="bell"), say(prompt="rain")).rollouts
    for wrong in ((), group[:1], group[::-1]):
        with pytest.raises(ValueError, match="whole"):
            started.append(wrong)
    started.close()
    with pytest.raises(ValueError, match=r"start\(\)"):
        started.append(group)


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        RunStore(tmp_path / "file" / "run") as store,
        pytest.raises(StoreError, match=r"cannot write .*Not a directory"),
    ):
        store.start(CONFIG, {})


def test_a_line_of_another_schema_is_not_guessed_at(collect, say):
    line = collect(say()).rollouts[0].to_json()
    for wrong in (
        {**line, "schema": 2},
        {k: v for k, v in line.items() if k != "text"},
        [],
        json.loads("{}"),
    ):
        with pytest.raises(ValueError, match="rollout"):
            Rollout.from_json(wrong)
