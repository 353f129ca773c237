"""Temporary files for what cannot be sought; they are removed when the process ends."""

import atexit
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from typing import IO

_STEP = 1 << 20


def spool(stream: IO[bytes]) -> str:
    """Write all of a stream to a temporary file; return its name."""
    return spool_blocks(iter(lambda: stream.read(_STEP), b""))


def spool_file(path: str) -> str:
    """Write what a pipe or a device gives to a temporary file; return its name."""
    with open(path, "rb") as stream:
        return spool(stream)


def spool_blocks(blocks: Iterable[bytes]) -> str:
    """Write blocks to a temporary file that is removed when the process ends; return its name."""
    handle, name = tempfile.mkstemp(prefix="tracekit-")
    atexit.register(_remove, name, os.getpid())
    with os.fdopen(handle, "wb") as out:
        for block in blocks:
            out.write(block)
    return name


def _remove(name: str, owner: int) -> None:
    if os.getpid() == owner:
        with suppress(OSError):
            os.unlink(name)
