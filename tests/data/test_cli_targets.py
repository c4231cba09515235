"""What `audioforge targets` shows."""

import json

import pytest
from rich.console import Console

from audioforge import cli_targets
from audioforge.data import targets


def shown(renderable, width=200):
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_the_list_can_be_narrowed():
    text = shown(cli_targets.list_targets(category="sfx", split="eval"))
    expected = [t for t in targets.curated("eval") if t.category == "sfx"]
    assert f"{len(expected)} targets" in text
    assert all(t.id in text for t in expected)
    assert "techno-01" not in text
    with pytest.raises(ValueError, match=r"category must be one of .* got 'music'"):
        cli_targets.list_targets(category="music")


def test_one_target_is_shown_with_what_it_is_judged_by():
    text = shown(cli_targets.show_target("techno-01"))
    for part in (
        "128 BPM techno drum loop",
        "brightness",
        '"bright"',
        "euler",
        "techno-1.flac",
        "4 clips",
    ):
        assert part in text
    with pytest.raises(ValueError, match="no target 'nothing' among the curated targets"):
        cli_targets.show_target("nothing")


def test_validation_lists_every_problem_and_markup_stays_text(tmp_path):
    path = tmp_path / "mine.jsonl"
    good = {"target_description": "[bold red]wind[/] in [/nowhere]", "category": "ambient"}
    path.write_text(json.dumps(good))
    renderable, ok = cli_targets.validate_file(path)
    assert ok
    assert "[bold red]wind[/] in [/nowhere]" in shown(renderable)
    path.write_text(
        json.dumps(good | {"category": "[red]"}) + "\n" + json.dumps(good | {"split": 1})
    )
    renderable, ok = cli_targets.validate_file(path)
    assert not ok
    assert "line 1: field category must be one of" in shown(renderable)
    assert "line 2: field split must be one of" in shown(renderable)
