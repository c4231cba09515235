"""Facts of a run: what must stay the same when it goes on, and what is only told of its start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from audioforge.rollouts.record import versions

if TYPE_CHECKING:
    from audioforge.data.targets import Target


def unchanging_facts(targets: Sequence[Target], weights_sha256: str) -> dict[str, str]:
    """Return what must not change beside the settings: the targets themselves and the weights."""
    text = json.dumps([target.to_json() for target in targets], sort_keys=True, default=str)
    return {
        "targets_sha256": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        "weights_sha256": weights_sha256,
    }


def start_facts(device: str, licence: str) -> dict[str, Any]:
    """Return what is told of a start: when, on what device, the model's licence, versions."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "model_licence": licence,
        "versions": versions(),
    }
