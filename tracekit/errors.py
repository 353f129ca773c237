"""What can go wrong, as one tree. Every message names the source, the line where there is one, and what to do."""


class TracekitError(Exception):
    """Anything tracekit itself reports to its user in one line."""


class UsageError(TracekitError):
    """The command line or an option cannot be followed."""


class SourceError(TracekitError):
    """A path cannot be read, or holds nothing that could be a log."""


class LimitError(SourceError):
    """An input costs more than its limits allow; names the limit and how to move it."""


class GrammarError(TracekitError):
    """A grammar file cannot be loaded or lowered; names the file and the rule."""


class PluginError(TracekitError):
    """A plugin cannot be loaded, or one of its parts raised; names the plugin and its version."""
