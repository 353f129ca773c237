"""Calls into plugins. What a plugin raises becomes an error of the plugin; what it prints is sent to standard error.

Only KeyboardInterrupt is passed on: it comes from the user.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from types import TracebackType

_LONGEST = 2000  # characters of an error's message that are kept


class Raised(Exception):
    """An exception that a plugin raised in a process of its own: the name of the exception, its message, and where it was raised."""

    def __init__(self, kind: str, message: str, trace: str) -> None:
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, trace


class Lost(Exception):
    """The process of a plugin is gone: the message says why, as the end of a sentence (`took longer than 30 s`)."""


class guarded:
    """Hand what is raised inside to `failed`; the run goes on behind it."""

    def __init__(self, failed: Callable[[BaseException], object]) -> None:
        self.failed = failed

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is None or isinstance(error, KeyboardInterrupt):
            return False
        self.failed(error)
        return True


def named(error: BaseException) -> str:
    """Return an exception in one line, `TypeError: what it says`, whatever its own `__str__` does."""
    kind, said = (error.kind, error.message) if isinstance(error, Raised) else (type(error).__name__, message(error))
    return f"{kind}: {said}" if said else kind


def message(error: BaseException) -> str:
    """Return what an exception says, as text that can be printed."""
    try:
        said = str(error)
    except BaseException:
        said = "its message cannot be read"
    return clean(said)[:_LONGEST]


def trace(error: BaseException) -> str:
    """Return where an exception was raised: files, lines, calls."""
    if isinstance(error, Raised):
        return error.trace
    try:
        return clean("".join(traceback.format_exception(error)))
    except BaseException:  # its __str__ or its __cause__ is as broken as the rest
        return clean("".join(traceback.format_tb(error.__traceback__)))


def clean(text: str) -> str:
    """Return text without lone surrogates, which no report can write."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def aside(wanted: bool = True) -> Iterator[None]:
    """Send what is printed inside to standard error, also what goes past Python to file descriptor 1."""
    if not wanted:
        yield
        return
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of the two is closed
        kept = -1
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if kept >= 0:
            os.dup2(kept, 1)
            os.close(kept)
