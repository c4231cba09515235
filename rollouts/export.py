"""Export: the rollouts of a run as rows for supervised and for preference training.

    sft   {"messages": [system, user, assistant], ...}: the best answer of each group
    dpo   {"prompt": [system, user], "chosen": [assistant], "rejected": [assistant], ...}: its best
          answer against its worst

The conversational forms of TRL, in JSON lines or Parquet, as `datasets.load_dataset` reads them.
Rollouts that we lost are never used, nor are duplicates; an answer that had to be repaired is never
one to follow. A pair of texts that came up in several groups is written once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from audioforge.rollouts.record import Rollout
from audioforge.rollouts.store import RunStore, write_checked

Form = Literal["sft", "dpo"]
FORMS: tuple[Form, ...] = ("sft", "dpo")
Row = dict[str, Any]


def export_run(
    run: Path, form: Form, out: Path, *, threshold: float = 0.5, margin: float = 0.1
) -> int:
    """Write a run's rollouts as training rows.

    Args:
        run: the run folder.
        form: "sft" or "dpo".
        out: a file ending in .jsonl or .parquet; it is replaced.
        threshold: reward in [0, 1] from which an answer is one to follow (sft).
        margin: by how much the best reward is above the worst, at least, above 0 (dpo).

    Returns:
        How many rows were written.

    Raises:
        ValueError: another form or ending, or no group gives a row.
        StoreError: the run cannot be read, or the file not written.
    """
    if form not in FORMS or out.suffix not in (".jsonl", ".parquet"):
        raise ValueError(
            f"format must be sft or dpo and the file end in .jsonl or .parquet, got {form!r}, "
            f"{out.name!r}"
        )
    if not margin > 0:
        raise ValueError(f"margin must be above 0, got {margin}")
    store = RunStore(run)
    store.run_facts()
    found = (
        sft_rows(store.groups(), threshold) if form == "sft" else dpo_rows(store.groups(), margin)
    )
    rows = list(found)
    if not rows:
        asked = f"threshold {threshold:g}" if form == "sft" else f"margin {margin:g}"
        raise ValueError(f"no group of {run} gives a row with {asked}; lower it")
    write_checked(out, _parquet(rows) if out.suffix == ".parquet" else _jsonl(rows))
    return len(rows)


def sft_rows(groups: Iterable[Sequence[Rollout]], threshold: float) -> Iterator[Row]:
    """Yield the best answer of each group, where it reaches the threshold."""
    seen: set[str] = set()
    for group in groups:
        best = _best(group)
        if best is None or (best.reward or 0.0) < threshold:
            continue
        messages = [*_plain(best), _said(best)]
        if _new(messages, seen):
            yield {"messages": messages, "reward": best.reward, **_source(best)}


def dpo_rows(groups: Iterable[Sequence[Rollout]], margin: float) -> Iterator[Row]:
    """Yield the best against the worst answer of each group, where they are far enough apart."""
    seen: set[str] = set()
    for group in groups:
        best, usable = _best(group), _usable(group)
        if best is None:
            continue
        worst = min(usable, key=lambda rollout: rollout.reward or 0.0)
        high, low = best.reward or 0.0, worst.reward or 0.0
        row = {"prompt": _plain(best), "chosen": [_said(best)], "rejected": [_said(worst)]}
        if high - low >= margin and best.text != worst.text and _new(row, seen):
            scores = {"score_chosen": high, "score_rejected": low}
            yield {**row, **scores, **_source(best), "rollout_rejected": worst.id}


def _usable(group: Sequence[Rollout]) -> list[Rollout]:
    """Leave out what we lost and what only repeats another answer."""
    return [r for r in group if r.reward is not None and r.duplicate_of is None]


def _best(group: Sequence[Rollout]) -> Rollout | None:
    """Return the best answer that can be followed as it stands."""
    clean = [r for r in _usable(group) if r.outcome == "scored" and not r.issues]
    return max(clean, key=lambda rollout: rollout.reward or 0.0, default=None)


def _plain(rollout: Rollout) -> list[dict[str, str]]:
    return [dict(message) for message in rollout.messages]


def _said(rollout: Rollout) -> dict[str, str]:
    return {"role": "assistant", "content": rollout.text}


def _source(rollout: Rollout) -> Row:
    return {
        "rollout": rollout.id,
        "target": str(rollout.target["id"]),
        "category": str(rollout.target["category"]),
    }


def _new(row: Any, seen: set[str]) -> bool:
    key = json.dumps(row, sort_keys=True)
    if key in seen:
        return False
    seen.add(key)
    return True


def _jsonl(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows).encode()


def _parquet(rows: list[Row]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()
