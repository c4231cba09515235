"""The hub: whether a name is a repository there, and files of one, from the cache or fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audioforge.generation.sat_imports import quiet


def is_hub_id(source: str) -> bool:
    """Return whether a source has the form "owner/name" and is no path."""
    return source.count("/") == 1 and not source.startswith((".", "/"))


def from_hub(source: str, patterns: Sequence[str]) -> Path:
    """Return the folder of a repository's files, fetched if they are not in the cache.

    Args:
        source: a hub id of the form "owner/name".
        patterns: which files, such as "*.safetensors".

    Raises:
        ValueError: no such repository, no network, or no right to read it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        with quiet():
            return Path(snapshot_download(source, allow_patterns=list(patterns)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(
            f"cannot get {source} from the hub ({first}); "
            "check the name, the network, and that HF_TOKEN may read it"
        ) from error
