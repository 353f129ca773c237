"""What a report returned, on its way into a file: text, or the bytes of a report that is no text."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tracekit.errors import OutputError
from tracekit.guard import clean


def is_binary(report: Any) -> bool:
    """Return whether a report class says that it is no text."""
    return bool(getattr(report, "binary", False))


def sound(report: Any, given: Any) -> str | bytes:
    """Return what a report returned, without what no file can hold. Errors: TypeError where it is not what the report says."""
    if is_binary(report):
        if not isinstance(given, bytes):
            raise TypeError(f"it returned {type(given).__name__}, not bytes")
        return bytes(given)
    if not isinstance(given, str):
        raise TypeError(f"it returned {type(given).__name__}, not text")
    return clean(given)


def put(report: str | bytes, path: Path) -> None:
    """Write a report into a file. Errors: OutputError; a file that is written in part is removed."""
    with whole(path) as out:
        out.write(report.encode("utf-8", "backslashreplace") if isinstance(report, str) else report)


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to write. Errors: OutputError. A file that is written in part is removed, one that could not be opened stays."""
    opened = False
    try:
        with open(path, "wb") as out:
            opened = True
            yield out
    except BaseException as e:
        with suppress(OSError):
            if opened and path.is_file():
                path.unlink()
        if isinstance(e, OSError):
            raise OutputError(f"cannot write {path}: {e.strerror}") from e
        raise
