"""Calls to the policy server over real HTTP, for tests."""

import json
import urllib.error
import urllib.request

MESSAGES = [
    {"role": "system", "content": "Answer in JSON."},
    {"role": "user", "content": "drum loop, 128 bpm"},
]


def call(url, body=None, raw=None):
    """Return status and JSON of a GET (no body) or POST."""
    told = raw if raw is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, told, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def chat(url, **fields):
    return call(
        f"{url}/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 16, "seed": 1, **fields}
    )


def texts(reply):
    return [choice["message"]["content"] for choice in reply[1]["choices"]]
