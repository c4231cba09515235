"""Merged models: sums of moves, refused where they are of other models."""

import copy
import sys

import pytest
import torch

from audioforge.policy import merge as merging
from audioforge.policy.embedded import EMBEDDED_FOLDER
from audioforge.policy.local_llm import LocalLLM
from audioforge.policy.merge import merge
from audioforge.policy.weights import WeightsError


@pytest.fixture
def moved(small_folder, tmp_path):
    """A function (name, seed): a model folder moved away from the small one, and its move."""

    def made(name, seed):
        llm = LocalLLM(small_folder, "cpu")
        model = copy.deepcopy(llm.model).float()
        drawn = torch.Generator().manual_seed(seed)
        moves = {}
        with torch.no_grad():
            for key, tensor in model.named_parameters():
                moves[key] = 0.01 * torch.randn(tensor.shape, generator=drawn)
                tensor += moves[key]
        model.save_pretrained(tmp_path / name, safe_serialization=True)
        llm.tokenizer.save_pretrained(tmp_path / name)
        return tmp_path / name, moves

    return made


def weights(folder):
    return dict(LocalLLM(folder, "cpu").model.float().named_parameters())


def test_the_moves_of_two_trainings_are_added(small_folder, moved, tmp_path):
    (one, first), (two, second) = moved("one", 1), moved("two", 2)
    alike = merge(small_folder, [one, two], tmp_path / "both", weight=0.5)
    start, found = weights(small_folder), weights(tmp_path / "both")
    for name, tensor in found.items():
        wanted = start[name] + 0.5 * (first[name] + second[name])
        assert torch.allclose(tensor, wanted, atol=1e-5)
    assert abs(alike) < 0.05  # random moves are nearly orthogonal


def test_one_training_merged_alone_is_itself_and_twins_are_told(small_folder, moved, tmp_path):
    one, _ = moved("one", 1)
    assert merge(small_folder, [one], tmp_path / "same") == 0
    theirs = weights(one)
    same = weights(tmp_path / "same")
    assert all(torch.allclose(same[name], theirs[name], atol=1e-5) for name in theirs)
    assert merge(small_folder, [one, one], tmp_path / "twice") == pytest.approx(1, abs=1e-4)


def test_another_model_and_no_model_are_refused(small_folder, moved, tmp_path):
    one, _ = moved("one", 1)
    llm = LocalLLM(one, "cpu")
    with torch.no_grad():
        next(iter(llm.model.parameters())).fill_(float("nan"))
    llm.model.save_pretrained(tmp_path / "broken", safe_serialization=True)
    llm.tokenizer.save_pretrained(tmp_path / "broken")
    with pytest.raises(WeightsError, match="not finite"):
        merge(small_folder, [tmp_path / "broken"], tmp_path / "out")
    with pytest.raises(WeightsError, match="not a training of the base model"):
        merge(small_folder, [EMBEDDED_FOLDER], tmp_path / "out")
    with pytest.raises(ValueError, match="nothing to merge"):
        merge(small_folder, [], tmp_path / "out")


def test_the_command_says_where_the_model_is(small_folder, moved, tmp_path, monkeypatch, capsys):
    one, _ = moved("one", 1)
    out = tmp_path / "out"
    words = ["merge", "--base", str(small_folder), "--out", str(out), str(one)]
    monkeypatch.setattr(sys, "argv", words)
    merging.main()
    assert f"model: {out}" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*words[:-1], str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match="error:"):
        merging.main()
