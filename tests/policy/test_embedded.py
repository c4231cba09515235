"""The embedded server as a child process: it starts, answers and is gone afterwards."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from audioforge.policy.client import EndpointError
from audioforge.policy.embedded import embedded_policy


def health(base_url):
    with urllib.request.urlopen(base_url.replace("/v1", "/health"), timeout=10) as reply:
        return reply.status


def gone(base_url, within=15.0):
    """Wait until nothing listens there any more."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            health(base_url)
        except (urllib.error.URLError, ConnectionError):
            return True
        time.sleep(0.1)
    return False


def test_it_serves_while_open_and_leaves_no_child_also_after_an_error(small_folder, monkeypatch):
    children, popen = [], subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: children.append(popen(*a, **k)) or children[-1]
    )

    def fails_inside():
        with embedded_policy(small_folder) as base_url:
            found.append(base_url)
            assert health(base_url) == 200
            raise RuntimeError("inside")

    found = []
    with pytest.raises(RuntimeError, match="inside"):
        fails_inside()
    (base_url,) = found
    assert base_url.startswith("http://127.0.0.1:")
    assert gone(base_url, within=1)
    assert [child.returncode in (0, -signal.SIGTERM) for child in children] == [True]


def test_a_folder_without_a_model_is_one_clear_line(tmp_path):
    with (
        pytest.raises(EndpointError, match=r"did not start.*config.json is missing") as caught,
        embedded_policy(tmp_path),
    ):
        pass
    assert "\n" not in str(caught.value)


def test_the_child_stops_when_its_parent_is_killed(small_folder):
    code = (
        "import sys, time\nfrom audioforge.policy.embedded import embedded_policy\n"
        "with embedded_policy(sys.argv[1]) as url:\n    print(url, flush=True)\n"
        "    time.sleep(120)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(small_folder)], stdout=subprocess.PIPE, text=True
    )
    base_url = parent.stdout.readline().strip()
    try:
        assert health(base_url) == 200
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
    assert gone(base_url)
