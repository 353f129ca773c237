"""The index of results: it says what a batch would find to be as it was, so that the same batch is answered without looking at each case.

It is a file beside the manifest, written by a batch after which the same one would have nothing to do, while the results are locked. It
holds the answer, and what this depends on: the command with its settings and environment, the marks of the code and of the logs, the
digest of the results themselves. The answer is given where all of this is as it was. What is unusual has no index. One that is missing,
damaged or of another release costs time only, since the batch then looks at each case.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from tracekit.batch import fingerprint, lock, marks
from tracekit.config import place

FILE = "unchanged.index"
_FORM = "tracekit.unchanged/1"
_STEP = 1 << 20
_RESULTS = ("--output", "-o")
# Options with a value that the results and the exit status depend on by their words alone: no file, no host, no key.
_VALUED = (
    *("--jobs", "-j", "--time-limit", "--memory-limit", "--max-expanded", "--max-ratio", "--max-members", "--max-depth", "--max-name"),
    *("--select", "--ignore", "--severity", "--set", "--fail-on", "--isolate", "--plugin-time", "--plugin-memory"),
)


class Command(NamedTuple):
    """A batch of files and folders: its words behind `batch`, the places of its logs, the folder of its results."""

    words: tuple[str, ...]
    places: tuple[str, ...]
    results: str


class Answer(NamedTuple):
    """What the same batch says and ends with: how many cases it has, findings that are suppressed, the exit status."""

    cases: int
    suppressed: int
    status: int


class Seen(NamedTuple):
    """What the answer of a command depends on, beside the results: each is a digest. `modules`: those of the plugins."""

    command: Command
    asked: str
    modules: list[str]
    engine: str
    logs: str


def command(words: Sequence[str]) -> Command | None:
    """Return a command that may have an index; null where one of its words is unusual."""
    places, results, left = [], "", iter(words)
    for word in left:
        name, given, value = word.partition("=")
        if not word.startswith("-"):
            places.append(word)
        elif word in (*_RESULTS, *_VALUED):
            value = next(left, "")
        elif not (given and word.startswith("--") and name in (*_RESULTS, *_VALUED)):
            return None
        if word.startswith("-") and name in _RESULTS:
            results = value
    unusual = not results or not places or any(p.startswith("@") or "://" in p for p in places) or "TRACEKIT_PLUGINS" in os.environ
    return None if unusual else Command(tuple(words), tuple(places), results)


def answer(given: Command) -> Answer | None:
    """Return what a batch would say that has nothing to do; null where it has to look."""
    with suppress(OSError, ValueError, KeyError, TypeError, marks.UnmarkedError):
        index = _read(given.results)
        with alone(given.results) as only:
            same = (
                only
                and index["at"] <= time.time_ns()
                and index["asked"] == _asked(given)
                and index["results"] == _contents(given.results)
                and index["engine"] == fingerprint.mark(index["modules"])[0]
                and index["logs"] == _logs(given)
            )
        return Answer(*index["answer"]) if same else None
    return None


def seen(given: Command) -> Seen | None:
    """Return what a batch depends on, before it reads any of it; null where marks do not say it, or plugins of others take part."""
    from importlib import metadata

    from tracekit.plugins.isolation import is_ours

    points = metadata.entry_points(group="tracekit")
    if not all(map(is_ours, points)):
        return None
    with suppress(OSError, marks.UnmarkedError):
        now, modules = time.time_ns(), sorted({p.module for p in points})
        engine, changed = fingerprint.mark(modules)
        return Seen(given, _asked(given), modules, engine, _logs(given)) if now - changed > marks.SETTLED else None
    return None


@contextmanager
def alone(results: str) -> Iterator[bool]:
    """Keep other batches from results that can be written; yield whether that is so."""
    held = None
    with suppress(OSError):
        held = lock.taken(results) if os.access(results, os.W_OK) else None
    try:
        yield held is not None
    finally:
        if held is not None:
            held.close()


def keep(seen: Seen, answer: Answer) -> None:
    """Write the index of results that are locked. One that cannot be written is no error."""
    results = seen.command.results
    of = {"asked": seen.asked, "modules": seen.modules, "engine": seen.engine, "logs": seen.logs}
    with suppress(OSError):
        text = json.dumps({"form": _FORM, "at": time.time_ns(), **of, "results": _contents(results), "answer": answer}).encode()
        partial = os.path.join(results, f"{FILE}.partial")
        with open(partial, "wb") as out:
            out.write(_digest(text).encode() + b"\n" + text)
        os.replace(partial, os.path.join(results, FILE))


def _read(results: str) -> dict[str, Any]:
    """Return the index of results. Errors: OSError, ValueError."""
    with open(os.path.join(results, FILE), "rb") as file:
        digest, _, text = file.read().partition(b"\n")
    if digest != _digest(text).encode():
        raise ValueError("damaged")
    index: dict[str, Any] = json.loads(text)
    if index["form"] != _FORM:
        raise ValueError("of another release")
    return index


def _asked(given: Command) -> str:
    """Return the digest of what the user asks for. Suppressions of a file of settings end with a day. Errors: OSError."""
    limits = sorted((name, value) for name, value in os.environ.items() if name.startswith("TRACEKIT_"))
    file = place.found(Path.cwd())
    settings = () if file is None else (str(file), file.read_bytes(), time.strftime("%Y-%m-%d"))
    return _digest(repr((given.words, limits, settings)).encode())


def _logs(given: Command) -> str:
    """Return the digest of the marks of all logs. Errors: OSError, UnmarkedError."""
    besides = os.path.realpath(given.results)
    found = sorted(line for path in given.places for line in marks.of_place(path, besides))
    return _digest("".join(found).encode("utf-8", "surrogateescape"))


def _contents(results: str) -> str:
    """Return the digest of the results: names and contents of the files, but for the lock and the index. Errors: OSError."""
    h = blake2b(digest_size=16)
    for folder, folders, names in os.walk(results):
        folders.sort()
        for name in sorted(names):
            if folder == results and name in (FILE, lock.FILE):
                continue
            file = os.path.join(folder, name)
            with open(file, "rb") as content:
                h.update(f"{file.removeprefix(results)}\0{os.fstat(content.fileno()).st_size}\0".encode("utf-8", "surrogateescape"))
                while block := content.read(_STEP):
                    h.update(block)
    return h.hexdigest()


def _digest(text: bytes) -> str:
    return blake2b(text, digest_size=16).hexdigest()
