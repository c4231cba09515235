"""audioforge generate: clips with their facts, gone on with, refused in one line."""

import json
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from rich.console import Console
from typer.testing import CliRunner

from audioforge import generate_run
from audioforge.cli import app
from audioforge.generate_plan import Wish, file_name, requests_of, wishes_of
from audioforge.generate_run import FAILURES, Folder, check_licence
from audioforge.generation.engine import Engine, EngineSettings
from audioforge.generation.request import Clip, Failure, GenerationRequest
from audioforge.generation.synth_backend import SynthBackend
from audioforge.utils.audio_processing import Audio

CAN = SynthBackend.capabilities
QUIET = Console(quiet=True)


def generate(*words):
    return CliRunner().invoke(app, ["generate", "--model", "synth", *map(str, words)])


class Fake:
    """Makes a tone per request; some fail, and one call may be interrupted."""

    capabilities = CAN
    weights_sha256 = "0" * 64

    def __init__(self, failing=(), interrupt_at=None):
        self.failing, self.interrupt_at, self.asked = failing, interrupt_at, []
        self.noticed = threading.Event()

    def generate(self, requests):
        self.asked += requests
        if self.interrupt_at is not None and len(self.asked) > self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
            assert self.noticed.wait(20)
        return [self._one(request) for request in requests]

    def _one(self, request):
        if request.seed in self.failing:
            return Failure(request, "crash", "it broke")
        return Clip(request, Audio(np.full((1, 800), 0.1), 16_000), 0.01)


def make(backend, requests, folder, batch, console):
    engine = Engine.in_process(backend, EngineSettings(max_batch=batch, cache_mb=0))
    missing = folder.missing(requests, engine.weights_sha256)
    return generate_run.make(engine, missing, folder, console)


def requests(count):
    return [GenerationRequest("rain", 0.05, seed, 1, 1.0, "none") for seed in range(count)]


def test_clips_come_with_their_facts_and_are_not_made_again(tmp_path):
    words = ("techno drum loop, 120 bpm", "--seconds", 0.5, "--n", 2, "--out", tmp_path)
    first = generate(*words)
    assert first.exit_code == 0, first.output
    sounds = sorted(tmp_path.glob("*.flac"))
    assert len(sounds) == 2
    facts = json.loads(sounds[0].with_suffix(".json").read_text())
    assert facts["request"]["prompt"] == "techno drum loop, 120 bpm"
    assert facts["seconds"] == pytest.approx(0.5, abs=0.01)
    assert {"model", "weights_sha256", "licence", "pcm16_sha256", "versions"} <= set(facts)
    again = generate(*words)
    assert "0 made, 2 were there, 0 failed" in again.output.replace("\n", " ")
    sounds[0].write_bytes(b"damaged")
    assert "1 made, 1 were there" in generate(*words).output.replace("\n", " ")


@pytest.mark.parametrize("kind", ["wav", "ogg", "mp3"])
def test_other_formats_can_be_read_back(tmp_path, kind):
    assert generate("rain", "--seconds", 1, "--format", kind, "--out", tmp_path).exit_code == 0
    (sound,) = tmp_path.glob(f"*.{kind}")
    assert sf.info(sound).duration == pytest.approx(1.0, abs=0.1)


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(tmp_path):
    told = generate("rain", "--n", 3, "--seconds", 2, "--out", tmp_path / "new", "--dry-run")
    assert told.exit_code == 0
    assert "3 clips, 6.0 s in all, 0 there already" in told.output.replace("\n", " ")
    assert "MIT" in told.output
    assert "memory: synth does not say what a clip takes" in told.output.replace("\n", " ")
    assert not (tmp_path / "new").exists()


def test_a_file_of_prompts_counts_seeds_on_and_takes_the_options_for_the_rest(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "rain", "n": 2}\n\n{"prompt": "wind", "seconds": 1}\n')
    wishes = wishes_of(file, Wish("", seconds=2.0, seed=5))
    made = requests_of(wishes, CAN)
    assert [(r.prompt, r.seconds, r.seed) for r in made] == [
        ("rain", 2.0, 5),
        ("rain", 2.0, 6),
        ("wind", 1.0, 7),
    ]
    assert len({file_name(r) for r in made}) == 3


def test_options_and_lines_say_how_a_token_model_draws(tmp_path):
    can = replace(CAN, tokens=True)
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "rain", "top_k": 9}\n{"prompt": "wind", "temperature": 0}\n')
    usual = Wish("", seconds=1.0, temperature=0.8, top_p=0.9)
    first, second = requests_of(wishes_of(file, usual), can)
    assert (first.temperature, first.top_k, first.top_p) == (0.8, 9, 0.9)
    assert (second.temperature, second.top_k, second.top_p) == (0.0, 0, 0.9)
    (plain,) = requests_of([Wish("rain", seconds=1.0)], can)
    assert (plain.temperature, plain.top_k, plain.top_p) == (1.0, 0, 1.0)


def test_drawing_options_are_refused_by_a_model_that_draws_no_tokens(tmp_path):
    for option in (("--temperature", 0.5), ("--top-k", 3), ("--top-p", 0.5)):
        told = generate("rain", "--seconds", 1, *option, "--out", tmp_path)
        assert "draws no tokens" in str(told.exception)


def test_a_prompts_file_may_come_from_windows_and_must_be_there(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"prompt": "wind"}\r\n{"prompt": "rain"}\r\n')
    assert [wish.prompt for wish in wishes_of(file, Wish(""))] == ["wind", "rain"]
    with pytest.raises(ValueError, match=r"none.jsonl: must be a file that exists, got no such"):
        wishes_of(tmp_path / "none.jsonl", Wish(""))


@pytest.mark.parametrize(
    ("line", "must"),
    [
        ('{"prompt": ""}', "line 2: field prompt must be text"),
        ('{"promt": "rain"}', "did you mean 'prompt'"),
        ('{"prompt": "rain", "steps": 0}', "field steps must be a whole number"),
        ('{"prompt": "rain", "temperature": -1}', "field temperature must be"),
        ('{"prompt": "rain", "top_p": 0}', "field top_p must be"),
        ('{"prompt": "rain", "top_k": 2.5}', "field top_k must be a whole number"),
        ('{"prompt": "rain"', "line 2: must"),
        ('["rain"]', "must be a mapping"),
    ],
)
def test_a_line_that_is_not_right_is_named_before_anything_is_made(tmp_path, line, must):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "wind"}\n' + line + "\n")
    with pytest.raises(ValueError, match=must):
        wishes_of(file, Wish(""))


@pytest.mark.parametrize(
    ("change", "must"),
    [
        ({"seconds": 900.0}, "seconds must be at most 60"),
        ({"sampler": "euler"}, "sampler must be one of"),
        ({"negative_prompt": "hiss"}, "takes no negative prompt"),
        ({"n": 200_000}, "at most 100000 clips"),
    ],
)
def test_what_the_model_cannot_make_is_said_at_once(change, must):
    with pytest.raises(ValueError, match=must):
        requests_of([replace(Wish("rain", seconds=1.0), **change)], CAN)


def test_a_failure_is_told_and_kept_and_holds_nothing_up(tmp_path):
    ended = make(Fake(failing={1}), requests(4), Folder(tmp_path, "flac"), 2, QUIET)
    assert (ended.made, ended.failed, ended.interrupted) == (3, 1, False)
    (line,) = (tmp_path / FAILURES).read_text().splitlines()
    assert json.loads(line)["message"] == "it broke"
    assert make(Fake(), requests(4), Folder(tmp_path, "flac"), 2, QUIET).made == 1


def test_an_interrupt_keeps_what_is_finished(tmp_path):
    folder = Folder(tmp_path, "flac")
    interrupted = Fake(interrupt_at=4)
    ended = make(interrupted, requests(6), folder, 2, QUIET)
    interrupted.noticed.set()
    assert (ended.made, ended.interrupted) == (4, True)
    rest = Fake()
    assert make(rest, requests(6), folder, 2, QUIET).asked == 2
    assert [r.seed for r in rest.asked] == [4, 5]


def test_other_weights_make_the_clip_again(tmp_path):
    folder, fake = Folder(tmp_path, "flac"), Fake()
    make(fake, requests(1), folder, 1, QUIET)
    fake.weights_sha256 = "1" * 64
    assert make(fake, requests(1), folder, 1, QUIET).made == 1


def test_names_hold_nothing_but_plain_words():
    name = file_name(GenerationRequest("../../etc/<b>Rain</b> \u202e", 1.0, 3))
    assert Path(name).name == name
    assert name.startswith("etc-b-rain-b-s3-")
    assert file_name(GenerationRequest("\u96e8", 1.0, 0)).startswith("clip-s0-")


def test_a_licence_with_conditions_is_refused_for_commercial_use():
    check_licence(CAN)
    with pytest.raises(ValueError, match="not one of MIT"):
        check_licence(replace(CAN, licence="CC-BY-NC-4.0"))


def test_a_prompt_or_a_file_must_be_given():
    assert isinstance(generate().exception, ValueError)
