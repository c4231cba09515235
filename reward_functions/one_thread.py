"""One thread: linear algebra on small arrays, where more threads cost CPU and win no time.

With its usual threads OpenBLAS spins beside every product of a few hundred kilobytes: scoring then
takes half as much CPU again, and two processes get in each other's way.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _loaded() -> ThreadpoolController:
    """Find the libraries once: looking takes 10 ms, limiting 0.1 ms."""
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Limit the linear algebra of numpy and scipy to one thread; torch keeps its own."""
    return _loaded().limit(limits=1, user_api="blas")
