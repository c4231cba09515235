"""What an earlier start of a serving run has begun and not settled, as items to go on with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from audioforge.rollouts.episode import EpisodeConfig, with_episodes
from audioforge.rollouts.ledger import Item, Ledger
from audioforge.rollouts.record import recorded_group
from audioforge.rollouts.store import RunStore

if TYPE_CHECKING:
    from audioforge.data.targets import Target


def unsettled_items(
    ledger: Ledger,
    store: RunStore,
    done: set[int],
    target: Callable[[int, str | None], Target],
    episode: EpisodeConfig | None = None,
) -> list[Item]:
    """Return the items of groups that are not settled: with what was made, or with the answers.

    Args:
        ledger: of the run.
        store: of the run.
        done: the groups that are recorded.
        target: gives a group's target by the id that was written down, None where none was.
        episode: where answers are conversations; those of a group that is not recorded are held
            again.

    Raises:
        OSError: the ledger cannot be written.
    """
    kept = {index: ledger.answers(index) for index in ledger.open()}
    made = {index for index, answers in kept.items() if answers} & done
    groups = {}
    if made:
        groups = {group[0].group: group for group in store.groups() if group[0].group in made}
    items: list[Item] = []
    for index, answers in kept.items():
        if not answers and index in done:
            ledger.settle(index, "withheld", "its tokens were lost")
            continue
        item: Item = {"index": index, "target": target(index, ledger.target(index))}
        if answers and index in groups:
            group = recorded_group(item["target"], groups[index])
            if episode is not None:
                group = with_episodes(group, episode.improvement_bonus)
            item["made"] = (group, [answer.encoded for answer in answers])
        elif answers and episode is None:
            item["answers"] = answers
        items.append(item)
    return items
