"""Output of commands: errors on standard error, reports of plugins on standard output or into a file."""

import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tracekit.errors import OutputError, PluginError, UsageError
from tracekit.guard import aside, guarded
from tracekit.unseen import visible
from tracekit.written import is_binary, put, sound

if TYPE_CHECKING:
    from tracekit.plugins.registry import Registry


class Output:
    """Stand in for standard output or standard error, so that every command ends alike where it cannot be written.

    A reader that has seen enough (`| head -1`) is no failure: the rest is dropped, and the exit status is that of the command. What cannot
    be said on standard error (`needed` is false) is dropped too.
    """

    def __init__(self, stream: TextIO | None, needed: bool = True) -> None:
        if stream is not None and isinstance(getattr(stream, "buffer", None), io.RawIOBase):
            # PYTHONUNBUFFERED: what a full disk takes of a text in part is never tried again
            stream = io.TextIOWrapper(io.BufferedWriter(stream.buffer), encoding=stream.encoding, errors=stream.errors)
        self._stream, self._needed = stream, needed
        self._dropped = stream is None and not needed

    def write(self, text: str) -> int:
        """Write text. Errors: OutputError."""
        return self._tried(lambda stream: stream.write(text)) or len(text)

    def flush(self) -> None:
        """Hand over what was written. Errors: OutputError."""
        self._tried(lambda stream: stream.flush())

    @property
    def gone(self) -> bool:
        """Return whether nobody reads any more."""
        return self._dropped

    def isatty(self) -> bool:
        """Return whether a person reads it."""
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def _tried(self, do: Callable[[TextIO], int | None]) -> int | None:
        if self._dropped:
            return None
        if self._stream is None:
            self._dropped = True
            raise OutputError("cannot write to standard output: it is closed")
        try:
            return do(self._stream)
        except OSError as error:
            self._drop()
            if self._needed and not isinstance(error, BrokenPipeError):
                raise OutputError(f"cannot write to standard output: {error.strerror or error}") from error
        return None

    def _drop(self) -> None:
        """Drop what is still to come, also what Python holds back for the end of the process."""
        self._dropped = True
        if self._stream is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def complain(text: str) -> None:
    """Print one line on standard error, with control characters written out."""
    print(f"tracekit: {visible(text)}", file=sys.stderr)


def say(text: str) -> None:
    """Print lines on standard output, with control characters written out."""
    print(visible(text, keep="\n"))


def offers(registry: "Registry", format: str, method: str = "write") -> None:
    """Check that a plugin provides the requested report. Errors: UsageError, which lists the names."""
    names = sorted(r.name for r in registry.reports if hasattr(r, method))
    if format not in names:
        raise UsageError(f"no report is called {format}; there are {', '.join(names) or 'none'}")


def draws(registry: "Registry", format: str) -> bool:
    """Return whether a report shows pictures of the findings, which then have to be drawn."""
    return any(getattr(r, "draws", False) for r in registry.reports if r.name == format)


def needs_file(registry: "Registry", format: str) -> bool:
    """Return whether a report is no text."""
    return any(is_binary(r) for r in registry.reports if r.name == format)


def rendered(registry: "Registry", format: str, value: Any, options: Mapping[str, Any], method: str = "write") -> tuple[str | bytes, bool]:
    """Return (the report on `value`, True).

    Where it fails, its plugin is named and the page of the terminal stands in (False), so that no finding is lost.
    """
    report = next(r for r in registry.reports if r.name == format)
    plugin = registry.owner(report)
    told: list[str] = []
    traces = len(plugin.traces)
    with aside(registry.strangers), guarded(lambda e: told.append(plugin.failed(f"write the report {format}", e, f"the report {format}"))):
        return sound(report, getattr(report(), method)(value, options)), True
    traced(plugin.traces[traces:])
    if format == "terminal":
        raise PluginError(told[0])
    complain(f"{told[0]}; the page of the terminal instead")
    return rendered(registry, "terminal", value, options, method)[0], False


def traced(traces: Iterable[str]) -> None:
    """With `--debug`, print where plugins raised their errors."""
    if "--debug" in sys.argv:
        for trace in traces:
            print(visible(trace, keep="\n"), end="", file=sys.stderr)


def write(report: str | bytes, output: Path | None) -> None:
    """Write a report into a file, or a text to standard output. Errors: OutputError; a file that is written in part is removed."""
    if output is not None:
        put(report, output)
        return
    if isinstance(report, bytes):
        raise UsageError("this report is no text: give a file (--output)")
    sys.stdout.write(report)
    sys.stdout.flush()
