"""Groups collected at the same time share passes, and each can be replayed all the same."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from audioforge.generation.engine import Engine, EngineSettings
from audioforge.generation.request import Clip
from audioforge.generation.synth_backend import SynthBackend
from audioforge.rollouts.collect import Completion, Studio, collect_group
from audioforge.rollouts.outgoing import Encoded
from audioforge.rollouts.replay import replay
from audioforge.rollouts.session import Session
from audioforge.rollouts.session_config import SessionConfig
from audioforge.rollouts.studio import Answer
from audioforge.utils.audio_processing import Audio


class MatesMatter(SynthBackend):
    """Sounds a little different in every batch: softer by its size and the place in it."""

    def __init__(self):
        self.batches = []

    def generate(self, requests):
        self.batches.append([request.prompt for request in requests])
        return [
            self.softer(request, place, len(requests)) for place, request in enumerate(requests)
        ]

    def softer(self, request, place, size):
        clip = super()._one(request)
        gain = 1 - 0.01 * size - 0.001 * place
        return Clip(request, Audio(clip.audio.samples * gain, clip.audio.sample_rate), 0.0)


def answering(say, *prompts):
    async def ask(messages, n):
        return [Completion(say(prompt=prompt)) for prompt in prompts]

    return ask


@pytest.fixture
def shared(target, judge, say, started):
    """Two groups in one pass, on disk; the backend that made them."""
    backend = MatesMatter()
    engine = Engine.in_process(backend, EngineSettings(max_delay=0.3, cache_mb=0))

    async def run():
        studio = Studio(engine, judge, started, group_size=3)
        await asyncio.gather(
            collect_group(target, 0, answering(say, "bell", "rain", "bell"), studio),
            collect_group(target, 1, answering(say, "wind", "techno beat", "pad"), studio),
        )

    asyncio.run(run())
    started.close()
    return started, backend


def test_groups_in_flight_share_a_pass_and_their_records_tell_it(shared):
    store, backend = shared
    assert [sorted(batch) for batch in backend.batches] == [
        ["bell", "pad", "rain", "techno beat", "wind"]
    ]
    groups = sorted(store.groups(), key=lambda group: group[0].group)
    requests = {r.request.key[:16]: r.request for group in groups for r in group}
    batches = {r.batch for group in groups for r in group}
    assert [[requests[key].prompt for key in batch] for batch in batches] == backend.batches


def test_clips_of_shared_passes_are_replayed_byte_for_byte(shared):
    store, recorded = shared
    again = MatesMatter()
    assert all(one.same for one in replay(store.folder, backend=again))
    assert again.batches == recorded.batches
    assert [one.same for one in replay(store.folder, "g00001-r2", backend=MatesMatter())] == [True]


def test_mates_that_were_never_recorded_are_told(shared):
    store, _ = shared
    kept = [line for line in store.rollouts_file.read_text().splitlines() if '"group": 1' in line]
    store.rollouts_file.write_text("".join(line + "\n" for line in kept))
    replayed = replay(store.folder, backend=MatesMatter())
    assert len(replayed) == 3
    assert not any(one.same for one in replayed)
    assert all("2 clips made in the same pass are not recorded" in one.drift for one in replayed)


def test_a_group_that_was_cut_by_a_smaller_batch_is_replayed_byte_for_byte(collect, say, started):
    engine = Engine.in_process(MatesMatter(), EngineSettings(max_batch=2, cache_mb=0))
    group = collect(
        *(say(prompt=p) for p in ("bell", "rain", "wind")), backend=engine, store=started
    )
    assert [len(rollout.batch) for rollout in group.rollouts] == [2, 2, 1]
    started.close()
    assert all(one.same for one in replay(started.folder, backend=MatesMatter()))


def test_a_group_alone_says_nothing_of_its_batch(collect, say, started):
    group = collect(say(prompt="bell"), say(prompt="rain"), store=started)
    assert [rollout.batch for rollout in group.rollouts] == [(), ()]
    assert '"batch"' not in started.rollouts_file.read_text()


def test_where_the_queue_is_full_a_group_waits_and_loses_nothing(target, judge, say):
    engine = Engine.in_process(SynthBackend(), EngineSettings(max_waiting=2, max_batch=2))

    async def run():
        studio = Studio(engine, judge, group_size=2)
        return await asyncio.gather(
            *(
                collect_group(target, index, answering(say, "bell", "rain"), studio)
                for index in range(4)
            )
        )

    groups = asyncio.run(run())
    assert {r.outcome for group in groups for r in group.rollouts} == {"scored"}
    assert engine.metrics().overloaded > 0


def test_a_session_goes_on_when_its_worker_is_killed_and_leaves_none_behind(tmp_path, judge, say):
    async def ask(messages, n, index):
        return [Answer(Completion(say(prompt=p)), Encoded([], [], None)) for p in ("bell", "rain")]

    async def run():
        config = SessionConfig(
            out=tmp_path / "run", reward=judge, model="synth", group_size=2, workers=1
        )
        session = Session(config)
        (worker,) = session.studio.engine._places
        pids = [worker.pid]
        groups = [(await session.collect(session.next_item(), ask))[0]]
        os.kill(worker.pid, signal.SIGKILL)
        groups.append((await session.collect(session.next_item(), ask))[0])
        pids.append(worker.pid)
        session.close()
        return groups, pids

    groups, pids = asyncio.run(run())
    assert {r.outcome for group in groups for r in group.rollouts} == {"scored"}
    assert len(set(pids)) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
