"""A small untrained model for the protocol, and a server on a real socket around it."""

import asyncio
import socket
import threading
from contextlib import contextmanager

import pytest


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """A random-weight Llama with our tokenizer and a context of 256."""
    import torch

    from audioforge.policy.sft_batches import Recipe
    from audioforge.policy.tokenizer import build_tokenizer, training_texts
    from audioforge.policy.train_sft import build_model, export

    torch.set_num_threads(1)
    tokenizer = build_tokenizer(training_texts(3, lessons=200), vocabulary=600)
    recipe = Recipe(hidden=32, layers=2, heads=2, feed_forward=64, seed=7)
    model = build_model(recipe, tokenizer)
    model.config.max_position_embeddings = 256
    with torch.no_grad():  # sharper than at birth, so that logprobs differ from token to token
        model.model.embed_tokens.weight *= 8
    folder = tmp_path_factory.mktemp("llm") / "small"
    export(model, tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def small_llm(small_folder):
    from audioforge.policy.local_llm import LocalLLM

    return LocalLLM(small_folder, "cpu")


@pytest.fixture(scope="session")
def serving():
    """A context manager around `create_app` and `serve`."""
    return _serving


@contextmanager
def _serving(llm, name="small", **options):
    """Serve on a free loopback port in a thread; gives the address without /v1."""
    from audioforge.policy.server import create_app, serve

    class Lifeline:
        def __init__(self):
            self.cut = threading.Event()

        def read(self):
            self.cut.wait()

    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    ready, lifeline = threading.Event(), Lifeline()
    app = create_app(llm, name, **options)
    thread = threading.Thread(
        target=lambda: asyncio.run(serve(app, bound, ready.set, lifeline)), daemon=True
    )
    thread.start()
    assert ready.wait(30)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        lifeline.cut.set()
        thread.join(15)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def small_server(small_llm):
    with _serving(small_llm) as url:
        yield url
