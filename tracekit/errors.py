"""Exceptions, as one tree. Every message names the source, the line where there is one, and what to do."""

from collections.abc import Iterable


class TracekitError(Exception):
    """Report a failure of tracekit to the user, in one line."""


class UsageError(TracekitError):
    """Reject a command line or an option."""


class OutputError(TracekitError):
    """Report output that cannot be written: a full disk, a closed descriptor."""


class SourceError(TracekitError):
    """Report a path that cannot be read, or that holds no log."""


class LimitError(SourceError):
    """Report an input that exceeds a limit; name the limit and how to raise it."""


class GrammarError(TracekitError):
    """Report a grammar file that cannot be loaded or lowered; name the file and the rule."""


class PluginError(TracekitError):
    """Report a plugin that cannot be loaded, or a part of it that raised; name the plugin and its version."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean x?`, or nothing."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""
