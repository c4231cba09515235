"""Rows for training: who is chosen, who never is, and that datasets and TRL read them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from audioforge.rollouts.errors import StoreError
from audioforge.rollouts.export import dpo_rows, export_run, sft_rows


@pytest.fixture
def group(collect, say):
    """Four different answers, the second one repaired, with the rewards asked for."""

    def make(*rewards, texts=None):
        texts = texts or [say(), say(prompt="rain")[:-1], say(prompt="bell"), say(prompt="wind")]
        made = collect(*texts[: len(rewards)]).rollouts
        return tuple(replace(r, reward=x) for r, x in zip(made, rewards, strict=True))

    return make


def chosen(rows):
    return [row["rollout"] for row in rows]


def test_sft_takes_the_best_answer_of_a_group_from_the_threshold_on(group):
    rows = list(sft_rows([group(0.6, 0.1, 0.8, 0.7), group(0.3, 0.2, 0.1, 0.0)], 0.5))
    assert chosen(rows) == ["g00000-r2"]
    assert [message["role"] for message in rows[0]["messages"]] == ["system", "user", "assistant"]
    assert json.loads(rows[0]["messages"][-1]["content"])["prompt"] == "bell"
    assert rows[0]["reward"] == 0.8
    assert list(sft_rows([group(0.3, 0.2)], 0.3)) != []


def test_dpo_sets_the_best_against_the_worst_where_they_are_far_enough_apart(group):
    (row,) = dpo_rows([group(0.6, 0.1, 0.8, 0.7), group(0.5, 0.45, 0.48, 0.47)], 0.2)
    assert (row["rollout"], row["rollout_rejected"]) == ("g00000-r2", "g00000-r1")
    assert (row["score_chosen"], row["score_rejected"]) == (0.8, 0.1)
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["chosen"][0]["role"] == row["rejected"][0]["role"] == "assistant"


def test_a_rollout_we_lost_is_neither_chosen_nor_rejected(group):
    lost_best = group(None, 0.2, 0.6, 0.5)
    (row,) = dpo_rows([lost_best], 0.1)
    assert (row["rollout"], row["rollout_rejected"]) == ("g00000-r2", "g00000-r1")
    assert chosen(sft_rows([lost_best], 0.0)) == ["g00000-r2"]
    assert list(dpo_rows([group(None, None)], 0.1)) == []


def test_duplicates_are_no_pair_and_a_row_is_written_once(group, say):
    same = group(0.9, 0.1, texts=[say(), say()])
    assert same[1].duplicate_of == 0
    assert list(dpo_rows([same], 0.1)) == []
    assert chosen(sft_rows([same, same], 0.1)) == ["g00000-r0"]


def test_an_answer_that_was_repaired_may_be_rejected_but_not_followed(group):
    repaired_best = group(0.5, 0.9, 0.3)
    assert repaired_best[1].issues
    (row,) = dpo_rows([repaired_best], 0.1)
    assert (row["rollout"], row["rollout_rejected"]) == ("g00000-r0", "g00000-r2")
    assert chosen(sft_rows([repaired_best], 0.1)) == ["g00000-r0"]


def test_an_answer_without_an_action_may_be_rejected(group, say):
    (row,) = dpo_rows([group(0.5, 0.0, texts=[say(), "no idea"])], 0.1)
    assert row["rejected"][0]["content"] == "no idea"


@pytest.fixture
def run_folder(started, group):
    """A run folder with two groups."""
    for number, rewards in enumerate([(0.9, 0.1, 0.5, 0.4), (0.6, 0.2, 0.3, 0.4)]):
        made = group(*rewards)
        words = [r.text.replace("techno", f"techno {number}") for r in made]
        started.append([replace(r, group=number, text=t) for r, t in zip(made, words, strict=True)])
    return started.folder


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("form", ["sft", "dpo"])
def test_datasets_and_trl_read_what_is_written(run_folder, tmp_path, form, suffix):
    datasets = pytest.importorskip("datasets")
    out = tmp_path / f"rows.{suffix}"
    assert export_run(run_folder, form, out) == 2
    kind = "json" if suffix == "jsonl" else "parquet"
    rows = datasets.load_dataset(
        kind, data_files=str(out), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert rows.num_rows == 2
    formats = pytest.importorskip("trl.data_utils")
    tokenizer = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(
        Path(__file__).resolve().parents[2] / "data" / "models" / "tiny-policy"
    )
    assert formats.is_conversational(rows[0])
    told = formats.apply_chat_template(
        {
            name: rows[0][name]
            for name in ("messages", "prompt", "chosen", "rejected")
            if name in rows[0]
        },
        tokenizer,
    )
    assert set(told) == ({"text"} if form == "sft" else {"prompt", "chosen", "rejected"})
    assert "techno 0" in told["text" if form == "sft" else "chosen"]


@pytest.mark.parametrize(
    ("form", "name", "options", "words"),
    [
        ("kto", "a.jsonl", {}, "sft or dpo"),
        ("sft", "a.csv", {}, ".parquet"),
        ("dpo", "a.jsonl", {"margin": 0.0}, "margin must be above 0"),
        ("sft", "a.jsonl", {"threshold": 0.95}, "threshold 0.95; lower it"),
    ],
)
def test_what_cannot_be_written_is_said(run_folder, tmp_path, form, name, options, words):
    with pytest.raises(ValueError, match=words):
        export_run(run_folder, form, tmp_path / name, **options)


def test_a_folder_without_a_run_is_said(tmp_path):
    with pytest.raises(StoreError, match="holds no run"):
        export_run(tmp_path, "sft", tmp_path / "a.jsonl")


def test_the_command_says_how_many_rows_it_wrote(run_folder, tmp_path):
    out = tmp_path / "rows.jsonl"
    words = [sys.executable, "-m", "audioforge.cli", "export", str(run_folder), "--out", str(out)]
    ended = subprocess.run([*words, "--format", "dpo"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("2 rows: ")
    assert len(out.read_text().splitlines()) == 2
    refused = subprocess.run([*words, "--format", "x"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "sft or dpo" in refused.stderr
