"""The options about plugins of others: whether they run in a process of their own, and what they may take."""

from tracekit.errors import UsageError
from tracekit.plugins.isolation import MODES, Isolation

ISOLATE, TIME, MEMORY = "foreign", 30.0, "1G"


def isolation(mode: str, seconds: float, memory: str) -> Isolation:
    """Return what the options say. Errors: UsageError."""
    from tracekit.reading import archive

    if mode not in MODES:
        raise UsageError(f"--isolate {mode}: give one of {', '.join(MODES)}")
    return Isolation(mode, seconds, archive.size_of(memory, "--plugin-memory"))
