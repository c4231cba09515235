"""Small tables over rollouts, shared by the report and the README."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from audioforge.data.families import FAMILIES
from audioforge.data.wording import CATEGORY_WORDS, read_text
from audioforge.rollouts.record import Rollout


@dataclass(frozen=True)
class CategoryRow:
    """One row of the category table."""

    label: str
    count: int
    """Rollouts in the row."""
    mean_reward: float | None
    """In [0, 1]; None when the row is empty."""


def names_target(prompt: str, category: str, subcategory: str) -> bool:
    """Whether a prompt names the target's category or family, in any of the words we know for them.

    A word that is ruled out ("no drums") does not count.

    Args:
        prompt: of an action.
        category: of the target.
        subcategory: its family, or a user's own word.
    """
    low = prompt.lower()
    negated = set(read_text(prompt).negated)
    return any(
        word not in negated and re.search(rf"\b{re.escape(word)}\b", low)
        for word in _words(category, subcategory)
    )


def category_table(rollouts: Iterable[Rollout]) -> tuple[CategoryRow, CategoryRow]:
    """Compare prompts that name the target's category or family with those that do not.

    Only rollouts with a clip and a verdict are counted: an answer without a prompt names nothing.
    """
    rewards: dict[bool, list[float]] = {True: [], False: []}
    for rollout in rollouts:
        if rollout.reward is not None and rollout.action is not None:
            target = rollout.target
            named = names_target(rollout.action.prompt, target["category"], target["subcategory"])
            rewards[named].append(rollout.reward)
    return (
        _row("prompt names the target's category or family", rewards[True]),
        _row("prompt does not", rewards[False]),
    )


def markdown(rows: Sequence[CategoryRow]) -> str:
    """Return the category table as Markdown."""
    lines = ["| | rollouts | mean reward |", "|---|---:|---:|"]
    for row in rows:
        mean = "-" if row.mean_reward is None else f"{row.mean_reward:.3f}"
        lines.append(f"| {row.label} | {row.count} | {mean} |")
    return "\n".join(lines)


def _row(label: str, rewards: list[float]) -> CategoryRow:
    return CategoryRow(label, len(rewards), sum(rewards) / len(rewards) if rewards else None)


@lru_cache(maxsize=256)
def _words(category: str, subcategory: str) -> tuple[str, ...]:
    family = FAMILIES.get(subcategory)
    own = (subcategory.lower(), *(family.words if family else ()))
    general = next((words for name, words in CATEGORY_WORDS.items() if name == category), ())
    return tuple(word for word in (category, *general, *own) if word)
