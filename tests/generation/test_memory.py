"""Memory found before a run, against what the allocator truly held."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from audioforge.generation.memory import MB, activations_mb, weights_mb
from audioforge.generation.stable_audio_memory import Footprint


def allocated_peak_mb(run):
    """The most the CPU allocator held above its start."""
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as traced:
        run()
    events = [e for e in traced.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak / MB


def test_activations_of_a_chain_are_its_widest_pair():
    chain = torch.nn.Sequential(torch.nn.Linear(8, 1_000), torch.nn.Linear(1_000, 10))
    # the input of the whole, and of the second layer with its output
    expected = 4 * 5 * (8 + 1_000 + 10) / MB
    assert activations_mb(chain, lambda: chain(torch.zeros(5, 8))) == pytest.approx(expected)


def test_a_reshape_costs_nothing():
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Identity())
    assert activations_mb(flat, lambda: flat(torch.zeros(2, 3, 4))) == pytest.approx(96 / MB)


def test_weights_are_counted_in_their_own_precision():
    layer = torch.nn.Linear(100, 100, bias=False)
    assert weights_mb(layer) == pytest.approx(0.04)
    assert weights_mb(layer.half()) == pytest.approx(0.02)


@pytest.mark.parametrize("clips", [1, 4])
def test_the_memory_of_decoding_is_foreseen_within_a_factor_of_two(backend, clips):
    latents = torch.randn(clips, 64, 256)
    measured = allocated_peak_mb(lambda: backend.model.pretransform.decode(latents))
    assert 0.5 < clips * backend.capabilities.clip_mb / measured < 2.0


def test_a_loaded_model_says_what_it_takes(backend, checkpoint):
    stored = (checkpoint / "model.safetensors").stat().st_size / MB
    assert backend.capabilities.model_mb == pytest.approx(stored, rel=0.05)


def test_small_memory_means_small_chunks_but_never_none():
    cpu = torch.device("cpu")
    assert Footprint(row_mb=0.1, decode_mb=0.1).rows(cpu) == 32
    assert Footprint(row_mb=100.0, decode_mb=300.0).rows(cpu) == 10
    assert Footprint(row_mb=100.0, decode_mb=300.0).decoded(cpu) == 3
    assert Footprint(row_mb=5_000.0, decode_mb=5_000.0).decoded(cpu) == 1
