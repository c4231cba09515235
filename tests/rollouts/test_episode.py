"""Episodes: each conversation goes its own way, all is recorded, and a failure costs only one."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from audioforge.generation.request import Failure
from audioforge.generation.synth_backend import SynthBackend
from audioforge.reward_functions.score import CheckOutcome, RewardReport
from audioforge.rollouts.collect import Completion, Studio
from audioforge.rollouts.episode import (
    Conversations,
    EpisodeConfig,
    episode_numbers,
    episode_reward,
    trained,
)
from audioforge.rollouts.metrics import group_metrics
from audioforge.rollouts.outgoing import Encoded, Limits, outgoing_group
from audioforge.rollouts.replay import replay
from audioforge.rollouts.report import write_report
from audioforge.rollouts.store import RunStore
from audioforge.rollouts.studio import Answer


class StepsJudge:
    """Rewards the loudest clips: the prompt's number is the level, in hundredths."""

    def judge(self, audios, brief, *, references=(), recent=(), duplicates=()):
        self.recent = len(recent)
        return [self.report(audio) for audio in audios]

    def report(self, audio):
        level = round(float(np.abs(audio.samples).max()), 2)
        check = CheckOutcome("bpm", "120", level, 1.0, f"asked for 120 BPM, heard {level}")
        return RewardReport(total=level, parts={}, checks=(check,), vector=self.vector(audio))

    def vector(self, audio):
        return np.array([float(np.abs(audio.samples).max())])


class Levels(SynthBackend):
    """A tone at the level the prompt names; "broken" fails."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def generate(self, requests):
        self.batches.append([request.prompt for request in requests])
        return super().generate(requests)

    def _one(self, request):
        from audioforge.generation.request import Clip
        from audioforge.utils.audio_processing import Audio

        if "broken" in request.prompt:
            return Failure(request, "crash", "broken")
        level = float(request.prompt.split()[-1])
        wave = np.sin(np.arange(4_000) * 0.1 + request.seed % 7).astype(np.float32)
        return Clip(request, Audio((level * wave / np.abs(wave).max())[None], 8_000), 0.0)


def said(level, **fields):
    return json.dumps({"prompt": f"tone {level}", "seconds_total": 0.5} | fields)


def play(target, script, store=None, config=None, judge=None, backend=None):
    """Play scripted answers, one list per member; return (group, encoded, what was asked)."""
    asked = []

    def answer(text, encoded):
        return Answer(Completion(text), encoded)

    async def first(messages, n):
        return [answer(turns[0], Encoded([1], [1])) for turns in script[:n]]

    async def follow(talk):
        asked.append(talk)
        text = script[talk.member][talk.turn - 1]
        if isinstance(text, Exception):
            script[talk.member][talk.turn - 1] = said(0.5)
            raise text
        tokens = [*talk.encoded.tokens, talk.turn]
        return None if text is None else answer(text, Encoded(tokens, tokens))

    studio = Studio(backend or Levels(), judge or StepsJudge(), store, group_size=len(script))
    held = Conversations(target, 0, studio, config or EpisodeConfig(turns=3))

    async def run():
        try:
            return await held.run(first, follow)
        except ConnectionError:
            return await held.run(first, follow)

    group, encoded = asyncio.run(run())
    return group, encoded, asked


def rewards(group):
    return [[turn.reward for turn in episode.rollouts] for episode in group.episodes]


def test_every_member_goes_on_with_its_own_conversation_and_a_turn_is_one_batch(target):
    backend = Levels()
    script = [[said(0.2), said(0.4), said(0.3)], [said(0.5), said(0.6), said(0.8)]]
    group, encoded, asked = play(target, script, backend=backend)
    assert rewards(group) == [[0.2, 0.4, 0.3], [0.5, 0.6, 0.8]]
    assert [len(batch) for batch in backend.batches] == [2, 2, 2]
    assert [one.tokens for one in encoded] == [[1, 2, 3], [1, 2, 3]]
    last = [talk for talk in asked if talk.turn == 3][1]
    roles = [message["role"] for message in last.messages]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert last.messages[2]["content"] == said(0.5)
    assert "heard 0.6" not in last.messages[3]["content"]
    assert "0.60 of 1" in last.messages[5]["content"]


def test_an_episode_is_worth_its_best_and_a_bonus_for_improving(target):
    config = EpisodeConfig(turns=3, improvement_bonus=0.25)
    script = [[said(0.2), said(0.6), said(0.4)], [said(0.6), said(0.4), said(0.2)]]
    group, _, _ = play(target, script, config=config)
    assert [episode.reward for episode in group.episodes] == pytest.approx([0.7, 0.6])
    assert dict(episode_numbers(group))["episode/turns"] == 3
    told = group_metrics([group])
    assert told["episode/best"] == pytest.approx(0.6)
    assert told["episode/first"] == pytest.approx(0.4)
    assert told["episode/improvement"] == pytest.approx(0.2)


def test_the_same_answer_ends_an_episode_and_costs_no_clip(target):
    backend = Levels()
    again = said(0.3).replace(": ", ":")  # the same action, written otherwise
    script = [[said(0.3), again, said(0.9)], [said(0.2), said(0.4), said(0.6)]]
    group, _, _ = play(target, script, backend=backend)
    assert rewards(group) == [[0.3, 0.3], [0.2, 0.4, 0.6]]
    assert group.episodes[0].rollouts[1].duplicate_of == 0
    assert [len(batch) for batch in backend.batches] == [2, 1, 1]


def test_a_good_reward_ends_an_episode(target):
    group, _, asked = play(target, [[said(0.95), said(0.1)]], config=EpisodeConfig(turns=2))
    assert rewards(group) == [[0.95]]
    assert asked == []


def test_an_answer_that_cannot_be_read_hears_why_and_may_recover(target):
    group, _, asked = play(target, [["no JSON here", said(0.4), said(0.4, steps=9)]])
    assert rewards(group) == [[0.0, 0.4, 0.4]]
    assert "could not be read" in asked[0].messages[-1]["content"]
    same, _, _ = play(target, [["no", "no", said(0.4)]])
    assert rewards(same) == [[0.0, 0.0]]


def test_a_failure_of_ours_drops_that_episode_only(target):
    broken = json.dumps({"prompt": "broken 0.1"})
    script = [[said(0.2), broken, said(0.9)], [said(0.3), said(0.5), said(0.6)]]
    group, _, _ = play(target, script)
    assert rewards(group) == [[0.2, None], [0.3, 0.5, 0.6]]
    assert group.episodes[0].reward is None
    sent = trained(group)
    assert [rollout.reward for rollout in sent.rollouts] == [None, pytest.approx(0.63)]


def test_no_room_ends_an_episode_with_what_it_has(target):
    group, encoded, _ = play(target, [[said(0.2), None], [said(0.3), said(0.5), None]])
    assert rewards(group) == [[0.2], [0.3, 0.5]]
    assert [one.tokens for one in encoded] == [[1], [1, 2]]


def test_after_an_error_of_the_language_model_only_what_is_missing_is_asked_again(target):
    backend = Levels()
    script = [[said(0.2), ConnectionError("down"), said(0.6)], [said(0.3), said(0.4), said(0.7)]]
    group, _, asked = play(target, script, backend=backend)
    assert rewards(group) == [[0.2, 0.5, 0.6], [0.3, 0.4, 0.7]]
    second = [talk.member for talk in asked if talk.turn == 2]
    assert second == [0, 1, 0]
    assert [len(batch) for batch in backend.batches] == [2, 2, 2]


def test_a_member_keeps_its_seed_so_that_asking_again_is_no_second_draw(target):
    script = [[said(0.2), said(0.3), said(0.4)], [said(0.5), said(0.6), said(0.7)]]
    group, _, _ = play(target, script)
    seeds = [{turn.seeds["clip"] for turn in episode.rollouts} for episode in group.episodes]
    assert [len(one) for one in seeds] == [1, 1]
    assert seeds[0] != seeds[1]


def test_all_turns_are_recorded_replayed_and_shown_in_order(target, tmp_path):
    script = [[said(0.2), said(0.4), said(0.3)], [said(0.5), said(0.5), said(0.1)]]
    with RunStore(tmp_path / "run") as store:
        store.start({"groups": 1}, {"versions": {}})
        group, _, _ = play(target, script, store=store)
    ((*lines,),) = RunStore(tmp_path / "run").groups()
    assert [r.to_json() for r in lines] == [r.to_json() for r in group.rollouts]
    assert [(r.index, r.member, r.turn) for r in lines] == [
        (0, 0, 1),
        (1, 1, 1),
        (2, 0, 2),
        (3, 1, 2),
        (4, 0, 3),
    ]
    assert all(one.same for one in replay(tmp_path / "run", backend=Levels()))
    page = write_report(tmp_path / "run").read_text()
    cards = [page.index(f'<article class="card scored" id="g00000-r{i}"') for i in (1, 3, 0, 2, 4)]
    assert cards == sorted(cards)
    assert "turn 2 of 3" in page
    assert "What the critic said before" in page


def test_a_trainer_gets_one_entry_per_conversation(target):
    script = [[said(0.2), said(0.6), said(0.4)], [said(0.5), said(0.3), said(0.1)]]
    group, encoded, _ = play(target, script)
    payload, reason = outgoing_group(trained(group), encoded, Limits(2))
    assert reason == ""
    assert payload is not None
    assert payload["scores"] == pytest.approx([0.64, 0.5])
    assert [len(messages) for messages in payload["messages"]] == [7, 7]
    assert payload["messages"][0][-1] == {"role": "assistant", "content": said(0.4)}
    assert payload["overrides"][0]["prompt"] == "tone 0.6"  # the best turn's


def test_the_first_answers_are_no_memory_to_their_own_revisions(target):
    judge = StepsJudge()
    play(target, [[said(0.2), said(0.4), said(0.6)]], judge=judge)
    assert judge.recent == 0


@pytest.mark.parametrize(
    "wrong", [{"turns": 0}, {"turns": 17}, {"improvement_bonus": -1}, {"stop_reward": 0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        EpisodeConfig(**wrong)


def test_one_turn_is_worth_itself(target):
    group, _, _ = play(target, [[said(0.4)]], config=EpisodeConfig(turns=1))
    assert group.episodes[0].reward == pytest.approx(0.4)
    assert episode_reward((), 0.5) is None
