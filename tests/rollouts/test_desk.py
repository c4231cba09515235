"""The desk: answers share passes, seeds come from a number, records get their own numbers."""

import asyncio
import gc
import json
import threading
import weakref

import pytest

from audioforge.rollouts.desk import Desk, Turn, part_values, shared_desk, told
from audioforge.rollouts.replay import replay
from audioforge.rollouts.report import write_report
from audioforge.rollouts.settings import EnvSettings
from audioforge.rollouts.store import RunStore


def settings(**given):
    return EnvSettings(**{"model": "synth", "split": "procedural", **given})


@pytest.fixture(scope="module")
def desk():
    desk = Desk(settings())
    yield desk
    desk.close()


def shas(group):
    return [rollout.clip.sha256 for rollout in group.rollouts]


def test_the_same_answers_with_the_same_number_sound_and_score_the_same(desk, say):
    target, answers = desk.target_at(0), [say(), say(prompt="rain ambience")]
    first, again, other = (desk.judge(target, answers, number) for number in (7, 7, 8))
    assert shas(first) == shas(again)
    assert first.rewards == again.rewards
    assert shas(first)[1] != shas(other)[1]


def test_what_was_made_earlier_changes_a_reward_only_where_it_is_remembered(say):
    with_memory = Desk(settings(), remember=True)
    target = with_memory.target_at(0)
    answer = say(prompt=target.baseline_prompt, seconds_total=target.brief.seconds)
    groups = [with_memory.judge(target, [answer], 7) for _ in range(2)]
    with_memory.close()
    parts = [part_values(group.rollouts[0])["creativity"] for group in groups]
    assert parts[1] < parts[0]


def test_answers_brought_at_the_same_time_share_a_pass(desk, say):
    turns = [Turn(desk.target_at(i), [say(prompt=f"beat {i}")], i) for i in range(6)]
    groups = desk.submit(turns).result()
    assert [group.target for group in groups] == [turn.target for turn in turns]
    assert [len(group.rollouts[0].batch) for group in groups] == [6] * 6


def test_an_answer_without_an_action_is_worth_0_and_is_told_in_plain_types(desk, say):
    group = desk.judge(desk.target_at(1), ["no idea", '{"prompt": "rain"}'], 0)
    assert group.rewards[0] == 0.0
    lines = [told(rollout) for rollout in group.rollouts]
    assert [line["outcome"] for line in lines] == ["unparsable", "scored"]
    assert json.loads(json.dumps(lines, allow_nan=False)) == lines
    assert part_values(group.rollouts[0]) == {}
    assert 0 <= part_values(group.rollouts[1])["audio_quality"] <= 1


def test_it_can_be_awaited_from_another_event_loop(desk, say):
    async def wait():
        return await asyncio.wrap_future(desk.submit([Turn(desk.target_at(0), [say()])]))

    assert asyncio.run(wait())[0].rewards[0] is not None


def test_groups_are_recorded_once_each_under_their_own_numbers_and_replay(tmp_path, say):
    desk = Desk(settings(out=str(tmp_path)))
    target = desk.target_at(0)
    for _ in range(2):
        group = desk.judge(target, [say()], 5)
        assert (tmp_path / group.rollouts[0].clip.path).is_file()
    desk.close()
    resumed = Desk(settings(out=str(tmp_path)))
    resumed.judge(target, [say(), "nothing"], 5)
    resumed.close()
    assert sorted(RunStore(tmp_path).done()) == [0, 1, 2]
    assert [again.same for again in replay(tmp_path)] == [True] * 3
    assert write_report(tmp_path).stat().st_size > 10_000


def test_those_who_ask_for_the_same_settings_share_a_desk_and_the_last_one_ends_it():
    one, other = shared_desk(settings()), shared_desk(settings())
    different = shared_desk(settings(run_seed=1))
    assert one is other
    assert one is not different
    gone = weakref.ref(one)
    before = threading.active_count()
    del one, other
    gc.collect()
    assert gone() is None
    assert threading.active_count() < before


@pytest.mark.parametrize(("answers", "number"), [([], 0), (["x"], -1)])
def test_nothing_to_do_is_refused(desk, answers, number):
    with pytest.raises(ValueError, match="answers and a number from 0"):
        desk.judge(desk.target_at(0), answers, number)


def test_a_closed_desk_says_so(say):
    desk = Desk(settings())
    target = desk.target_at(0)
    desk.close()
    with pytest.raises(RuntimeError, match="closed"):
        desk.judge(target, [say()])
