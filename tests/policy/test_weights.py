"""Weights that a trainer hands to the server: taken whole, from one place only, or refused."""

import json

import pytest
import torch
from safetensors.torch import save_file
from server_calls import call, chat, texts

from audioforge.policy.local_llm import LocalLLM
from audioforge.policy.weights import FILE, WeightsError, read_weights, write_weights


@pytest.fixture
def llm(small_folder):
    return LocalLLM(small_folder, "cpu")


def shaken(llm):
    """Change the weights visibly."""
    with torch.no_grad():
        for weight in llm.model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return llm


def test_weights_come_back_bit_for_bit(llm, small_folder, tmp_path):
    file = write_weights(shaken(llm).model, tmp_path)
    other = LocalLLM(small_folder, "cpu")
    read_weights(other.model, file)
    for ours, theirs in zip(llm.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_the_server_answers_with_the_new_weights_and_tells_their_version(
    serving, llm, small_folder, tmp_path
):
    with serving(LocalLLM(small_folder, "cpu"), weights_under=tmp_path) as url:
        before = chat(url, n=2)
        assert before[1]["system_fingerprint"] == "weights-0"
        folder = tmp_path / "step-1"
        write_weights(shaken(llm).model, folder)
        assert call(f"{url}/weights", {"folder": str(folder), "version": 7}) == (
            200,
            {"weights_version": 7},
        )
        after = chat(url, n=2)
        assert after[1]["system_fingerprint"] == "weights-7"
        assert texts(after) != texts(before)
        assert call(f"{url}/health")[1]["weights_version"] == 7
    with serving(llm) as url:
        assert texts(chat(url, n=2)) == texts(after)


def test_weights_from_elsewhere_are_refused(serving, llm, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    write_weights(llm.model, tmp_path / "outside")
    with serving(llm, weights_under=inside) as url:
        for folder in (tmp_path / "outside", inside / ".." / "outside"):
            status, told = call(f"{url}/weights", {"folder": str(folder), "version": 1})
            assert (status, "must lie under" in json.dumps(told)) == (403, True)
        assert call(f"{url}/health")[1]["weights_version"] == 0


def test_a_server_whose_weights_are_fixed_says_so(small_server):
    status, told = call(f"{small_server}/weights", {"folder": "x", "version": 1})
    assert status == 403
    assert "--weights-under" in told["error"]["message"]


def test_weights_that_do_not_fit_change_nothing(llm, tmp_path):
    before = {name: weight.clone() for name, weight in llm.model.named_parameters()}
    names = dict(llm.model.named_parameters())
    first = next(iter(names))
    wrong = {
        "another name": {"x": torch.zeros(2)},
        "another shape": names | {first: torch.zeros(3)},
        "not finite": names | {first: torch.full_like(names[first], float("nan"))},
    }
    for what, tensors in wrong.items():
        file = tmp_path / f"{what}.safetensors"
        save_file({n: t.detach().clone() for n, t in tensors.items()}, file)
        with pytest.raises(WeightsError):
            read_weights(llm.model, file)
    (tmp_path / "text.safetensors").write_text("no weights")
    for name in ("text.safetensors", "missing.safetensors"):
        with pytest.raises(WeightsError, match="cannot be read"):
            read_weights(llm.model, tmp_path / name)
    for name, weight in llm.model.named_parameters():
        assert torch.equal(weight, before[name])
