"""The server over real HTTP: OpenAI's shapes, determinism, logprobs, refusals, pressure."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import openai
import pytest
from server_calls import MESSAGES, call, chat, texts


def test_health_and_models(small_server):
    assert call(f"{small_server}/health") == (200, {"status": "ok", "weights_version": 0})
    status, listed = call(f"{small_server}/v1/models")
    assert status == 200
    assert [model["id"] for model in listed["data"]] == ["small"]


def test_the_openai_client_understands_chat_and_text_completions(small_server, small_llm):
    client = openai.OpenAI(base_url=f"{small_server}/v1", api_key="none")
    said = client.chat.completions.create(
        model="small", messages=MESSAGES, n=3, max_tokens=16, seed=4, logprobs=True, temperature=1.0
    )
    assert [choice.index for choice in said.choices] == [0, 1, 2]
    assert all(choice.finish_reason in ("stop", "length") for choice in said.choices)
    assert said.usage.prompt_tokens == len(small_llm.encode_chat(MESSAGES))
    written = sum(len(choice.logprobs.content) for choice in said.choices)
    assert said.usage.completion_tokens == written
    assert all(token.logprob <= 0 for choice in said.choices for token in choice.logprobs.content)
    plain = client.completions.create(
        model="small", prompt="drum", n=2, max_tokens=5, seed=4, logprobs=1
    )
    assert len(plain.choices) == 2
    assert (
        len(plain.choices[0].logprobs.tokens) == len(plain.choices[0].logprobs.token_logprobs) <= 5
    )


def test_the_same_seed_gives_the_same_texts_over_http(small_server):
    assert texts(chat(small_server, n=4)) == texts(chat(small_server, n=4))
    assert texts(chat(small_server, n=4)) != texts(chat(small_server, n=4, seed=2))
    assert len(set(texts(chat(small_server, n=4)))) == 4


def test_a_chat_is_the_template_then_the_prompt(small_server, small_llm):
    prompt = small_llm.encode_chat(MESSAGES)
    by_ids = call(
        f"{small_server}/v1/completions", {"prompt": list(prompt), "max_tokens": 16, "seed": 1}
    )
    assert by_ids[1]["choices"][0]["text"] == texts(chat(small_server))[0]
    assert small_llm.tokenizer.decode(prompt).endswith(
        "<|user|>\ndrum loop, 128 bpm<|end|>\n<|assistant|>\n"
    )


def test_text_parts_are_read_as_text(small_server):
    parts = [
        {"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in MESSAGES
    ]
    assert texts(chat(small_server, messages=parts)) == texts(chat(small_server))


def test_generate_returns_token_ids_and_logprobs_as_vllm_does(small_server, small_llm):
    import torch

    prompt = list(small_llm.encode_chat(MESSAGES))
    body = {
        "prompt": {"prompt_token_ids": prompt},
        "logprobs": 0,
        "n": 3,
        "max_tokens": 16,
        "seed": 3,
    }
    status, reply = call(f"{small_server}/generate", {**body, "prompt_logprobs": 1})
    assert status == 200
    assert reply["prompt_token_ids"] == prompt
    assert len(reply["text"]) == len(reply["finish_reasons"]) == 3
    for ids, entries in zip(reply["token_ids"], reply["logprobs"], strict=True):
        assert [int(next(iter(entry[0]))) for entry in entries] == ids
        with torch.no_grad():
            table = torch.log_softmax(small_llm.model(torch.tensor([prompt + ids])).logits[0], -1)
        direct = [float(table[len(prompt) - 1 + i, token]) for i, token in enumerate(ids)]
        assert [next(iter(entry[0].values())) for entry in entries] == pytest.approx(
            direct, abs=1e-4
        )
    assert len(reply["prompt_logprobs"]) == len(prompt)


def test_requests_that_arrive_together_are_answered_in_one_batch(small_llm, serving, monkeypatch):
    sizes, generate = [], small_llm.generate
    monkeypatch.setattr(
        small_llm, "generate", lambda asked: sizes.append(len(asked)) or generate(asked)
    )
    with serving(small_llm) as url, ThreadPoolExecutor(12) as pool:
        alone = [texts(chat(url, seed=seed, n=2)) for seed in range(12)]
        sizes.clear()
        together = list(pool.map(lambda seed: texts(chat(url, seed=seed, n=2)), range(12)))
    assert together == alone
    assert sum(sizes) == 12
    assert len(sizes) < 12


def test_a_full_queue_refuses_at_once_and_the_others_are_answered(small_llm, serving, monkeypatch):
    go, generate = threading.Event(), small_llm.generate
    monkeypatch.setattr(small_llm, "generate", lambda asked: go.wait(20) and generate(asked))
    with serving(small_llm, waiting=4) as url, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(chat, url, n=2, seed=seed) for seed in range(2)]
        time.sleep(0.5)
        status, refused = chat(url, n=1)
        assert status == 503
        assert refused["error"]["code"] == "overloaded"
        go.set()
        assert [done.result()[0] for done in waiting] == [200, 200]
        assert chat(url)[0] == 200


def test_a_client_that_left_is_not_answered(small_llm, serving, monkeypatch):
    go, written, generate = threading.Event(), [], small_llm.generate

    def slow(asked):
        go.wait(20)
        written.extend(question.sampling.seed for question in asked)
        return generate(asked)

    monkeypatch.setattr(small_llm, "generate", slow)
    with serving(small_llm) as url, ThreadPoolExecutor(2) as pool:
        first = pool.submit(chat, url, seed=1)
        time.sleep(0.3)
        told = json.dumps({"messages": MESSAGES, "seed": 2}).encode()
        leaving = HTTPConnection(url.removeprefix("http://"), timeout=5)
        leaving.request("POST", "/v1/chat/completions", told, {"Content-Type": "application/json"})
        time.sleep(0.3)
        leaving.close()
        time.sleep(1.0)
        go.set()
        assert first.result()[0] == 200
        assert chat(url, seed=3)[0] == 200
    assert written == [1, 3]


def test_a_failing_model_is_a_500_without_its_inner_words_and_the_server_lives_on(
    small_llm, serving, monkeypatch
):
    def broken(asked):
        raise FloatingPointError("secret prompt text")

    with serving(small_llm) as url:
        with monkeypatch.context() as patch:
            patch.setattr(small_llm, "generate", broken)
            status, reply = chat(url)
        assert status == 500
        assert reply["error"]["type"] == "server_error"
        assert "secret" not in json.dumps(reply)
        assert chat(url)[0] == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "user"}]}, "content"),
        ({"n": 0}, "n"),
        ({"n": 1_000}, "less than or equal to 64"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": -5}, "seed"),
        ({"stream": True}, "stream is not supported"),
        ({"top_k": 5}, "top_k is not supported"),
        ({"stop": [""]}, "stop must be"),
    ],
)
def test_a_bad_field_is_a_400_that_names_it(small_server, fields, words):
    status, reply = chat(small_server, **fields)
    assert status == 400
    assert reply["error"]["type"] == "invalid_request_error"
    assert words in reply["error"]["message"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"messages": NaN}'])
def test_a_body_that_is_not_a_request_is_a_400(small_server, raw):
    status, reply = call(f"{small_server}/v1/chat/completions", raw=raw)
    assert status == 400
    assert reply["error"]["message"]


def test_unknown_models_paths_and_methods_are_json_errors(small_server):
    status, reply = chat(small_server, model="gpt-9")
    assert (status, reply["error"]["code"]) == (404, "model_not_found")
    assert call(f"{small_server}/v1/nothing")[0] == 404
    assert call(f"{small_server}/generate")[0] == 405
    assert "error" in call(f"{small_server}/generate")[1]


def test_prompts_that_do_not_fit_are_refused_before_the_batch(small_server):
    long = chat(small_server, messages=[{"role": "user", "content": "drum " * 400}])
    assert (long[0], long[1]["error"]["code"]) == (400, "context_length_exceeded")
    for ids in ([], [-1], [10**6], [1] * 300):
        status, reply = call(f"{small_server}/generate", {"prompt": {"prompt_token_ids": ids}})
        assert status == 400
        assert reply["error"]["message"]


def test_a_body_over_the_limit_is_refused(small_server):
    status, reply = chat(small_server, messages=[{"role": "user", "content": "x" * (1 << 20)}])
    assert status == 413
    assert "1048576 bytes" in reply["error"]["message"]


def test_managed_server_gets_tokens_masks_and_logprobs(small_server, small_folder, small_llm):
    pytest.importorskip("atroposlib")
    from atroposlib.envs.server_handling.managed_server import ManagedServer
    from atroposlib.envs.server_handling.server_baseline import APIServerConfig
    from atroposlib.envs.server_handling.vllm_server import VLLMServer

    async def collect():
        config = APIServerConfig(
            model_name="small", base_url=f"{small_server}/v1", api_key="x", health_check=True,
            server_type="vllm", tokenizer_name=str(small_folder), timeout=60,
        )  # fmt: skip
        server = VLLMServer(config)
        managed = ManagedServer(server, tokenizer=server.tokenizer)
        said = await managed.chat_completion(
            messages=MESSAGES, n=4, max_tokens=20, temperature=1.0, seed=11, top_p=1.0
        )
        scored = await managed.get_logprobs(messages=MESSAGES, top_k=2)
        server.check_task.cancel()
        await server.openai.close()
        return said, managed.get_state()["nodes"], scored

    said, nodes, scored = asyncio.run(collect())
    prompt = list(small_llm.encode_chat(MESSAGES))
    assert len(said.choices) == len(nodes) == 4
    for choice, node in zip(said.choices, nodes, strict=True):
        assert node.tokens[: len(prompt)] == prompt
        assert node.masked_tokens == [-100] * len(prompt) + node.tokens[len(prompt) :]
        assert node.logprobs[: len(prompt)] == [1.0] * len(prompt)
        written = node.logprobs[len(prompt) :]
        assert len(node.logprobs) == len(node.tokens) <= len(prompt) + 20
        assert all(value <= 0 for value in written)
        assert len(set(written)) > 1
        assert (
            small_llm.tokenizer.decode(node.tokens[len(prompt) :], skip_special_tokens=True)
            == choice.message.content
        )
        assert node.metadata["finish_reason"] in ("stop", "length")
    assert scored["prompt_tokens"] == prompt
    assert len(scored["prompt_topk_logprobs"]) == len(prompt)
