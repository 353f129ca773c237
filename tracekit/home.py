"""Where what can be made again is kept."""

import os
from pathlib import Path


def cache() -> Path:
    """Return tracekit's folder in the user's cache; where the user has no home, as in a container, one that nothing can be written to."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracekit"
    except RuntimeError:
        return Path(os.devnull) / "tracekit"
