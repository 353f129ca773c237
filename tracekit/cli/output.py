"""What commands print: complaints on standard error, reports of plugins on standard output or into a file."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracekit.errors import PluginError, UsageError
from tracekit.unseen import visible

if TYPE_CHECKING:
    from tracekit.plugins.registry import Registry


def complain(text: str) -> None:
    """Print one line on standard error, with control characters written out."""
    print(f"tracekit: {visible(text)}", file=sys.stderr)


def say(text: str) -> None:
    """Print lines on standard output, with control characters written out."""
    print(visible(text, keep="\n"))


def offers(format: str, method: str = "write") -> "Registry":
    """Return the plugins, if one of them has the report that is asked for. Errors: UsageError with the names that there are."""
    from tracekit.plugins import registry as plugins

    registry = plugins.load()
    names = sorted(r.name for r in registry.reports if hasattr(r, method))
    if format not in names:
        raise UsageError(f"no report is called {format}; there are {', '.join(names) or 'none'}")
    return registry


def rendered(registry: "Registry", format: str, value: Any, options: Mapping[str, Any], method: str = "write") -> tuple[str, bool]:
    """Return (the report on `value`, True).

    Where it fails, its plugin is named and the page of the terminal stands in (False), so that no finding is lost.
    """
    report = next(r for r in registry.reports if r.name == format)
    try:
        text = getattr(report(), method)(value, options)
        if not isinstance(text, str):
            raise TypeError(f"it returned {type(text).__name__}, not text")
        return text, True
    except Exception as e:
        told = registry.owner(report).failed(f"write the report {format}", e)
        if format == "terminal" or "--debug" in sys.argv:
            raise PluginError(told) from e
        complain(f"{told}; the page of the terminal instead")
        return rendered(registry, "terminal", value, options, method)[0], False


def write(text: str, output: Path | None) -> None:
    """Write a report into a file, or to standard output. Errors: UsageError where the file cannot be written."""
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        output.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as e:
        raise UsageError(f"cannot write {output}: {e.strerror}") from e
