"""The lock of a folder of results: one batch writes there at a time."""

import fcntl
import os
from typing import IO

FILE = ".lock"


def taken(folder: str | os.PathLike[str]) -> IO[str] | None:
    """Lock a folder until the file is closed or the process ends; null where another batch has it. Errors: OSError."""
    file = open(os.path.join(folder, FILE), "a")  # noqa: SIM115 - it is held as long as its caller holds it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
