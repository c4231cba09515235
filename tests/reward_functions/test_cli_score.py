"""`audioforge score` and `compare`: tables that lose nothing, pages that are safe to open."""

import json
import re
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from audioforge import score_run
from audioforge.cli import app
from audioforge.data.brief import Brief
from audioforge.generation.synth import render
from audioforge.reward_functions.file_score import SCORED, UNREADABLE, FileScore
from audioforge.score_pages import MOST_BEST, MOST_WORST, write_score_page
from audioforge.score_plots import forest, histogram
from audioforge.score_rows import ScoreTable
from audioforge.utils.audio_processing import encode

PAYLOAD = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\"'>{{7*7}}"
ROWS = [
    FileScore("b.wav", "2", SCORED, 0.5, {"audio_quality": 1 / 3, "creativity": None}, asked="x"),
    FileScore("a.wav", "1", UNREADABLE, reason='not a sound, "quoted"; new\nline', asked="x"),
    FileScore("c.wav", "3", SCORED, 0.0, {"audio_quality": 0.0, "clap": 0.5}, gates="silent"),
]


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.tags, self.words = [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, text):
        self.words.append(text)


def run(*arguments, code=0):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds") / "A"
    folder.mkdir()
    for order, kind in enumerate(("rain", "wind", "waves")):
        sound = render(Brief("ambient", kind, seconds=1.0), order)
        (folder / f"{kind}.flac").write_bytes(encode(sound, "FLAC"))
    (folder / "bad.wav").write_text("no sound")
    return folder


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_gives_back_the_rows_sorted_by_path(tmp_path, suffix):
    path = tmp_path / f"scores{suffix}"
    with ScoreTable(path) as table:
        for row in ROWS:
            table.add(row)
    told = ScoreTable(path)
    assert [row.path for row in told.rows.values()] == ["a.wav", "b.wav", "c.wav"]
    for row in ROWS:
        found = told.rows[row.place]
        assert found.to_json() | row.to_json() == found.to_json()
    told.close()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_bytes_of_a_table_do_not_depend_on_the_order_of_rows(tmp_path, suffix):
    for name, rows in (("a", ROWS), ("b", ROWS[::-1])):
        with ScoreTable(tmp_path / f"{name}{suffix}") as table:
            for row in rows:
                table.add(row)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_rows_are_on_disk_at_once_and_a_torn_line_is_cut(tmp_path):
    path = tmp_path / "scores.csv"
    table = ScoreTable(path)
    table.add(ROWS[0])
    journal = tmp_path / "scores.csv.rows.jsonl"
    lines = journal.read_bytes()
    assert json.loads(lines)["path"] == "b.wav"
    table._journal.close()  # as kill -9 would
    journal.write_bytes(lines + b'{"path": "half')
    with ScoreTable(path) as again:
        assert [row.path for row in again.rows.values()] == ["b.wav"]
        again.add(ROWS[1])
    assert not journal.exists()
    assert len(path.read_text().strip().splitlines()) >= 3


def test_two_runs_do_not_write_one_table(tmp_path):
    with (
        ScoreTable(tmp_path / "s.csv"),
        pytest.raises(ValueError, match="being written by another process"),
    ):
        ScoreTable(tmp_path / "s.csv")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("s.txt", None, "must end in .csv, .jsonl, .parquet"),
        ("s.csv", "a,b\n1,2\n", "is no table of scores"),
        ("s.jsonl", "{", "is no table of scores"),
        ("s.jsonl", "3\n", "is no table of scores"),
        ("s.parquet", "PAR?", "is no Parquet file"),
    ],
)
def test_another_file_is_never_overwritten(tmp_path, name, content, words):
    path = tmp_path / name
    if content:
        path.write_text(content)
    with pytest.raises(ValueError, match=words):
        ScoreTable(path)
    assert not content or path.read_text() == content


def test_the_command_scores_a_folder_once_and_keeps_rows_of_other_files(sounds, tmp_path):
    out, page = tmp_path / "s.jsonl", tmp_path / "s.html"
    told = run("score", sounds, "--out", out, "--report", page, "--workers", 0, "--brief", "rain")
    assert "3 of 4 files scored" in told
    assert "1 rejected" in told
    first = out.read_bytes()
    again = run(
        "score", sounds / "rain.flac", sounds, "--out", out, "--workers", 0, "--brief", "rain"
    )
    assert "4 known from before" in again
    assert out.read_bytes() == first
    run("score", sounds / "wind.flac", "--out", out, "--workers", 0)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 5
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    text = Page(page).text
    for words in (
        "rain.flac",
        "Audio quality",
        "Rejected files",
        "bad.wav",
        "not a readable sound",
    ):
        assert words in text


def test_an_interrupted_run_keeps_its_rows_and_goes_on(sounds, tmp_path, monkeypatch):
    out = tmp_path / "s.csv"
    whole = score_run.score_files

    def interrupted(*arguments, **options):
        yield next(iter(whole(*arguments, **options)))
        raise KeyboardInterrupt

    monkeypatch.setattr(score_run, "score_files", interrupted)
    told = run("score", sounds, "--out", out, "--workers", 0, code=130)
    assert "stopped after 1 of 4 files" in told
    monkeypatch.setattr(score_run, "score_files", whole)
    assert "1 known from before" in run("score", sounds, "--out", out, "--workers", 0)
    reference = tmp_path / "reference.csv"
    run("score", sounds, "--out", reference, "--workers", 0)
    assert out.read_bytes() == reference.read_bytes()


def test_targets_judge_files_of_their_names(sounds, tmp_path):
    named = tmp_path / "techno-01.flac"
    named.write_bytes(encode(render(Brief("ambient", "rain", seconds=4.0), 0), "FLAC"))
    out = tmp_path / "s.jsonl"
    run("score", named, sounds / "wind.flac", "--targets", "train", "--out", out, "--workers", 0)
    rows = {row["target"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert rows["techno-01"]["style_consistency"] is not None
    assert "techno" in rows["techno-01"]["failed_checks"]
    assert rows[""]["outcome"] == UNREADABLE


def test_the_command_compares_two_folders(sounds, tmp_path):
    other = tmp_path / "B"
    other.mkdir()
    for path in sounds.glob("*.flac"):
        content = path.read_bytes()
        (other / path.name).write_bytes(content)
    out, page = tmp_path / "c.json", tmp_path / "c.html"
    told = run("compare", sounds, other, "--out", out, "--report", page, "--workers", 0)
    assert "3 pairs by file name" in told
    found = json.loads(out.read_text())
    assert found["rejected"] == [1, 0]
    assert all(part["difference"] == part["low"] == part["high"] == 0 for part in found["parts"])
    text = Page(page).text
    for words in ("Part by part", "As sets", "no Fréchet distance", "Cliff's delta within pairs"):
        assert words in text


def test_nothing_in_a_name_or_a_brief_becomes_markup(tmp_path):
    rows = [
        FileScore(
            PAYLOAD,
            PAYLOAD,
            outcome,
            0.5 if outcome == SCORED else None,
            {PAYLOAD: 0.5},
            gates=PAYLOAD,
            failed_checks=PAYLOAD,
            reason=PAYLOAD,
            brief=PAYLOAD,
            understood=PAYLOAD,
            seconds=1.0,
            sample_rate=8_000,
            channels=1,
            scorer=PAYLOAD,
            versions=PAYLOAD,
        )
        for outcome in (SCORED, UNREADABLE)
    ]
    page = Page(write_score_page(tmp_path / "p.html", rows, PAYLOAD))
    assert not {"script", "iframe", "object"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("href", "src"):
            assert attributes.get(name, "data:,") == "data:,"
    assert "{{7*7}}" in page.text
    policy = next(
        attributes["content"]
        for tag, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_a_page_of_many_files_stays_small_and_says_what_is_left_out(tmp_path):
    count = MOST_BEST + MOST_WORST + 25
    rows = [
        FileScore(f"{i}.wav", "", SCORED, i / count, seconds=1.0, sample_rate=8_000, channels=1)
        for i in range(count)
    ]
    page = Page(write_score_page(tmp_path / "p.html", rows, "many"))
    assert "25 more in between are in the table of scores only" in page.text
    assert sum(tag == "summary" for tag, _ in page.tags) == MOST_BEST + MOST_WORST + 1


def test_a_page_without_any_score_is_a_page(tmp_path):
    assert (
        "No file could be scored"
        in Page(write_score_page(tmp_path / "p.html", ROWS[1:2], "x")).text
    )


def test_plots_have_a_description_and_no_nan():
    for drawing in (
        histogram("totals", {"A<b>": [0.0, 1.0, 0.5], "none": []}),
        forest("differences", {"a<b>": (0.1, float("nan"), float("nan")), "b": (0.0, 0.0, 0.0)}),
    ):
        assert 'role="img"' in drawing
        assert not re.search(r"nan|<b>", drawing)
