"""An action becomes a request for one backend, and everything that was changed is listed."""

import pytest
from pydantic import ValidationError

from audioforge.generation.backend import Capabilities, GenerationDefaults
from audioforge.rollouts.action import AudioAction, compile_action, schema_lines

CAN = Capabilities(
    model="tiny",
    sample_rate=16_000,
    channels=1,
    max_seconds=4.0,
    steps=(1, 50),
    cfg_scale=(1.0, 8.0),
    samplers=("euler", "pingpong"),
    negative_prompt=True,
    recommended=GenerationDefaults(8, 2.0, "pingpong"),
    licence="MIT",
    note="",
    sigma_max=(0.1, 1.0),
)


def made(**fields):
    return compile_action(AudioAction(prompt="rain", **fields), CAN, seconds=3.0, seed=7)


def test_what_is_left_out_takes_the_recommended_value():
    request, notes = made()
    assert (request.steps, request.cfg_scale, request.sampler) == (8, 2.0, "pingpong")
    assert (request.seconds, request.seed) == (3.0, 7)
    assert notes == ()


def test_an_actions_seed_is_ignored_and_listed():
    request, notes = made(seed=99)
    assert request.seed == 7
    assert notes == ("seed ignored",)


@pytest.mark.parametrize(
    ("fields", "name", "kept", "note"),
    [
        ({"steps": 400}, "steps", 50, "steps 400 clamped to 50"),
        ({"cfg_scale": 0.0}, "cfg_scale", 1.0, "cfg_scale 0 clamped to 1"),
        ({"seconds_total": 9.0}, "seconds", 4.0, "seconds_total 9 clamped to 4"),
        ({"sampler": "heun"}, "sampler", "pingpong", "sampler 'heun' unknown, 'pingpong' used"),
        ({"sigma_max": 500.0}, "sigma_max", 1.0, "sigma_max 500 clamped to 1"),
    ],
)
def test_what_the_backend_cannot_do_is_clamped_and_listed(fields, name, kept, note):
    request, notes = made(**fields)
    assert getattr(request, name) == kept
    assert notes == (note,)


@pytest.mark.parametrize("fields", [{"steps": 0}, {"cfg_scale": float("nan")}, {"volume": 3}])
def test_an_action_out_of_all_ranges_is_refused(fields):
    with pytest.raises(ValidationError):
        made(**fields)


def test_the_schema_names_the_backends_ranges():
    lines = schema_lines(CAN)
    assert '"steps": integer, 1 to 50' in lines
    assert '"euler", "pingpong"' in lines
    assert "seed" not in lines
