"""For all tests: an interrupt arrives, also where the shell that began them ignores it."""

import signal


def pytest_configure() -> None:
    """Undo what a shell does to the commands it begins in the background, and they inherit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
