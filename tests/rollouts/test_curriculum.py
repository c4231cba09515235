"""The curriculum: it finds the wanted rate, forgets nothing, and a resumed run is the same run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest

from audioforge.data import targets as target_sources
from audioforge.reward_functions.score import RewardReport
from audioforge.rollouts.collect import Completion
from audioforge.rollouts.curriculum import Curriculum, CurriculumConfig, best_rewards
from audioforge.rollouts.metrics import curriculum_metrics
from audioforge.rollouts.outgoing import Encoded
from audioforge.rollouts.record import Origin, Rollout
from audioforge.rollouts.session import Session
from audioforge.rollouts.session_config import SessionConfig
from audioforge.rollouts.studio import Answer

POOL = target_sources.curated("train")
ORIGIN = Origin("scripted", "none", "w")


def rollout(target, group, reward, **fields):
    told = {"id": "r", "index": 0, "group_size": 1, "messages": (), "text": "", "timings": {}}
    told |= {"finish_reason": "stop", "seeds": {}, "origin": ORIGIN, **fields}
    return Rollout(target=target.to_json(), group=group, reward=reward, **told)


def play(curriculum, chances, groups, start=0, seed=0):
    """Let a policy with these chances of success play; return (levels, successes)."""
    rng = np.random.default_rng(seed)
    levels, won = [], []
    for index in range(start, start + groups):
        target = curriculum.choose(index)
        rewards = (rng.uniform(size=4) < chances[target.difficulty]).astype(float)
        curriculum.saw([rollout(target, index, float(r), index=i) for i, r in enumerate(rewards)])
        levels.append(target.difficulty)
        won.append(rewards.mean())
    return levels, won


def test_a_policy_comes_to_the_wanted_rate_and_stays_there():
    for wanted in (0.4, 0.6):
        curriculum = Curriculum(POOL, 0, CurriculumConfig(success=wanted))
        _, won = play(curriculum, {"easy": 0.95, "medium": 0.6, "hard": 0.1}, 400)
        assert np.mean(won[100:]) == pytest.approx(wanted, abs=0.06)


def test_it_moves_up_when_the_policy_gets_better_and_down_when_worse():
    curriculum = Curriculum(POOL, 3)
    play(curriculum, {"easy": 0.5, "medium": 0.1, "hard": 0.0}, 100)
    weak = curriculum.position
    play(curriculum, {"easy": 1.0, "medium": 0.9, "hard": 0.5}, 300, start=100)
    strong = curriculum.position
    play(curriculum, {"easy": 0.5, "medium": 0.1, "hard": 0.0}, 300, start=400)
    assert weak < 0.5 < 1.5 < strong
    assert curriculum.position < 0.5


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_no_level_and_no_target_starves(chance):
    curriculum = Curriculum(POOL, 1, CurriculumConfig(share=0.1))
    levels, _ = play(curriculum, dict.fromkeys(("easy", "medium", "hard"), chance), 400)
    for level in ("easy", "medium", "hard"):
        places = [place for place, one in enumerate(levels) if one == level]
        assert len(places) >= 0.09 * 400
        assert max(np.diff([-1, *places])) <= 30
    used = curriculum.state()["used"]
    for level in curriculum.levels:
        times = [used.get(target.id, 0) for target in curriculum.pool[level]]
        assert max(times) - min(times) <= 1


def test_the_same_outcomes_give_the_same_targets_and_the_seed_matters():
    chances = {"easy": 0.9, "medium": 0.5, "hard": 0.2}
    runs = [play(Curriculum(POOL, seed), chances, 60)[0] for seed in (5, 5, 6)]
    assert runs[0] == runs[1] != runs[2]


def test_a_checkpoint_goes_on_with_what_was_given_out():
    first = Curriculum(POOL, 0)
    play(first, {"easy": 0.9, "medium": 0.5, "hard": 0.2}, 30)
    given = {index: first.choose(index).id for index in (30, 31)}
    state = json.loads(json.dumps(first.state()))
    second = Curriculum(POOL, 0)
    assert second.restore(state, done=set(range(30))) == [30, 31]
    assert {index: second.choose(index).id for index in (30, 31)} == given
    assert second.choose(32).id == first.choose(32).id
    assert second.numbers() == first.numbers()
    assert len(json.dumps(state)) < 40 * len(POOL) + 2_000


def test_dropped_rollouts_say_nothing_and_a_conversation_counts_once_with_its_best():
    target = POOL[0]
    turns = [
        rollout(target, 0, 0.2, index=0),
        rollout(target, 0, None, index=1),
        rollout(target, 0, 0.7, index=2, turn=2, began=0),
    ]
    assert best_rewards(turns) == [0.7]
    curriculum = Curriculum(POOL, 0)
    curriculum.choose(0)
    curriculum.saw([rollout(target, 0, None)])
    assert curriculum.success(target.difficulty) is None


def test_what_is_logged_names_position_rates_and_shares():
    curriculum = Curriculum(POOL, 0)
    play(curriculum, {"easy": 1.0, "medium": 1.0, "hard": 0.0}, 40)
    told = curriculum_metrics(curriculum)
    assert told["curriculum/success/easy"] == 1.0
    assert told["curriculum/success/hard"] == 0.0
    shares = [told[f"curriculum/share/{level}"] for level in curriculum.levels]
    assert sum(shares) == pytest.approx(1.0)
    assert curriculum_metrics(None) == {}


@pytest.mark.parametrize("wrong", [{"success": 1.0}, {"threshold": 0.0}, {"share": 0.4}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="curriculum_"):
        CurriculumConfig(**wrong)


class SecondsJudge:
    """Rewards short clips: what is asked to be long is hard."""

    def judge(self, audios, brief, *, references=(), recent=(), duplicates=()):
        return [RewardReport(total=1.0 if brief.seconds < 0.75 else 0.0, parts={}) for _ in audios]

    def vector(self, audio):
        return None


@pytest.fixture
def levelled(tmp_path):
    """Twelve targets of three difficulties, the hard ones longer."""
    seconds = {"easy": 0.5, "medium": 0.6, "hard": 1.0}
    told = [
        {
            "id": f"{level}-{number}",
            "category": "drums",
            "target_description": f"a {level} loop, number {number}",
            "parameters": {"seconds_total": long},
            "difficulty": level,
        }
        for level, long in seconds.items()
        for number in range(4)
    ]
    path = tmp_path / "levels.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in told))
    return path


def session(folder, levelled):
    config = SessionConfig(
        out=folder,
        reward=SecondsJudge(),
        targets_file=str(levelled),
        model="synth",
        group_size=2,
        groups=12,
        curriculum=CurriculumConfig(window=8),
    )
    return Session(config)


async def ask(messages, n, index):
    texts = [json.dumps({"prompt": f"drum loop {index} {number}"}) for number in range(n)]
    return [Answer(Completion(text), Encoded([1, 2], [-100, 2])) for text in texts]


def targets_of(one, most):
    """Make up to `most` groups; return what each was asked for, one more given out at the end."""

    async def run():
        told = {}
        while len(told) < most and (item := one.next_item()) is not None:
            await one.collect(item, ask)
            told[item["index"]] = item["target"].id
        return told

    return asyncio.run(run())


def test_a_killed_run_goes_on_with_the_very_targets_it_would_have_asked(tmp_path, levelled):
    whole = session(tmp_path / "whole", levelled)
    expected = targets_of(whole, 12)
    whole.close()
    killed = session(tmp_path / "killed", levelled)
    before = targets_of(killed, 5)
    lost = killed.next_item()  # given out, and gone with the process
    killed.close()
    again = session(tmp_path / "killed", levelled)
    after = targets_of(again, 12)
    assert lost is not None
    assert again.store is not None
    recorded = [group[0].target["id"] for group in again.store.groups()]
    again.close()
    assert before | after == expected
    assert after[lost["index"]] == lost["target"].id
    assert recorded == [expected[index] for index in range(12)]
    assert len({name.split("-")[0] for name in recorded}) == 3


def test_a_run_with_a_curriculum_does_not_go_on_without_one(tmp_path, levelled):
    one = session(tmp_path / "run", levelled)
    config = one.config
    one.close()
    with pytest.raises(ValueError, match="curriculum"):
        Session(replace(config, curriculum=None))


def test_begun_groups_of_a_serving_run_keep_their_targets_and_come_back_once(tmp_path, levelled):
    one = session(tmp_path / "run", levelled)
    config = replace(one.config, deliver=True, groups=None, out=tmp_path / "serve")
    one.close()
    first = Session(config)
    made = targets_of(first, 3)
    begun = first.next_item()
    assert begun is not None
    assert first.ledger is not None
    first.ledger.settle(0, "withheld", "equal")
    first.ledger.answered(3, asyncio.run(ask([], 2, 3)), begun["target"].id)
    state = first.checkpoint()
    first.close()
    again = Session(config)
    again.restore(state)
    items = [again.next_item() for _ in range(4)]
    again.close()
    told = [(item["index"], sorted(item.keys() - {"index", "target"})) for item in items if item]
    assert told == [(1, ["made"]), (2, ["made"]), (3, ["answers"]), (4, [])]
    assert [item["target"].id for item in items[:3] if item] == [
        made[1],
        made[2],
        begun["target"].id,
    ]
