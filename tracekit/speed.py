"""Code that is there for speed or memory alone, each part with what it saves. Nothing here changes a result.

Measured on 2 cores with the small logs of `benchmarks/batch.py`, old and new in turns; take out what saves less than 3 %.
"""

import atexit
import dataclasses
import gc
import marshal
import os
import re
import re._compiler as _compiler  # type: ignore[import-not-found]
import re._parser as _parser  # type: ignore[import-not-found]
import sys
from array import array
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType
from typing import Any, TypeVar

from tracekit import home

T = TypeVar("T")
_compile: Callable[..., re.Pattern[str]] = _compiler.compile
_ALLOCATOR = "_RJEM_MALLOC_CONF"  # what jemalloc reads when it starts, under the prefix that polars' wheels for Linux give it
_DIGEST = 16  # bytes at the head of a file of expressions
_MOST = 4_000  # expressions in a file: beyond that, those of older grammars go
_SEARCH_AFTER = 200_000  # new objects between two collections: plugins and rules are some 400,000 objects without cycles


def search_rarely() -> None:
    """Run Python's cycle collector rarely: saves 5 % of the start-up and 3 % of a small log in a batch.

    A replay creates many objects and hardly a cycle. Each collection visits all objects.
    """
    gc.set_threshold(_SEARCH_AFTER)


def end_without_search() -> None:
    """Have the process end without a search for cycles: saves 15 % of the start-up, the part after its report.

    Python searches all objects more than once before it ends. What is opened is closed, and output is flushed, before that.
    """
    atexit.register(gc.freeze)


def return_memory_soon() -> None:
    """Have polars' allocator return free memory within 0.3 s: a log of 1 GiB takes 360 MiB in place of 430, for 2 % more CPU time.

    Left alone, it keeps what was used and counts as the process' own for longer than a chunk takes. It reads this once, when polars
    is loaded. Processes that are started from this one inherit it: not for a batch, whose many small logs would take 5 % longer. What the
    user says of the allocator stands.
    """
    os.environ.setdefault(_ALLOCATOR, "dirty_decay_ms:300,muzzy_decay_ms:0")


def in_pool(work: Callable[[], T]) -> T:
    """Run work in a thread of polars' pool, and return its result: saves 15 % of a small log in a batch, 3 to 6 % of a large one's time.

    A small log takes a hundred operations on small frames, so does a chunk. From any other thread most of them cost two thread switches.
    The frame has two columns, since polars evaluates a single one in the calling thread.
    """
    import polars as pl

    done: Future[T] = Future()

    def run(column: pl.Series) -> pl.Series:
        try:
            done.set_result(work())
        except BaseException as error:  # what ends the process must not become an error of polars
            done.set_exception(error)
        return column

    pl.DataFrame({"a": [0], "b": [0]}).select(pl.col("a").map_batches(run, return_dtype=pl.Int64), pl.col("b") + 1)
    return done.result()


@cache
def compiled(text: str) -> re.Pattern[str]:
    """Return an expression of Python, from the user's cache where it lies there: saves 10 % of the start-up.

    A small log needs some 80 expressions of rules and envelopes. `re` compiles each for about a millisecond, since it does so in Python.
    What it compiles to is kept, under a name with the version of Python, and the C part of `re` checks it when it is taken back.
    """
    return _expressions().compiled(text)


def keep_compiled() -> None:
    """Take the methods of data classes from the user's cache: saves 9 % of the start-up. At the end write what had to be compiled.

    `dataclasses` writes each method of a class as text and compiles it: 740 of them at a start. `exec` in its module stands before the
    builtin one. Code is kept under a name with the version of Python's bytecode.

    Expressions that modules compile while they are loaded, 160 at a start, are taken from there too: saves 4 %.
    """
    methods = _Methods(home.cache() / f"classes-{sys.implementation.cache_tag}-{MAGIC_NUMBER.hex()}")
    dataclasses.exec = methods.run  # type: ignore[attr-defined]
    _compiler.compile = _compile_of_module
    atexit.register(methods.write)
    atexit.register(lambda: _expressions().write())


@cache
def _expressions() -> "_Expressions":
    return _Expressions(home.cache() / f"expressions-{sys.implementation.cache_tag}-{_compiler.MAGIC}-{sys.byteorder}")


def _compile_of_module(pattern: Any, flags: int = 0) -> re.Pattern[str]:
    """Stand in the place of the compiler of `re`: an expression that a function compiles may be one of the log, and is not kept."""
    caller = sys._getframe().f_back
    while caller is not None and caller.f_globals is vars(re):
        caller = caller.f_back
    if caller is None or caller.f_code.co_name != "<module>" or not isinstance(pattern, str) or flags & re.DEBUG:
        return _compile(pattern, flags)
    return _expressions().compiled(pattern, flags)


class _Kept:
    """What texts compile to, in a file. One that is damaged, or that cannot be written, costs only the time of compiling again."""

    def __init__(self, path: Path) -> None:
        self.path, self.more = path, False
        self.used: set[str] = set()
        self.known: dict[str, Any] = {}
        with suppress(OSError, ValueError, EOFError, TypeError):
            data = path.read_bytes()
            if _digest(data[_DIGEST:]) == data[:_DIGEST]:
                self.known = marshal.loads(data[_DIGEST:])

    def taken(self, text: str, compiler: Callable[[str], Any]) -> Any:
        """Return what a text compiles to."""
        self.used.add(text)
        if text not in self.known:
            self.known[text] = compiler(text)
            self.more = True
        return self.known[text]

    def write(self) -> None:
        """Write all, where there is more than was read."""
        if not self.more:
            return
        known = self.known if len(self.known) <= _MOST else {text: self.known[text] for text in self.used & self.known.keys()}
        _write(self.path, marshal.dumps(known))


class _Expressions(_Kept):
    """Expressions: of each its flags, code, groups with number 0, and numbers of names."""

    def compiled(self, text: str, given: int = 0) -> re.Pattern[str]:
        """Return an expression. Errors: re.error."""
        try:
            flags, code, groups, names = self.taken(f"{given}:{text}", lambda _: _parts(text, given))
            named: list[str | None] = [None] * groups
            for name, number in names.items():
                named[number] = name
            made: re.Pattern[str] = _compiler._sre.compile(text, flags, array("I", code).tolist(), groups - 1, names, tuple(named))
            return made
        except (AttributeError, TypeError, ValueError, RuntimeError, LookupError):  # another release of Python, or no code at all
            return _compile(text, given)


class _Methods(_Kept):
    """Methods of data classes, as code."""

    def run(self, text: str, *namespaces: Any) -> None:
        """Do what `exec` does with a text."""
        code = self.taken(text, lambda t: compile(t, "<string>", "exec", dont_inherit=True))
        exec(code if isinstance(code, CodeType) else text, *namespaces)


def kept(name: str, content: Callable[[], bytes]) -> bytes:
    """Return bytes from the user's cache, or make them and keep them there under this name, which says all that they depend on."""
    path = home.cache() / name
    with suppress(OSError):
        data = path.read_bytes()
        if _digest(data[_DIGEST:]) == data[:_DIGEST]:
            return data[_DIGEST:]
    made = content()
    _write(path, made)
    return made


def _write(path: Path, content: bytes) -> None:
    """Write a file of the cache behind its digest, whole or not at all; where nothing can be written it is made again the next time."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(_digest(content) + content)
        partial.replace(path)


def _parts(text: str, flags: int) -> tuple[int, bytes, int, dict[str, int]]:
    """Compile an expression as `re` does."""
    tree = _parser.parse(text, flags)
    return tree.state.flags, array("I", _compiler._code(tree, flags)).tobytes(), tree.state.groups, dict(tree.state.groupdict)


def _digest(data: bytes) -> bytes:
    from hashlib import blake2b

    return blake2b(data, digest_size=_DIGEST).digest()
