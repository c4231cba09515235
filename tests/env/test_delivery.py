"""Delivery to a real Atropos API, through a proxy that breaks it: each group at most once."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request

import pytest
from fault_proxy import FaultProxy

from audioforge.rollouts.delivery import Delivery
from audioforge.rollouts.ledger import OUTCOMES, Ledger
from audioforge.rollouts.outgoing import Encoded
from audioforge.rollouts.studio import Answer, Completion
from audioforge.rollouts.trainer_api import TrainerApi


def call(url: str, body: dict | None = None):
    sent = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, sent, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def server():
    """Atropos' own API, in a thread."""
    import uvicorn
    from atroposlib.api.server import app

    running = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="critical"))
    threading.Thread(target=running.run, daemon=True).start()
    while not running.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True


@pytest.fixture
def api(server):
    """With nothing in it: no trainer, no environment."""
    from atroposlib.api.server import app

    for name in list(app.state._state):
        delattr(app.state, name)
    return server


def register(api: str) -> int:
    """Be the trainer, and then the environment; return its id."""
    told = {"wandb_group": "g", "wandb_project": "p", "batch_size": 4, "max_token_len": 2_048}
    told |= {"checkpoint_dir": "", "save_checkpoint_interval": 1, "starting_step": 0}
    call(f"{api}/register", told | {"num_steps": 3})
    call(f"{api}/batch")
    ours = {"max_token_length": 2_048, "desired_name": "x", "weight": 1.0, "group_size": 2}
    return call(f"{api}/register-env", ours)["env_id"]


def group(index: int) -> dict:
    return {
        "tokens": [[1, 2], [1, 3]],
        "masks": [[-100, 2], [-100, 3]],
        "scores": [0.0, 1.0],
        "generation_params": {"target": "t", "group": index},
    }


def answers() -> list[Answer]:
    return [Answer(Completion("x"), Encoded([1, 2], [-100, 2], [1.0, -0.5]))] * 2


def received(api: str) -> list[int]:
    """Empty the API's queue and return the groups that were in it."""
    from atroposlib.api.server import app

    return [one["generation_params"]["group"] for one in getattr(app.state, "queue", [])]


def deliver(folder, url: str, groups: list[dict], env_id: int = 0) -> tuple[list[str], list[dict]]:
    async def run():
        ledger = Ledger(folder)
        for one in groups:
            ledger.answered(one["generation_params"]["group"], answers())
        delivery = Delivery(TrainerApi(url), ledger)
        delivery.env_id = env_id
        async with asyncio.timeout(60):
            return await asyncio.gather(*(delivery.send(one) for one in groups)), ledger.open()

    outcomes, still_open = asyncio.run(run())
    assert still_open == []
    return outcomes, [json.loads(line) for line in (folder / OUTCOMES).read_text().splitlines()]


def test_groups_arrive_once_and_in_order(api, tmp_path):
    env_id = register(api)
    outcomes, written = deliver(tmp_path, api, [group(index) for index in range(5)], env_id)
    assert outcomes == ["sent"] * 5
    assert received(api) == [0, 1, 2, 3, 4]
    assert [line["outcome"] for line in written] == ["sending", "sent"] * 5


@pytest.mark.parametrize("fault", ["500", "reset", "lost_answer"])
def test_a_broken_connection_neither_loses_nor_doubles_a_group(api, tmp_path, fault):
    env_id = register(api)
    proxy = FaultProxy(api, choose=lambda _, call: fault if call in (1, 3, 4) else None)
    try:
        outcomes, _ = deliver(tmp_path, proxy.url, [group(index) for index in range(4)], env_id)
    finally:
        proxy.close()
    assert proxy.injected[fault] == 3
    assert outcomes == ["sent"] * 4
    assert received(api) == [0, 1, 2, 3]


def test_a_group_the_api_refuses_is_told_and_not_tried_for_ever(api, tmp_path):
    env_id = register(api)
    outcomes, written = deliver(tmp_path, api, [group(0) | {"scores": ["high", "low"]}], env_id)
    assert outcomes == ["withheld"]
    assert "422" in written[-1]["reason"]


def test_nothing_is_sent_to_an_api_that_has_no_trainer_yet(api, tmp_path):
    """Upstream would take the group and then skip the trainer's registration for good."""

    async def run():
        ledger = Ledger(tmp_path)
        ledger.answered(7, answers())
        delivery = Delivery(TrainerApi(api), ledger)
        delivery.env_id = 0
        waiting = asyncio.create_task(delivery.send(group(7)))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        assert received(api) == []
        delivery.env_id = await asyncio.to_thread(register, api)
        async with asyncio.timeout(30):
            return await waiting

    assert asyncio.run(run()) == "sent"
    assert received(api) == [7]
    assert call(f"{api}/status")["queue_size"] == 1


def test_cancelling_who_waits_does_not_stop_the_sending(api, tmp_path):
    env_id = register(api)

    async def run():
        ledger = Ledger(tmp_path)
        ledger.answered(3, answers())
        delivery = Delivery(TrainerApi(api), ledger)
        delivery.env_id = env_id
        waiting = asyncio.create_task(delivery.send(group(3)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wait(delivery.waiting)
        return ledger.counts

    assert asyncio.run(run()) == {"sent": 1}
    assert received(api) == [3]


def test_a_group_that_was_being_sent_in_a_crash_is_not_sent_again(tmp_path):
    ledger = Ledger(tmp_path)
    for index in range(4):
        ledger.answered(index, answers())
    ledger.settle(0, "sent")
    ledger.settle(1, "sending")
    ledger.settle(2, "sending")
    ledger.settle(2, "unsent", "refused")
    with (tmp_path / OUTCOMES).open("a") as torn:
        torn.write('{"group": 3, "outc')
    again = Ledger(tmp_path)
    assert again.open() == [2, 3]
    assert again.answers(2) == answers()
    assert again.answers(1) is None
    last = [json.loads(line) for line in (tmp_path / OUTCOMES).read_text().splitlines()][-1]
    assert (last["group"], last["outcome"]) == (1, "unconfirmed")


def test_answers_that_a_power_loss_cut_are_asked_for_again(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.answered(0, answers())
    path = next((tmp_path / "outbox").iterdir())
    path.write_text(path.read_text()[:30])
    assert ledger.answers(0) is None
