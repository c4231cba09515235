"""The client: n answers from any endpoint, one clear line when there is none."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from audioforge.policy.client import AskSettings, EndpointError, endpoint
from audioforge.policy.learn import free_port

MESSAGES = [{"role": "user", "content": "drum loop"}]
QUICK = AskSettings(retries=0, timeout_seconds=20, max_tokens=12, seed=3)


def ask(base_url, n=4, model="small", **options):
    return asyncio.run(endpoint(base_url, model, **{"settings": QUICK, **options})(MESSAGES, n))


class _Scripted(BaseHTTPRequestHandler):
    """Answers with what the server object was told to; keeps what it was asked."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((asked, self.headers.get("Authorization")))
        status, body = self.server.script(asked)
        told = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *args):
        pass


@pytest.fixture
def scripted():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Scripted)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield server
    server.shutdown()
    server.server_close()


def one_choice(asked):
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": f"s{asked.get('seed')}"},
    }
    return 200, {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
    }


def refuse(status, message="no"):
    return lambda asked: (
        status,
        {"error": {"message": message, "type": "x", "code": None, "param": None}},
    )


def test_n_answers_come_back_and_the_same_run_seed_gives_them_again(small_server):
    first = ask(f"{small_server}/v1")
    assert len({c.text for c in first}) == 4
    assert {c.finish_reason for c in first} <= {"stop", "length"}
    assert ask(f"{small_server}/v1") == first


def test_the_same_messages_asked_again_get_new_answers(small_server):
    asking = endpoint(f"{small_server}/v1", "small", settings=QUICK)

    async def twice():
        return await asking(MESSAGES, 2), await asking(MESSAGES, 2)

    first, second = asyncio.run(twice())
    assert first != second


def test_a_server_that_ignores_n_is_asked_once_per_answer_and_remembered(scripted):
    scripted.script = one_choice
    asking = endpoint(scripted.url, "m", settings=QUICK)
    got = asyncio.run(asking(MESSAGES, 3))
    assert len({c.text for c in got}) == 3
    assert [asked.get("n") for asked, _ in scripted.asked].count(3) == 1
    assert len(scripted.asked) == 3
    asyncio.run(asking(MESSAGES, 3))
    assert [asked.get("n") for asked, _ in scripted.asked].count(3) == 1
    assert len(scripted.asked) == 6


def test_a_server_that_refuses_n_is_asked_once_per_answer(scripted):
    scripted.script = lambda asked: (
        refuse(400, "n must be 1")(asked) if "n" in asked else one_choice(asked)
    )
    assert len(ask(scripted.url, n=3)) == 3


def test_nothing_answers_is_one_line_with_the_url_and_what_to_do():
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(
        EndpointError, match="no language model answers there; start the server"
    ) as caught:
        ask(url)
    assert str(caught.value).startswith(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "set the environment variable MY_KEY"),
        (404, "no model 'small' there"),
        (429, "lower the concurrency"),
        (500, "look at its log"),
        (400, "refused the call"),
    ],
)
def test_each_refusal_says_what_to_do_and_never_the_key(scripted, monkeypatch, status, words):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    scripted.script = refuse(status, "you sent sk-very-secret\nand more")
    with pytest.raises(EndpointError, match=words) as caught:
        ask(scripted.url, n=1, api_key_env="MY_KEY")
    assert scripted.asked[0][1] == "Bearer sk-very-secret"
    assert "sk-very-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_lost_call_is_tried_again_a_bounded_number_of_times(scripted):
    scripted.script = refuse(503)
    with pytest.raises(EndpointError, match="overloaded"):
        ask(scripted.url, n=1, settings=AskSettings(retries=2))
    assert len(scripted.asked) == 3


def test_an_answer_without_choices_is_an_error(scripted):
    scripted.script = lambda asked: (
        200,
        {"id": "c", "object": "chat.completion", "created": 0, "model": "m"},
    )
    with pytest.raises(EndpointError, match="2 answers were asked for, 0 came"):
        ask(scripted.url, n=2)


def test_our_own_server_names_the_unknown_model(small_server):
    with pytest.raises(EndpointError, match="no model 'other' there"):
        ask(f"{small_server}/v1", model="other")
