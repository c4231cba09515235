"""Files of measured statistics that are committed beside the code."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable


def committed(name: str, command: str) -> Traversable:
    """Find a committed file of this room.

    Args:
        name: of the file.
        command: that makes it.

    Raises:
        FileNotFoundError: it is missing; the message names the command.
    """
    path = resources.files("audioforge.reward_functions") / name
    if not path.is_file():
        raise FileNotFoundError(f"reward_functions/{name} is missing: run {command}")
    return path
