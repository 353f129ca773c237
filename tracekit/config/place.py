"""The file of settings that holds for a folder."""

from pathlib import Path

FILES = ("tracekit.toml", "pyproject.toml")


def found(start: Path) -> Path | None:
    """Return the nearest file upwards that has settings of tracekit: `tracekit.toml`, or a `pyproject.toml` with `[tool.tracekit]`."""
    folder = start.resolve()
    for place in (folder, *folder.parents):
        for name in FILES:
            path = place / name
            if path.is_file() and (name == FILES[0] or "tool.tracekit" in path.read_text(encoding="utf-8", errors="replace")):
                return path
    return None
