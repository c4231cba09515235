"""The category table counts prompts that name what is asked for, in any words we know."""

import pytest

from audioforge.rollouts.tables import CategoryRow, category_table, markdown, names_target


@pytest.mark.parametrize(
    ("prompt", "category", "family", "named"),
    [
        ("Punchy BOOM BAP beat", "drums", "hiphop", True),
        ("drum loop, 90 bpm", "drums", "hiphop", True),
        ("gusty wind at night", "ambient", "wind", True),
        ("window open", "ambient", "wind", False),
        ("slow synth chords", "drums", "hiphop", False),
        ("pad with no drums", "drums", "techno", False),
        ("my own gong", "sfx", "gong", True),
        ("anything", "sfx", "", False),
        ("(broken regex [", "sfx", "(a[", False),
    ],
)
def test_naming_is_by_whole_words_and_not_by_what_is_ruled_out(prompt, category, family, named):
    assert names_target(prompt, category, family) is named


def test_dropped_and_unparsable_answers_are_in_neither_row(collect, say, target):
    assert target.category == "drums"
    group = collect(say(prompt="drum loop"), say(prompt="flute note"), say(prompt="hum"), "no idea")
    named, others = category_table(group.rollouts)
    assert (named.count, others.count) == (1, 2)
    assert named.mean_reward == group.rollouts[0].reward
    assert others.mean_reward == pytest.approx(
        (group.rollouts[1].reward + group.rollouts[2].reward) / 2
    )


def test_an_empty_row_has_no_mean():
    assert [row.mean_reward for row in category_table([])] == [None, None]
    assert markdown([CategoryRow("named", 3, 0.5), CategoryRow("not", 0, None)]).splitlines()[
        2:
    ] == [
        "| named | 3 | 0.500 |",
        "| not | 0 | - |",
    ]
