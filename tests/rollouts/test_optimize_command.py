"""`audioforge optimize`: what it prints and writes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from audioforge import cli, optimize_pages
from audioforge.data import presets as presets_module
from audioforge.data.presets import PRESET_NAMES, parse_presets
from audioforge.generation.request import Clip
from audioforge.generation.synth_backend import SynthBackend
from audioforge.rollouts.optimize import OptimizeConfig, Optimized
from audioforge.rollouts.recommend import recommend
from audioforge.utils.audio_processing import Audio
from audioforge.utils.parameter_optimizer import Outcome, Tried

SHIPPED = presets_module.PRESETS_FILE.read_text()


class Clear:
    """More steps sound better; no luck."""

    capabilities = replace(
        SynthBackend.capabilities,
        steps=(1, 50),
        cfg_scale=(1.0, 8.0),
        samplers=("euler", "dpmpp", "pingpong"),
    )
    weights_sha256 = "clear"

    def generate(self, requests):
        return [self.one(request) for request in requests]

    def one(self, request):
        noise = np.random.default_rng(request.seed).normal(0, 0.02)
        peak = 0.9 * (1 - np.exp(-request.steps / 6)) + noise
        return Clip(request, Audio(np.full((1, 8), peak, np.float32), 8_000), 0.01)


@pytest.fixture
def command(monkeypatch, judge, tmp_path):
    """Run the command on a quick generator and judge, with presets that may be written."""
    monkeypatch.setattr("audioforge.rollouts.guarded._reference", lambda path: None)
    monkeypatch.setattr("audioforge.generation.registry.load_backend", lambda *_, **__: Clear())
    monkeypatch.setattr("audioforge.reward_functions.CombinedReward", lambda: judge)
    mine = tmp_path / "presets.json"
    mine.write_text(presets_module.PRESETS_FILE.read_text())
    monkeypatch.setattr(presets_module, "PRESETS_FILE", mine)

    def run(*arguments):
        out = tmp_path / "out"
        options = ["optimize", "--trials", "16", "--out", str(out), *arguments]
        return CliRunner().invoke(cli.app, options), out, mine

    return run


def test_a_search_prints_its_tables_and_leaves_json_and_picture(command):
    ran, out, mine = command("--category", "sfx")
    assert ran.exit_code == 0, ran.output
    assert "the front of" in ran.output
    assert "quality before" in ran.output
    told = json.loads((out / "sfx.json").read_text())
    assert set(told["recommended"]) <= set(PRESET_NAMES)
    for one in told["recommended"].values():
        assert one["interval"][0] <= one["reward"] <= one["interval"][1]
        assert one["clips"] == 20
    assert len(told["tried"]) <= 16
    assert (out / "sfx.png").read_bytes().startswith(b"\x89PNG")
    assert mine.read_text() == SHIPPED


def test_presets_are_written_when_asked_with_what_was_measured(command):
    ran, _, mine = command("--category", "sfx", "--write-presets")
    assert ran.exit_code == 0, ran.output
    written = parse_presets(json.loads(mine.read_text()))["sfx"]
    assert [one.steps for one in written.values()] == sorted(one.steps for one in written.values())
    for one in written.values():
        assert one.clips == 20
        assert one.measured_by.startswith(
            "audioforge optimize --category sfx --trials 16 --clips 20"
        )


def test_a_category_that_is_none_ends_the_command_with_its_reason(command):
    ran, _, _ = command("--category", "polka")
    assert isinstance(ran.exception, ValueError)
    assert "got 'polka'" in str(ran.exception)


def test_where_one_setting_is_best_and_cheapest_all_three_presets_are_that_one():
    point = Tried({"steps": 4, "cfg_scale": 1.0, "sampler": "euler"}, Outcome((0.5,), 4.0))
    found = Optimized("sfx", "m", [point], [point], recommend([point]), {})
    written = optimize_pages.presets_of(found, OptimizeConfig(category="sfx"))
    assert {name: one.steps for name, one in written.items()} == dict.fromkeys(PRESET_NAMES, 4)
    assert written["quality"].why.startswith("the best")
    assert written["draft"].why.startswith("as quality")
