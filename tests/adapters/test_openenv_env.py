"""OpenEnv: sessions over a real WebSocket, their clips in one pass, and what is refused."""

import asyncio
import base64
import io
import socket
import threading
import time
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("openenv", reason="an environment of its own: make test-openenv")

import uvicorn
from openenv.core import GenericEnvClient
from openenv.validation.parsers.openenv_yaml import OpenEnvYamlParser

from audioforge.adapters import openenv_env
from audioforge.adapters.openenv_env import SoundAction, SoundClient, SoundEnvironment
from audioforge.generation.request import Failure
from audioforge.generation.synth_backend import SynthBackend
from audioforge.rollouts.desk import Desk, shared_desk
from audioforge.rollouts.settings import EnvSettings


@pytest.fixture(scope="module")
def settings(short_targets):
    return EnvSettings(model="synth", targets_file=short_targets)


@pytest.fixture(scope="module")
def url(settings):
    """A server on a free loopback port."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    app = openenv_env.create_server(settings, sessions=6)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    server.should_exit = True
    thread.join(15)


def test_an_episode_gives_a_target_and_judges_an_answer_with_its_reasons(url, say):
    with SoundClient(base_url=url).sync() as client:
        seen = client.reset(seed=3, audio=True)
        assert seen.reward is None
        assert not seen.done
        assert seen.observation.description in seen.observation.user
        assert client.state().target == seen.observation.target
        judged = client.step(SoundAction(text=say()))
        assert judged.done
        assert client.state().step_count == 1
    assert 0 < judged.reward <= 1
    assert judged.reward == judged.observation.reward
    assert judged.observation.outcome == "scored"
    assert judged.observation.checks
    assert judged.observation.metadata["action"]["prompt"] == "techno drum loop"
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(judged.observation.audio_flac)))
    assert abs(samples).max() > 0.1


def test_the_same_seed_gives_the_same_clip_and_another_session_another_target(url, say):
    shas, targets = [], []
    for seed in (5, 5, 6):
        with SoundClient(base_url=url).sync() as client:
            targets.append(client.reset(seed=seed, index=seed).observation.target)
            shas.append(client.step(SoundAction(text=say())).metadata["clip"]["sha256"])
    assert shas[0] == shas[1] != shas[2]
    assert targets[0] == targets[1] != targets[2]


def test_sessions_that_step_together_share_passes(url, settings, say):
    metrics = shared_desk(settings, "openenv")._session.studio.engine.metrics

    async def play(number):
        async with SoundClient(base_url=url) as client:
            await client.reset(seed=number)
            await ready.wait()
            return await client.step(SoundAction(text=say(prompt=f"beat {number}")))

    ready = asyncio.Barrier(4)
    before = metrics()

    async def all_of_them():
        return await asyncio.gather(*(play(number) for number in range(4)))

    judged = asyncio.run(all_of_them())
    after = metrics()
    assert all(one.reward is not None for one in judged)
    assert after.clips - before.clips == 4
    assert after.passes - before.passes < 4


def test_any_client_may_talk_to_it_and_a_bad_answer_is_worth_0(url):
    with GenericEnvClient(base_url=url).sync() as client:
        client.reset(seed=1)
        judged = client.step({"text": "no"})
        assert (judged.reward, judged.done) == (0.0, True)
        assert judged.observation["reason"] == "no JSON object in the answer"
        with pytest.raises(RuntimeError, match="call reset before step"):
            client.step({"text": "again"})
        client.reset(seed=1)
        with pytest.raises(RuntimeError):
            client.step({"txt": "unknown field"})


def test_targets_are_told_as_tasks(settings):
    desk = shared_desk(settings, "openenv")
    env = SoundEnvironment(desk, settings)
    assert env.list_splits() == ["train", "eval"]
    assert env.num_tasks("eval") == 3
    asked = env.get_task("eval", 1)
    assert env.reset(split="eval", index=1).target == asked["id"]
    with pytest.raises(ValueError, match="index must be 0 or more"):
        env.reset(index=-1)


class Lost(SynthBackend):
    """A generator that breaks."""

    def generate(self, requests):
        return [Failure(request, "memory", "out of memory") for request in requests]


def test_a_clip_we_lost_has_no_reward(settings, say, monkeypatch):
    monkeypatch.setattr("audioforge.generation.synth_backend.SynthBackend", Lost)
    desk = Desk(settings)
    env = SoundEnvironment(desk, settings)
    env.reset(seed=0)
    judged = env.step(SoundAction(text=say()))
    desk.close()
    assert judged.reward is None
    assert judged.done
    assert judged.outcome == "dropped"
    assert "out of memory" in judged.reason


def test_the_manifest_is_valid_and_names_the_app():
    folder = Path(openenv_env.__file__).parent
    manifest = OpenEnvYamlParser().parse(folder)
    assert manifest.reward.range == (0.0, 1.0)
    assert "openenv_env:app" in (folder / "openenv.yaml").read_text()
    with pytest.raises(AttributeError):
        _ = openenv_env.nothing
