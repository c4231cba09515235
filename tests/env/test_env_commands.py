"""The command line, in this process: what is written, what is printed, and how it ends."""

from __future__ import annotations

import errno
import json

import pytest

from audioforge.policy.learn import free_port


def test_process_writes_groups_pages_and_rollouts(command, llm, tmp_path, lines, capfd):
    assert (
        command(
            "process", "--env.total_steps", "2", "--env.data_path_to_save_groups", "out/p.jsonl"
        )
        == 0
    )
    groups = lines(tmp_path / "out" / "p.jsonl")
    assert [len(group["scores"]) for group in groups] == [4, 4]
    assert all(0 <= score <= 1 for group in groups for score in group["scores"])
    assert (tmp_path / "out" / "p.html").exists()
    run = tmp_path / "run"
    assert len(lines(run / "rollouts.jsonl")) == 8
    assert {path.name for path in run.iterdir()} >= {
        "rollouts.jsonl",
        "report.html",
        "run.yaml",
        "audio",
        "metrics.jsonl",
    }
    assert len(lines(run / "metrics.jsonl")) == 2
    assert llm.calls == 2  # one call for n answers
    told = capfd.readouterr()
    assert told.out.splitlines()[-1] == f"report: {run / 'report.html'}"
    assert told.err == ""


def test_a_finished_run_says_so_and_makes_nothing(command, llm, tmp_path, lines, capfd):
    assert command("process", "--env.total_steps", "1") == 0
    before = (tmp_path / "run" / "rollouts.jsonl").read_bytes()
    capfd.readouterr()
    assert command("process", "--env.total_steps", "1") == 0
    assert llm.calls == 1
    assert (tmp_path / "run" / "rollouts.jsonl").read_bytes() == before
    assert "is finished" in capfd.readouterr().out
    assert not (tmp_path / "run" / "groups_1.jsonl").exists()


def test_a_longer_run_goes_on_and_redoes_nothing(command, llm, tmp_path, lines):
    assert command("process", "--env.total_steps", "1") == 0
    first = lines(tmp_path / "run" / "rollouts.jsonl")
    assert command("process", "--env.total_steps", "3") == 0
    every = lines(tmp_path / "run" / "rollouts.jsonl")
    assert every[:4] == first
    assert sorted({line["group"] for line in every}) == [0, 1, 2]
    assert llm.calls == 3
    assert len(lines(tmp_path / "run" / "groups_1.jsonl")) == 2


def test_another_config_in_the_same_folder_is_refused(command, capfd):
    assert command("process", "--env.total_steps", "1") == 0
    capfd.readouterr()
    assert command("process", "--env.total_steps", "1", "--env.run_seed", "7") == 1
    assert "run_seed" in one_error(capfd)


def test_a_model_cannot_put_markup_into_the_page(command, llm, tmp_path):
    llm.say = lambda number: (
        f"<script>alert({number})</script> [x](javascript:alert(1)) </pre><img src=x>"
    )
    assert command("process", "--env.total_steps", "1") == 0
    page = (tmp_path / "run" / "groups.html").read_text()
    assert "&lt;script&gt;alert(0)" in page
    assert "<script>alert" not in page
    assert "<img" not in page
    assert 'href="javascript' not in page
    assert "alert(0)</script>" not in (tmp_path / "run" / "report.html").read_text()


def test_unparsable_answers_are_worth_nothing_but_kept(command, llm, tmp_path, lines):
    llm.say = lambda number: (
        "no json here" if number % 2 else json.dumps({"prompt": f"pad {number}"})
    )
    assert command("process", "--env.total_steps", "1") == 0
    rollouts = lines(tmp_path / "run" / "rollouts.jsonl")
    assert [line["action"] is None for line in rollouts] == [False, True, False, True]
    assert [line["reward"] for line in rollouts[1::2]] == [0.0, 0.0]
    assert lines(tmp_path / "run" / "metrics.jsonl")[0]["format_rate_mean"] == 0.5


def test_evaluate_writes_metrics_per_category(command, tmp_path, lines, capfd):
    assert command("evaluate", "--env.eval_targets", "5") == 0
    told = json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())
    means = told["results"]["all"]
    assert {
        f"eval/reward/{name}" for name in ("drums", "instruments", "sfx", "ambient", "phrases")
    } <= set(means)
    assert 0 <= means["eval/reward"] <= 1
    assert means["eval/rollouts"] == 5
    assert told["config_general"]["generation_parameters"]["temperature"] == 1.0
    shown = lines(tmp_path / "run" / "eval" / "samples.jsonl")
    assert {line["target"]["split"] for line in shown} == {"eval"}
    assert not (tmp_path / "run" / "rollouts.jsonl").exists()
    out = capfd.readouterr()
    assert "eval/reward" in out.out
    assert out.err == ""


def test_an_evaluation_asks_for_the_same_clips_every_time(command, llm, tmp_path):
    llm.say = lambda number: json.dumps({"prompt": "warm pad", "seconds_total": 1})
    found = []
    for _ in range(2):
        assert command("evaluate", "--env.eval_targets", "2") == 0
        found.append(
            json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())["results"]["all"]
        )
    assert found[0] == found[1]


def test_a_key_reaches_the_server_and_nothing_else(command, llm, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert command("process", "--env.total_steps", "1") == 0
    assert command("evaluate", "--env.eval_targets", "1") == 0
    assert set(llm.keys) == {"Bearer sk-very-secret"}
    told = capfd.readouterr()
    assert "very-secret" not in told.out + told.err
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if b"very-secret" in path.read_bytes()]


@pytest.mark.parametrize(
    "flags", [["--openai.api_key", "sk-1"], ["--openai.api_key=sk-1"], ["--config", "keys.yaml"]]
)
def test_a_key_in_the_settings_is_refused(command, tmp_path, flags, capfd):
    (tmp_path / "keys.yaml").write_text("openai:\n  api_key: sk-1\n")
    assert command("evaluate", *flags) == 1
    assert "keys come from the environment only" in (error := one_error(capfd))
    assert "sk-1" not in error


def test_minus_one_needs_an_equals_sign_and_gets_through_with_it(command, monkeypatch):
    import audioforge_env

    seen = []
    monkeypatch.setattr(
        audioforge_env.AudioForgeEnv,
        "__init__",
        lambda _, config, *__, **___: seen.append(config) or 1 / 0,
    )
    with pytest.raises(ZeroDivisionError):
        command("process", "--env.num_rollouts_per_group_for_logging=-1", "--env.w_quality=0.5")
    assert seen[0].num_rollouts_per_group_for_logging == -1
    assert seen[0].w_quality == 0.5


def test_yaml_sets_what_the_command_line_does_not(command, tmp_path, lines):
    (tmp_path / "c.yaml").write_text(
        "env:\n  group_size: 2\n  categories: drums\n  total_steps: 5\n"
    )
    assert command("process", "--config", str(tmp_path / "c.yaml"), "--env.total_steps", "1") == 0
    rollouts = lines(tmp_path / "run" / "rollouts.jsonl")
    assert len(rollouts) == 2
    assert rollouts[0]["target"]["category"] == "drums"


def test_our_configs_are_valid(tmp_path):
    from pathlib import Path

    import yaml

    from audioforge_env import AudioForgeConfig

    files = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
    for file in files:
        told = yaml.safe_load(file.read_text())
        if "env" in told:
            AudioForgeConfig(**told["env"])
    assert files


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--env.model", "no-such-model"], ["no-such-model"]),
        (["--env.targets_file", "absent.json"], ["targets_file", "absent.json"]),
        (["--env.targets_file", "broken.yaml"], ["broken.yaml", "category"]),
        (["--env.categories", "drums,violins"], ["categories", "violins"]),
        (["--env.w_quality", "11"], ["w_quality", "11"]),
        (["--env.temperature=-1"], ["temperature", "-1"]),
        (["--env.split", "test"], ["split"]),
        (["--config", "absent.yaml"], ["absent.yaml"]),
        (["--config", "odd.yaml"], ["unknown_setting"]),
        (["--openai.server_type", "trl"], ["server_type", "trl"]),
        (["--env.tokenizer_name", "./no/such/folder"], ["no/such/folder"]),
    ],
)
def test_bad_settings_end_with_one_line(command, tmp_path, capfd, flags, words):
    (tmp_path / "broken.yaml").write_text(
        "- id: one\n  category: violins\n  target_description: a pad\n"
    )
    (tmp_path / "odd.yaml").write_text("env:\n  unknown_setting: 1\n")
    assert command("process", *flags) == 1
    error = one_error(capfd)
    for word in words:
        assert word in error
    assert not (tmp_path / "run" / "groups.jsonl").exists()  # the next run would avoid its name


def test_an_unknown_flag_is_an_error(command, capfd, caplog):
    assert command("process", "--env.no_such_thing", "1") == 2
    assert "no_such_thing" in capfd.readouterr().err + caplog.text


def test_an_endpoint_that_is_not_there_ends_with_one_line_at_once(command, capfd):
    url = f"http://127.0.0.1:{free_port()}/v1"
    assert command("process", "--openai.base_url", url) == 1
    assert f"{url}: no language model answers there" in one_error(capfd)
    assert command("evaluate", "--openai.base_url", "nonsense") == 1
    assert "base_url must look like" in one_error(capfd)


def test_an_endpoint_that_refuses_ends_the_run_when_patience_is_over(command, llm, capfd):
    llm.status = 401
    assert command("process", "--env.patience", "0") == 1
    error = one_error(capfd)
    assert "nothing but failures for 0 s" in error
    assert "OPENAI_API_KEY" in error


def test_a_model_name_without_an_endpoint_is_refused(command, capfd):
    assert command("process", "--openai.model_name", "gpt", endpoint=False) == 1
    assert "needs --openai.base_url" in one_error(capfd)


def test_missing_weights_end_with_one_line(command, capfd, monkeypatch, tmp_path):
    monkeypatch.setattr("audioforge.policy.servers.EMBEDDED_FOLDER", tmp_path / "gone")
    assert command("process", endpoint=False) == 1
    assert "audioforge.policy.train_sft" in one_error(capfd)


def test_a_full_disk_ends_with_one_line_and_keeps_what_was_finished(
    command, llm, tmp_path, capfd, monkeypatch, lines
):
    assert command("process", "--env.total_steps", "1") == 0
    capfd.readouterr()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("audioforge.rollouts.store._write_all", full)
    assert command("process", "--env.total_steps", "2") == 1
    assert "no space left" in one_error(capfd).lower()
    assert {line["group"] for line in lines(tmp_path / "run" / "rollouts.jsonl")} == {0}
    monkeypatch.undo()


def test_a_generator_that_keeps_failing_ends_the_run_with_the_reason(command, capfd, monkeypatch):
    from audioforge.generation.synth_backend import SynthBackend

    def broken(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(SynthBackend, "generate", broken)
    assert command("process", "--env.patience", "1") == 1
    told = capfd.readouterr().err.splitlines()[-1]
    assert "nothing but failures for 1 s" in told
    assert "out of memory" in told


def test_an_interrupt_is_no_traceback(command, capfd, monkeypatch):
    from audioforge_env import AudioForgeEnv

    async def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(AudioForgeEnv, "get_next_item", interrupted)
    assert command("process") == 130
    assert "goes on where it was" in one_error(capfd)


def one_error(capfd) -> str:
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1, told
    assert told[0].startswith("audioforge: ")
    return told[0]
