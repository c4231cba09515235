"""A tokenizer folder, a language model that is asked over HTTP, and small groups."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from short_targets import write_short_targets

PROMPTS = [
    "warm pad",
    "drum loop at 120 bpm",
    "dark bass drone",
    "bright pluck melody",
    "wind and rain",
]

QUICK = "sfx,ambient,phrases"
"""Categories with few references: the others take seconds to compare a clip with theirs."""

SHORT = {
    "drums": "a drum loop",
    "instruments": "a warm synth pad",
    "sfx": "a short impact",
    "ambient": "wind and rain",
    "phrases": "a pluck melody",
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No network, no key, and no run folder of another test."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in (
        "OPENAI_API_KEY",
        "WANDB_API_KEY",
        "WANDB_DIR",
        "WANDB_DATA_DIR",
        "WANDB_CACHE_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory) -> str:
    """A byte-level tokenizer with a chat template, as a folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>", "<s>", "</s>"],
        show_progress=False,
    )
    trained.train_from_iterator(
        [json.dumps({"prompt": text, "steps": 8}) for text in PROMPTS], trainer
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained, pad_token="<pad>", eos_token="</s>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
    )
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_folder)


@pytest.fixture(scope="session")
def short_targets(tmp_path_factory) -> str:
    """Targets of one second, which are made and judged quickly: five categories, both splits."""
    return write_short_targets(tmp_path_factory.mktemp("targets") / "short.jsonl", SHORT, 2)


class FakeLLM:
    """Answers chat completions, and the token endpoint of vLLM, with actions over HTTP."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.calls = 0
        self.keys: list[str | None] = []
        self.status = 200
        self.delay = 0.0
        self.say = lambda number: json.dumps({"prompt": f"{PROMPTS[number % 5]} {number}"})
        self._said = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answers(self, n: int) -> list[str]:
        with self._lock:
            first, self._said = self._said, self._said + n
        return [self.say(number) for number in range(first, first + n)]

    def reply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        n = body.get("n") or 1
        if path == "/generate":
            ids = [
                [*self.tokenizer.encode(text), self.tokenizer.eos_token_id]
                for text in self.answers(n)
            ]
            logprobs = [[[{str(token): -0.25}] for token in answer] for answer in ids]
            return {"logprobs": logprobs, "finish_reasons": ["stop"] * n}
        choices = [
            {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            for i, text in enumerate(self.answers(n))
        ]
        return {
            "id": "c",
            "object": "chat.completion",
            "created": 0,
            "model": "fake",
            "choices": choices,
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.calls += 1
                fake.keys.append(self.headers.get("Authorization"))
                time.sleep(fake.delay)
                told = (
                    fake.reply(self.path, body)
                    if fake.status == 200
                    else {"error": {"message": "no"}}
                )
                sent = json.dumps(told).encode()
                self.send_response(fake.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def llm(tokenizer) -> Iterator[FakeLLM]:
    fake = FakeLLM(tokenizer)
    yield fake
    fake.close()


@pytest.fixture
def flags(llm, tokenizer_folder, short_targets) -> list[str]:
    """Settings of a small run on the fake language model, for a shell."""
    told = ["--env.model", "synth", "--env.out", "run", "--env.targets_file", short_targets]
    told += ["--env.tokenizer_name", tokenizer_folder, "--env.use_wandb", "False"]
    told += ["--env.categories", QUICK]
    return [*told, "--openai.base_url", llm.url, "--openai.model_name", "fake"]


@pytest.fixture
def command(llm, tokenizer_folder, short_targets, tmp_path):
    """Run the command line in this process; the call gives the exit code."""
    import sys

    import audioforge_env

    def run(name: str, *flags: str, endpoint: bool = True) -> int:
        words = [name, "--env.model", "synth", "--env.out", str(tmp_path / "run")]
        words += ["--env.targets_file", short_targets, "--env.use_wandb", "False"]
        if endpoint:
            words += ["--openai.base_url", llm.url, "--openai.model_name", "fake"]
            words += ["--env.tokenizer_name", tokenizer_folder]
        before = sys.argv, audioforge_env.AudioForgeEnv.command
        sys.argv = ["audioforge_env.py", *words, *flags]
        try:
            return audioforge_env.main()
        finally:
            sys.argv, audioforge_env.AudioForgeEnv.command = before

    return run


@pytest.fixture
def make_env(llm, tokenizer_folder, short_targets, tmp_path):
    """Build an environment without its command line."""
    from atroposlib.envs.base import APIServerConfig

    from audioforge_env import AudioForgeConfig, AudioForgeEnv

    def make(
        server_type: str = "vllm", base_url: str = "", timeout: int = 300, **settings: Any
    ) -> AudioForgeEnv:
        defaults = {
            "model": "synth",
            "targets_file": short_targets,
            "categories": QUICK,
            "total_steps": 100,
            "ensure_scores_are_not_same": False,
            "out": str(tmp_path / "run"),
            "tokenizer_name": tokenizer_folder,
        }
        config = AudioForgeConfig(**{**defaults, "use_wandb": False, **settings})
        server = APIServerConfig(
            model_name="fake",
            base_url=base_url or llm.url,
            api_key="x",
            health_check=False,
            server_type=server_type,
            timeout=timeout,
        )
        return AudioForgeEnv(config, [server])

    return make


@pytest.fixture
def lines():
    """Read a JSONL file."""
    return lambda path: [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.fixture
def child():
    """A context manager around a child process; it is interrupted at the end."""
    return _child


@contextlib.contextmanager
def _child(words: list[str], log: Path) -> Iterator[subprocess.Popen]:
    root = Path(__file__).parents[2]
    with log.open("w") as told:
        process = subprocess.Popen(
            words,
            stdout=told,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
