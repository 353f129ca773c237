"""Identify this tracekit: the digest of its code, its plugins and its grammars, by which results of different versions differ."""

import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata, util
from pathlib import Path

from tracekit import __version__
from tracekit.plugins import loose

_READ = {".py", ".lark"}


@cache
def digest() -> str:
    """Return the digest of everything that decides what an analysis finds; computed once a process, without loading any of it."""
    h = hashlib.blake2b(digest_size=16)
    h.update(f"{__version__} {sys.version_info[:2]} {metadata.version('polars')}".encode())
    for name, root in sorted(_parts()):
        for file in sorted(f for f in ([root] if root.is_file() else root.rglob("*")) if f.suffix in _READ):
            h.update(f"\0{name}\0{file.relative_to(root.parent).as_posix()}\0".encode())
            h.update(file.read_bytes())
    return h.hexdigest()


def _parts() -> Iterator[tuple[str, Path]]:
    """Yield the packages that take part: tracekit, its grammars, and every plugin, with their version."""
    for point in metadata.entry_points(group="tracekit"):
        version = point.dist.version if point.dist else "?"
        for place in _places(point.module):
            yield f"{point.name} {version}", place
    for own in loose.points():
        yield f"{own.name} {own.version}", own.path.parent if own.path.name == "__init__.py" else own.path
    for package in ("tracekit", "tracekit_grammars"):
        for place in _places(package):
            yield package, place


def _places(module: str) -> list[Path]:
    """Return the path of a module's code: the folder of a package, the file of a module; empty where it is not installed."""
    try:
        spec = util.find_spec(module.split(".")[0])
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    return [Path(p) for p in spec.submodule_search_locations] if spec.submodule_search_locations else [Path(spec.origin or ".")]
