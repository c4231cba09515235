"""What is planned for the memory there is."""

from dataclasses import replace

import pytest

from audioforge.generation import memory_plan
from audioforge.generation.memory_plan import free_mb, plan_memory
from audioforge.generation.synth_backend import SynthBackend

CAN = replace(SynthBackend.capabilities, model_mb=1_200.0, clip_mb=100.0)


def test_what_fits_is_made_as_it_was_wanted():
    plan = plan_memory(CAN, 16, 2_000.0)
    assert (plan.batch, plan.warning) == (16, "")
    assert plan.line == "memory: weights 1.2 GB, 16 clips at once up to 1.6 GB; 2.0 GB free"


def test_what_does_not_fit_is_made_in_smaller_batches_with_a_warning():
    plan = plan_memory(CAN, 16, 1_000.0)
    assert (plan.batch, plan.warning) == (9, "16 clips at once may not fit: 9 at once instead")
    assert plan_memory(CAN, 16, 1_000.0, at_once=3).batch == 3


def test_nothing_is_refused_for_an_estimate():
    plan = plan_memory(CAN, 16, 50.0)
    assert plan.batch == 1
    assert "may fail" in plan.warning


@pytest.mark.parametrize("free", [None, 1.0])
def test_what_is_not_known_is_said_so(free):
    plan = plan_memory(SynthBackend.capabilities, 16, free)
    assert (plan.batch, plan.warning) == (16, "")
    assert "synth does not say what a clip takes" in plan.line
    assert plan_memory(CAN, 16, None).line.endswith("free memory is not known here")


def test_the_free_memory_is_the_machines_or_the_containers(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:    4000000 kB\n")
    monkeypatch.setattr(memory_plan, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory_plan, "_CGROUP", tmp_path)
    assert free_mb("cpu") == pytest.approx(4_096)
    (tmp_path / "memory.max").write_text("max\n")
    assert free_mb("cpu") == pytest.approx(4_096)
    (tmp_path / "memory.max").write_text("3000000000\n")
    (tmp_path / "memory.current").write_text("1000000000\n")
    assert free_mb("cpu") == pytest.approx(2_000)
    (tmp_path / "meminfo").unlink()
    assert free_mb("cpu") is None
