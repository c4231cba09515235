"""Clips that a long run keeps on disk: all, none, the newest, the best."""

from __future__ import annotations

import pytest

from audioforge.rollouts.keeping import KeepAudio
from audioforge.rollouts.replay import replay
from audioforge.rollouts.store import RunStore


@pytest.fixture
def run(tmp_path, collect, say):
    """Record groups of two under a rule; the call returns the rewards, oldest first."""

    def make(rule: str, groups: int = 4, first: int = 0):
        keeping = KeepAudio(tmp_path / "run", rule)
        with RunStore(tmp_path / "run", keep_clips=not keeping.none) as store:
            store.start({"seed": 0}, {})
            keeping.start(store)
            for index in range(first, first + groups):
                texts = [say(prompt=f"{name} {index}") for name in ("warm pad", "drum loop")]
                keeping.add(collect(*texts, index=index, store=store).rollouts)
            return [r for group in store.groups() for r in group]

    return make


def on_disk(tmp_path) -> set[str]:
    return {f"audio/{path.name}" for path in (tmp_path / "run" / "audio").glob("*.flac")}


def paths(rollouts) -> list[str]:
    return [rollout.clip.path for rollout in rollouts if rollout.clip]


def test_by_default_every_clip_stays(run, tmp_path):
    assert on_disk(tmp_path) == set()
    rollouts = run("all")
    assert len(on_disk(tmp_path)) == 8
    assert on_disk(tmp_path) == set(paths(rollouts))


def test_none_stores_nothing_but_says_what_was_heard(run, tmp_path):
    rollouts = run("none")
    assert on_disk(tmp_path) == set()
    assert paths(rollouts) == [None] * 8
    assert all(len(rollout.clip.sha256) == 64 for rollout in rollouts)


def test_the_newest_stay(run, tmp_path):
    rollouts = run("newest:3")
    assert on_disk(tmp_path) == set(paths(rollouts[-3:]))


def test_the_best_stay(run, tmp_path):
    rollouts = run("best:3")
    best = sorted(rollouts, key=lambda rollout: rollout.reward)[-3:]
    assert on_disk(tmp_path) == set(paths(best))


def test_a_run_that_goes_on_keeps_to_the_rule_and_clears_what_nobody_names(run, tmp_path):
    run("all", groups=3)
    (tmp_path / "run" / "audio" / "stray.flac").write_bytes(b"x")
    rollouts = run("newest:2", groups=1, first=3)
    assert len(rollouts) == 8
    assert on_disk(tmp_path) == set(paths(rollouts[-2:]))


def test_a_clip_that_another_rollout_shares_stays_as_long_as_one_of_them(tmp_path, run):
    rollouts = run("all", groups=2)
    keeping = KeepAudio(tmp_path / "run", "newest:2")
    keeping.add(rollouts[:1])
    keeping.add(rollouts[:1])
    keeping.add(rollouts[1:2])
    assert set(paths(rollouts[:2])) <= on_disk(tmp_path)


def test_replay_makes_a_clip_that_is_gone_again_and_says_that_it_is_gone(run, tmp_path):
    run("newest:1", groups=2)
    replayed = replay(tmp_path / "run")
    assert all(one.same for one in replayed)
    (tmp_path / "run" / "rollouts.jsonl").write_text(
        (tmp_path / "run" / "rollouts.jsonl").read_text().replace("warm pad 0", "warm organ 0")
    )
    drifts = [one.drift for one in replay(tmp_path / "run") if not one.same]
    assert drifts
    assert all("the recorded one is gone" in drift for drift in drifts)


@pytest.mark.parametrize("rule", ["", "newest", "newest:0", "best:-1", "7", "all:3", "newest:1.5"])
def test_another_rule_is_an_error(rule, tmp_path):
    with pytest.raises(ValueError, match="keep_audio must be all, none, newest:N or best:N"):
        KeepAudio(tmp_path, rule)
