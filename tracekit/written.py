"""What a report returned, on its way into a file: text, or the bytes of a report that is no text."""

from contextlib import suppress
from pathlib import Path
from typing import Any

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
    try:
        path.write_bytes(report.encode("utf-8", "backslashreplace") if isinstance(report, str) else report)
    except OSError as e:
        with suppress(OSError):
            if path.is_file():
                path.unlink()
        raise OutputError(f"cannot write {path}: {e.strerror}") from e
