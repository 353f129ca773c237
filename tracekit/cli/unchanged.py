"""A batch in which nothing changed: it is answered before typer, polars and the plugins are loaded."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tracekit.batch import unchanged
from tracekit.cli.output import say


def status(words: Sequence[str]) -> int | None:
    """Answer a batch in which nothing changed; return its exit status, null where it has to look. `words`: those behind `batch`."""
    begun = time.monotonic()
    command = unchanged.command(words)
    found = unchanged.answer(command) if command else None
    if command is None or found is None:
        return None
    say(summary(0, 0, 0, found.cases, begun, found.suppressed, Path(command.results)))
    return found.status


def before(paths: Sequence[str], results: Path) -> unchanged.Seen | None:
    """Return what this batch depends on, for its index; null where it has none."""
    command = unchanged.command(sys.argv[2:]) if sys.argv[1:2] == ["batch"] else None
    understood = command is not None and (list(command.places), Path(command.results)) == (list(paths), results)
    return unchanged.seen(command) if command is not None and understood else None


def summary(analyzed: int, found: int, failed: int, unchanged: int, begun: float, suppressed: int, results: Path) -> str:
    """Return what a batch says at its end."""
    said = f"{analyzed:,} case{'' if analyzed == 1 else 's'} analyzed, {found:,} with a fault"
    said += f", {failed:,} failed, {unchanged:,} unchanged, in {duration(time.monotonic() - begun)}"
    said += f"; {suppressed:,} finding{'' if suppressed == 1 else 's'} suppressed" if suppressed else ""
    return f"{said}. Next: tracekit report {results}"


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    minutes, s = divmod(int(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {s} s" if minutes else f"{seconds:.1f} s"
