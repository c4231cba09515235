"""Errors of the rollouts room, each with when it is raised.

A rollout that fails is not an error: it is recorded and dropped (`collect.py`). These are for what
the person who started the run has to act on; each message is one line.
"""

from __future__ import annotations


class StoreError(OSError):
    """A run folder cannot be written or read: disk full, in use, or a damaged line."""


class ChangedConfigError(ValueError):
    """A run was resumed with another config, other weights or another model than it began with."""


class RunError(RuntimeError):
    """A run cannot go on, for example when every clip of several groups in a row has failed."""


class LanguageModelError(RuntimeError):
    """A language model cannot be reached or refuses; one line with the URL and what to do."""


class ReplayError(ValueError):
    """Nothing can be replayed: no such rollout, or the run folder holds none."""
