"""Training of the embedded model: every stage runs, resumes exactly, and exports what loads."""

from functools import partial

import numpy as np
import pytest
import torch
import typer

from audioforge.generation.request import Clip, GenerationRequest
from audioforge.generation.stable_audio import StableAudioBackend
from audioforge.generation.tiny import clips, design, diffusion_stage
from audioforge.generation.tiny.loop import Schedule, is_finished, run_stages, run_steps, start_from
from audioforge.generation.tiny.train_stable_audio import Run


def train_line(path, steps, stop_at=None):
    """Fit a line with run_steps, optionally interrupted; return the weights."""
    torch.manual_seed(3)
    model = torch.nn.Linear(2, 1)

    def loss(step):
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.randn(8, 2)
        return (model(x) - x.sum(1, keepdim=True)).square().mean()

    run_steps(model, loss, path, Schedule(steps, 0.05, warmup=2), save_every=3)
    return model.weight.detach().clone()


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path):
    whole = train_line(tmp_path / "a.pt", 12)
    with pytest.raises(KeyboardInterrupt):
        train_line(tmp_path / "b.pt", 12, stop_at=7)
    assert not is_finished(tmp_path / "b.pt", Schedule(12, 0.05))
    assert torch.equal(train_line(tmp_path / "b.pt", 12), whole)
    assert is_finished(tmp_path / "b.pt", Schedule(12, 0.05))


def test_the_learning_rate_warms_up_and_ends_at_zero():
    schedule = Schedule(100, 1.0, warmup=10)
    assert schedule.at(0) == pytest.approx(0.1)
    assert schedule.at(10) == pytest.approx(1.0)
    assert schedule.at(100) == pytest.approx(0.0)


def test_a_clip_depends_on_seed_and_index_alone():
    assert clips.draw(1, 5) == clips.draw(1, 5)
    assert clips.draw(1, 5) != clips.draw(1, 6)
    spec = clips.draw(1, 5)
    wave = clips.render_clip(spec, 9)
    assert wave.dtype == np.int16
    assert wave.shape == (clips.FRAMES,)
    assert np.array_equal(wave, clips.render_clip(spec, 9))


def test_the_tempo_conditioner_starts_as_the_beat(tmp_path):
    design.save_tokenizer(tmp_path)
    model = diffusion_stage.build(str(tmp_path), 1.0, {})
    with torch.no_grad():
        beat = model.conditioner.conditioners["bpm"]([120.0, 0.0], "cpu")[0][:, 0]
    moments = (np.arange(128) + 0.5) / 128 * clips.SECONDS
    assert beat[0].numpy() == pytest.approx(np.cos(2 * np.pi * 2 * moments), abs=1e-3)
    assert beat[1].numpy() == pytest.approx(1.0)


def test_training_starts_from_the_weights_that_fit():
    model, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    given = {"weight": other.weight.detach().half(), "bias": torch.ones(5), "more": torch.ones(1)}
    bias = model.bias.detach().clone()
    assert start_from(model, given) == 6
    assert torch.equal(model.weight, other.weight.detach().half().float())
    assert torch.equal(model.bias, bias)


def test_every_stage_runs_and_the_export_generates(tmp_path):
    steps = {"autoencoder": 2, "diffusion": 2, "decoder": 1}
    run = Run(tmp_path / "work", 8, steps, "cpu")
    run.export(tmp_path / "model")
    backend = StableAudioBackend.load(str(tmp_path / "model"), name="fresh", device="cpu")
    assert backend.capabilities.licence == "MIT"
    (clip,) = backend.generate([GenerationRequest("techno beat, 128 bpm", 1.0, seed=1, steps=1)])
    assert isinstance(clip, Clip)
    assert clip.audio.samples.shape == (1, 16_000)


def test_stages_run_in_order_or_one_alone_and_an_unknown_one_is_one_clear_line():
    done = []
    stages = {name: partial(done.append, name) for name in ("clips", "codec", "export")}
    run_stages(stages)
    run_stages(stages, "codec")
    assert done == ["clips", "codec", "export", "codec"]
    with pytest.raises(
        typer.BadParameter, match=r"--only must be one of .*'codec'.*, got 'codecs'"
    ):
        run_stages(stages, "codecs")
