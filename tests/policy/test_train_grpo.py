"""The trainer against a scripted API and a real policy server: resumable, patient, clear."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from grpo_groups import group
from server_calls import call

from audioforge.policy.checkpoints import CheckpointError
from audioforge.policy.learner import Learner, Training
from audioforge.policy.local_llm import LocalLLM
from audioforge.policy.train_grpo import Run
from audioforge.policy.training_api import Registration, ServiceError, TrainingApi


class Api:
    """Answers like `run-api`; fails as often as it is told to."""

    def __init__(self, groups):
        self.groups, self.failures, self.registered, self.empty = groups, 0, [], 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self, status, body):
                told = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def do_GET(self):
                if outer.failures:
                    outer.failures -= 1
                    return self._answer(503, {})
                if not outer.registered:
                    return self._answer(200, {"status": "error", "batch": []})
                if outer.empty:
                    outer.empty -= 1
                    return self._answer(200, {"batch": None})
                self._answer(200, {"batch": outer.groups})

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                outer.registered.append(json.loads(self.rfile.read(length)))
                self._answer(200, {"uuid": 1})

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


TOLD = Registration(3, 256, 0, 4, Path("x"), 1)


@pytest.fixture
def llm(small_folder):
    return LocalLLM(small_folder, "cpu")


@pytest.fixture
def api(llm):
    served = Api([group(llm.model)])
    yield served
    served.close()


def weights(llm):
    return torch.cat([weight.detach().flatten() for weight in llm.model.parameters()])


def run_of(llm, api, folder, steps):
    training = Training(steps=steps, updates=1, rate=1e-3)
    run = Run(Learner(llm, training), TrainingApi(api.url, patience=20), folder)
    run.api.register(TOLD)
    folder.mkdir(exist_ok=True)
    return run


def test_a_training_that_was_cut_goes_on_to_the_same_weights(llm, small_folder, api, tmp_path):
    whole = run_of(llm, api, tmp_path / "whole", 4)
    whole.train([], 100, lambda: False)
    first = run_of(LocalLLM(small_folder, "cpu"), api, tmp_path / "cut", 4)
    first.train([], 100, lambda: first.step == 2)
    assert first.step == 2
    second = run_of(LocalLLM(small_folder, "cpu"), api, tmp_path / "cut", 4)
    second.restore()
    assert second.step == 2
    second.train([], 100, lambda: False)
    assert torch.allclose(weights(second.learner.llm), weights(llm), atol=1e-6)
    lines = (tmp_path / "cut" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


def test_another_training_is_not_continued(llm, api, tmp_path):
    run = run_of(llm, api, tmp_path, 1)
    run.train([], 1, lambda: False)
    other = Run(Learner(llm, Training(rate=5e-4)), TrainingApi(api.url), tmp_path)
    with pytest.raises(CheckpointError, match="another training"):
        other.restore()


def test_a_finished_training_is_made_longer_unless_its_rate_fell_towards_the_end(
    llm, api, tmp_path
):
    for anneal in (0.0, 0.5):
        folder = tmp_path / str(anneal)
        folder.mkdir()
        short, longer = (Training(steps=steps, updates=1, anneal=anneal) for steps in (1, 2))
        Run(Learner(llm, short), TrainingApi(api.url), folder).save()
        run = Run(Learner(llm, longer), TrainingApi(api.url), folder)
        if anneal:
            with pytest.raises(CheckpointError, match="another training"):
                run.restore()
        else:
            run.restore()


def test_the_rate_rises_holds_and_falls_towards_the_last_step():
    training = Training(steps=10, rate=1e-3, warmup=4, anneal=0.5)
    rates = [training.rate_at(step, 2 * step) for step in range(10)]
    assert rates == pytest.approx([2.5e-4, 7.5e-4, *[1e-3] * 4, 8e-4, 6e-4, 4e-4, 2e-4])
    assert Training(steps=10, rate=1e-3).rate_at(9, 18) == 1e-3
    with pytest.raises(ValueError, match=r"anneal must be in \[0, 1\]"):
        Training(anneal=1.5)


def test_every_step_hands_its_weights_to_the_server_and_keeps_two(
    llm, small_folder, api, serving, tmp_path
):
    with serving(LocalLLM(small_folder, "cpu"), weights_under=tmp_path) as url:
        run_of(llm, api, tmp_path, 3).train([f"{url}/v1"], 100, lambda: False)
        assert call(f"{url}/health")[1]["weights_version"] == 3
    kept = sorted(folder.name for folder in (tmp_path / "weights").iterdir())
    assert kept == ["step-000002", "step-000003"]


def test_the_exported_folder_loads_and_answers_like_the_trained_model(llm, api, tmp_path):
    run = run_of(llm, api, tmp_path, 1)
    run.train([], 100, lambda: False)
    again = LocalLLM(run.export(), "cpu")
    assert torch.equal(weights(again), weights(llm))


def test_a_batch_that_cannot_be_learnt_from_is_left_out(llm, api, tmp_path, capsys):
    run = run_of(llm, api, tmp_path, 2)
    broken = group(llm.model) | {"inference_logprobs": None}
    good, api.groups = api.groups, [broken]
    api.groups = _Turns([[broken], good])
    run.train([], 100, lambda: False)
    assert run.step == 2
    assert "batch left out: a group needs inference_logprobs" in capsys.readouterr().err


class _Turns(list):
    """Batches that differ from call to call, as JSON sees them."""

    def __init__(self, batches):
        super().__init__(batches[0])
        self._later = batches[1:]

    def __iter__(self):
        found = list(super().__iter__())
        if self._later:
            self[:] = self._later.pop(0)
        return iter(found)


def test_an_api_that_is_away_for_a_while_is_waited_for(api):
    client = TrainingApi(api.url, patience=20)
    client.register(TOLD)
    api.failures, api.empty = 2, 1
    assert client.batch() == api.groups


def test_an_api_that_was_started_anew_is_told_again(api):
    client = TrainingApi(api.url, patience=20)
    client.register(TOLD)
    api.registered.clear()
    assert client.batch() == api.groups
    assert [told["batch_size"] for told in api.registered] == [3]


def test_a_service_that_stays_away_is_one_line_with_its_url():
    client = TrainingApi("http://127.0.0.1:9", patience=0.5)
    with pytest.raises(ServiceError, match=r"http://127\.0\.0\.1:9/batch: no answer"):
        client.batch()


def test_a_refusal_is_final(small_server, tmp_path):
    client = TrainingApi("http://127.0.0.1:9", patience=20)
    with pytest.raises(ServiceError, match=r"refused \(403\)"):
        client.push([small_server], tmp_path, 1)
