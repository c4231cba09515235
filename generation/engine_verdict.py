"""What follows from a pass: which requests are answered, and which are made again, in what batches.

- Out of memory: the batch is made again in smaller ones, and the size is remembered.
- Anything else that breaks a whole batch: its halves are made again, so that in the end a guilty
  request stands alone and its neighbours have their clips.
- One answer that is a Failure: that request alone, once. What a backend calls invalid stays so.
- A request that fails alone is answered with the Failure at its second attempt; one that is alone
  in a worker that is lost has a few more, as somebody else may have killed it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from audioforge.generation.engine_batch import Fault, Outcome, Pass
from audioforge.generation.engine_caps import Caps
from audioforge.generation.engine_queue import Item
from audioforge.generation.request import Clip, Failure

_KINDS: dict[Fault, Literal["memory", "crash", "timeout"]] = {
    "memory": "memory",
    "crash": "crash",
    "died": "crash",
    "stuck": "timeout",
}


class Verdict(NamedTuple):
    """What to do after a pass."""

    answers: list[tuple[Item, Outcome]]
    again: list[list[Item]]
    """Batches, to be made exactly as they are."""


def verdict(batch: list[Item], passed: Pass, caps: Caps, lost_alone: int) -> Verdict:
    """Decide on every item of a batch, and tell `caps` what fits.

    Args:
        batch: what was made together; each item's attempt counts this pass.
        passed: what came of it.
        caps: learns.
        lost_alone: workers that may be lost over one request alone.

    Returns:
        Each item once: answered or in a batch that is made again.
    """
    if passed.fault and len(batch) > 1:
        return Verdict([], _parts(batch, passed.fault, caps))
    if passed.fault:
        return _alone(batch[0], passed.fault, passed.message, lost_alone)
    keys = tuple(item.request.key for item in batch)
    answers, again, memory = [], [], []
    for item, made in zip(batch, passed.made, strict=True):
        last = len(batch) == 1 and item.attempt > 1
        if isinstance(made, Clip) or made.kind == "invalid" or last:
            answers.append((item, Outcome(made, item.attempt, keys)))
        elif made.kind == "memory":
            memory.append(item)
        else:
            again.append([item])
    if memory and len(batch) > 1:
        again += _cut(memory, min(caps.too_large(batch[0].mates, len(batch)), len(batch) // 2))
    elif memory:
        again.append(memory)
    else:
        caps.fitted(batch[0].mates, len(batch))
    return Verdict(answers, again)


def _parts(batch: list[Item], fault: Fault, caps: Caps) -> list[list[Item]]:
    if fault == "memory":
        return _cut(batch, min(caps.too_large(batch[0].mates, len(batch)), len(batch) // 2))
    return _cut(batch, (len(batch) + 1) // 2)


def _cut(items: list[Item], size: int) -> list[list[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _alone(item: Item, fault: Fault, message: str, lost_alone: int) -> Verdict:
    lost = fault in ("died", "stuck")
    item.lost_alone += lost
    if item.attempt < 2 or (lost and item.lost_alone < lost_alone):
        return Verdict([], [[item]])
    failure = Failure(item.request, _KINDS[fault], message)
    return Verdict([(item, Outcome(failure, item.attempt, (item.request.key,)))], [])
