"""Cases of a batch: what belongs together, and whether it changed since it was analyzed last.

A case is a file, an archive, a folder given as a whole, or else each entry of a folder and of a list (`@list.txt`, one path a line).
"""

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tracekit.batch import marks
from tracekit.batch.results import is_results
from tracekit.errors import SourceError
from tracekit.reading import bundle
from tracekit.reading.source import is_url, open_url, remote, shown

_STEP = 1 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """A case of a batch: its path, its size in bytes. `mark` differs once the content may; `changed`: its last change, in ns since 1970."""

    path: str
    size: int
    mark: str
    changed: int = 0

    @property
    def label(self) -> str:
        """Return the path as text, which is the name of the case in results."""
        return shown(self.path)


def find(paths: Iterable[str], whole: Iterable[str] = ()) -> tuple[list[Case], list[str]]:
    """Return (the cases in `paths`, in order, each once; one line per path that is none). `whole`: folders that are one case."""
    found: dict[str, Case] = {}
    errors: list[str] = []
    for path, listed in (*_entries(paths, errors), *((w, False) for w in whole)):
        try:
            found.setdefault(path, case(path))
        except (OSError, SourceError) as error:
            if listed:  # it fails as a case, so that the report names it
                found[path] = Case(path, 0, "")
            else:
                errors.append(_told(path, error))
    return list(found.values()), errors


def case(path: str) -> Case:
    """Return the case at a path. Errors: OSError, SourceError where there is nothing."""
    if is_url(path):
        info = remote(path)
        if info.get("type") == "directory":
            raise SourceError("is a folder in a remote store: give it to the batch itself, each of its files is a case")
        mark = ":".join(str(info[k]) for k in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created") if info.get(k))
        return Case(path, int(info.get("size") or 0), f"{info.get('size')}:{mark}")
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        return Case(path, status.st_size, marks.of(status), max(status.st_mtime_ns, status.st_ctime_ns))
    files = [(name, os.lstat(name)) for name in _files(path)]
    told = "".join(f"{name.removeprefix(path)}\0{marks.of(s)}\n" for name, s in files).encode("utf-8", "surrogateescape")
    changed = max((max(s.st_mtime_ns, s.st_ctime_ns) for _, s in files), default=0)
    return Case(path, sum(s.st_size for _, s in files), hashlib.blake2b(told, digest_size=16).hexdigest(), changed)


def digest(path: str) -> str:
    """Return the digest of a case's content; of a folder also the names below it. Errors: OSError, SourceError."""
    h = hashlib.blake2b(digest_size=16)
    if is_url(path):
        with open_url(path) as file:
            for block in iter(lambda: file.read(_STEP), b""):
                h.update(block)
        return h.hexdigest()
    for name in _files(path) if os.path.isdir(path) else [path]:
        h.update(name.removeprefix(path).encode("utf-8", "surrogateescape") + b"\0")
        with open(name, "rb") as file:
            for block in iter(lambda: file.read(_STEP), b""):
                h.update(block)
    return h.hexdigest()


def _entries(paths: Iterable[str], errors: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield every path of the command line, folders and lists expanded once, with whether a list names it."""
    for path in paths:
        try:
            if path.startswith("@"):
                yield from ((entry, True) for entry in _listed(path[1:]))
            elif is_url(path) and (path.endswith("/") or _is_remote_folder(path)):
                yield from ((entry, False) for entry in _remote_entries(path))
            elif os.path.isdir(path):
                yield from ((entry, False) for entry in _inside(path))
            else:
                yield path, False
        except (OSError, SourceError) as error:
            errors.append(_told(path, error))


def _listed(file: str) -> list[str]:
    with open(file, encoding="utf-8", errors="surrogateescape") as lines:
        return [text for line in lines if (text := line.strip()) and not text.startswith("#")]


def _inside(folder: str) -> list[str]:
    """Return the entries of a folder that can be cases: folders, and files that may be logs."""
    names = sorted(e.name for e in os.scandir(folder) if not e.name.startswith(".") and _may_be_case(e))
    if not names:
        raise SourceError("the folder holds no case")
    return [os.path.join(folder, name) for name in names]


def _may_be_case(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry of a folder may be logs: results of a batch are not, nor a pipe, which would be waited for. A link that leads
    nowhere is told as one that cannot be read."""
    if entry.is_dir():
        return not is_results(entry.path)
    return bundle.is_log(entry.name) and (entry.is_file() or not os.path.exists(entry.path))


def _told(path: str, error: Exception) -> str:
    reason = str(getattr(error, "strerror", None) or error)
    return f"{shown(path)}: {reason.removeprefix(f'{path}: ')}"


def _is_remote_folder(url: str) -> bool:
    return bool(remote(url).get("type") == "directory")


def _remote_entries(url: str) -> Sequence[str]:
    listing = remote(url, entries=True)
    return sorted(str(name) for name in listing if bundle.is_log(posixpath.basename(str(name))))


def _files(folder: str) -> list[str]:
    """Return the regular files below a folder; links are not followed."""
    names = (os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    return sorted(n for n in names if os.path.isfile(n) and not os.path.islink(n))
