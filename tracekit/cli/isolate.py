"""The options about plugins of others: whether they run in a process of their own, and what they may take."""

from typing import Annotated

import typer

from tracekit.errors import UsageError
from tracekit.plugins.isolation import MODES, Isolation

Isolate = Annotated[str, typer.Option(metavar="WHICH", help="Plugins in a process of their own: all, foreign (not tracekit's) or none.")]
PluginTime = Annotated[float, typer.Option(metavar="SECONDS", help="What a diagnosis of such a plugin may take.", min=0.1)]
PluginMemory = Annotated[str, typer.Option(metavar="BYTES", help="What the process of such a plugin may hold: 1G.")]
ISOLATE, TIME, MEMORY = "foreign", 30.0, "1G"


def isolation(mode: str, seconds: float, memory: str) -> Isolation:
    """Return what the options say. Errors: UsageError."""
    from tracekit.reading import archive

    if mode not in MODES:
        raise UsageError(f"--isolate {mode}: give one of {', '.join(MODES)}")
    return Isolation(mode, seconds, archive.size_of(memory, "--plugin-memory"))
