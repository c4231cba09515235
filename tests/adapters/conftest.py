"""Targets that are made and judged quickly, and answers to them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from short_targets import write_short_targets

WORDS = {"drums": "a drum loop", "sfx": "a short impact", "ambient": "wind and rain"}


@pytest.fixture(scope="session")
def short_targets(tmp_path_factory) -> str:
    """A file of one-second targets, three categories, both splits."""
    return write_short_targets(tmp_path_factory.mktemp("targets") / "short.jsonl", WORDS)


@pytest.fixture
def say() -> Callable[..., str]:
    """Return an answer that asks for one second."""
    return lambda **fields: json.dumps(
        {"prompt": "techno drum loop", "seconds_total": 1.0} | fields
    )


@pytest.fixture
def quick(short_targets):
    """Settings of a quick environment on the teacher."""
    return {"model": "synth", "targets_file": short_targets}
