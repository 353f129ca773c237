"""Identify this tracekit by its code, its plugins and its grammars: results of different versions differ by the digest of these files.

Their marks say whether they are what they were, and no file is read for it.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import blake2b
from importlib import util
from importlib.machinery import PathFinder

from tracekit import __version__
from tracekit.batch import marks

_READ = (".py", ".lark")
_PACKAGES = ("tracekit", "tracekit_grammars")
_DISTRIBUTIONS = (".dist-info", ".egg-info")
_TOLD = ("entry_points.txt", "METADATA", "PKG-INFO")  # what a distribution says of its plugins and of its version
_BACKPORT = "MetadataPathFinder"  # of importlib.metadata, which other packages load: it looks through the same folders


@cache
def digest() -> str:
    """Return the digest of everything that decides what an analysis finds; computed once a process, without loading any of it."""
    from importlib import metadata

    h = blake2b(digest_size=16)
    h.update(f"{__version__} {sys.version_info[:2]} {metadata.version('polars')}".encode())
    for name, root in sorted(_parts()):
        for path, file in _files(root):
            h.update(f"\0{name}\0{path}\0".encode())
            with open(file, "rb") as code:
                h.update(code.read())
    return h.hexdigest()


def mark(modules: Iterable[str]) -> tuple[str, int]:
    """Return (a digest that differs once `digest` may, the last change of a file in ns since 1970). `modules`: those of the plugins.

    A plugin that is installed, removed or updated shows by the files of the distributions. Errors: OSError; UnmarkedError where plugins may
    come from elsewhere than folders.
    """
    seen, newest = [sys.version], 0
    for name in (*_distributions(), *_code(modules)):
        status = os.stat(name)
        seen.append(f"{name}\0{marks.of(status)}")
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
    return blake2b("\n".join(seen).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest(), newest


def _distributions() -> Iterator[str]:
    """Yield the folders of the distributions that Python finds, in its order, and the files in which they speak of themselves."""
    for finder in sys.meta_path:
        if hasattr(finder, "find_distributions") and finder is not PathFinder and type(finder).__name__ != _BACKPORT:
            raise marks.UnmarkedError(str(finder))
    for place in sys.path:
        try:
            names = sorted(os.listdir(place or "."))
        except FileNotFoundError:
            continue
        if place.endswith(".egg"):
            raise marks.UnmarkedError(place)
        for name in (os.path.join(place, n) for n in names if n.lower().endswith(_DISTRIBUTIONS)):
            yield name
            yield from (file for told in _TOLD if os.path.exists(file := os.path.join(name, told)))


def _code(modules: Iterable[str]) -> Iterator[str]:
    """Yield the files of tracekit, its grammars and plugins."""
    return (file for module in (*_PACKAGES, *modules) for root in _places(module) for _, file in _files(root))


def _parts() -> Iterator[tuple[str, str]]:
    """Yield the packages that take part: tracekit, its grammars, and every plugin, with their version."""
    from importlib import metadata

    from tracekit.plugins import loose

    for point in metadata.entry_points(group="tracekit"):
        version = point.dist.version if point.dist else "?"
        for place in _places(point.module):
            yield f"{point.name} {version}", place
    for own in loose.points():
        yield f"{own.name} {own.version}", str(own.path.parent if own.path.name == "__init__.py" else own.path)
    for package in _PACKAGES:
        for place in _places(package):
            yield package, place


def _places(module: str) -> list[str]:
    """Return the path of a module's code: the folder of a package, the file of a module; empty where it is not installed."""
    try:
        spec = util.find_spec(module.split(".")[0])
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    return list(spec.submodule_search_locations or [spec.origin or "."])


def _files(root: str) -> list[tuple[str, str]]:
    """Return (path from beside the root, file) of the code and the grammars at a root."""
    beside = len(os.path.dirname(root)) + 1
    return sorted((file[beside:], file) for file in ([root] if os.path.isfile(root) else _below(root)) if file.endswith(_READ))


def _below(folder: str) -> Iterator[str]:
    """Yield the files below a folder, if it is one; links to folders are not followed."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):  # where an editable installation hooks into the path
        return
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)
            else:
                yield entry.path
