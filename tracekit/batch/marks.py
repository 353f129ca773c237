"""Marks of files: size, times and number, which differ once the content may. No file is read."""

import os
from collections.abc import Iterator
from stat import S_ISDIR, S_ISREG

SETTLED = 2_000_000_000  # ns that a file must have been left alone for its times to be trusted


class UnmarkedError(Exception):
    """No mark says whether a content is what it was: it is that of no file."""


def of(status: os.stat_result) -> str:
    """Return the mark of a file."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def of_place(place: str, besides: str) -> Iterator[str]:
    """Yield names with their marks: of a file its own, of a folder those of all below it, in any order.

    `besides`: a folder right inside that is left out; hidden entries of the folder itself are no cases. Errors: OSError; UnmarkedError.
    """
    status = os.stat(place)
    if not S_ISDIR(status.st_mode):
        yield _line(place, _regular(place, status))
        return
    yield f"{place}/\n"
    with os.scandir(place) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            if not entry.is_dir():
                status = _regular(name, entry.stat())
                yield f"{name}\0{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}\n"  # `of`, without its call
            elif os.path.realpath(entry.path) != besides:
                yield from _below(entry.path)


def _below(folder: str) -> Iterator[str]:
    """Yield names with their marks, as far as links do not have to be followed."""
    yield f"{folder}/\n"
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)
            else:
                yield _line(entry.path, entry.stat(follow_symlinks=False))


def _line(name: str, status: os.stat_result) -> str:
    return f"{name}\0{of(status)}\n"  # no name holds a NUL


def _regular(name: str, status: os.stat_result) -> os.stat_result:
    if not S_ISREG(status.st_mode):
        raise UnmarkedError(name)
    return status
