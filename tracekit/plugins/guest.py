"""Control the process of a plugin: send one request at a time, kill it at its limits, start it again for the next request."""

import io
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from tracekit.guard import Lost, Raised
from tracekit.plugins.isolation import Isolation, version_of
from tracekit.process import memory

_START = 120.0  # s that a process may take to come up, before the plugin is loaded
_LOOK = 0.02  # s between two looks at the process
_END = 5.0  # s that a process may take to end once it has closed its connection
# What an answer may be made of: values of tracekit and polars. No class of a plugin is loaded into this process.
_PACKAGES = ("tracekit", "polars", "pathlib", "collections", "datetime")
_BUILTINS = ("set", "frozenset", "bytearray", "complex", "range", "slice")

Child = subprocess.Popen[bytes]


class Guest:
    """The process of one plugin. It ends with this object, and with the process that started it."""

    def __init__(self, point: metadata.EntryPoint, isolation: Isolation) -> None:
        self.point = point
        self.version = version_of(point)
        self.isolation = isolation
        self._child: Child | None = None
        self._facts: Any = None
        self._serial = 0

    def described(self) -> Any:
        """Load the plugin there; return what it brings. Errors: Lost, Raised."""
        return self._facts if self._ready() else None

    def ask(self, what: str, *arguments: Any) -> Any:
        """Call a method of `serving.Served` in the process. Errors: Raised, Lost."""
        try:
            self._ready()
            return self._call(what, arguments)
        except _Ended:  # what another part of the plugin left behind, a thread or a copy of the process, may be why
            self._ready()
            return self._call(what, arguments)

    def begin(self) -> None:
        """Start the process and do not wait for it. Errors: none here; `described` raises them."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._connection = Connection(ours.detach())
            path = os.pathsep.join(p or os.getcwd() for p in sys.path)
            told = (str(theirs.fileno()), str(os.getpid()), self.point.name, self.point.value, self.version)
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "tracekit.plugins.serving", *told],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a plugin prints gets into no report
                start_new_session=True,  # an interrupt from the keyboard is for this process
                env={**os.environ, "PYTHONPATH": path, "POLARS_MAX_THREADS": os.environ.get("POLARS_MAX_THREADS", "1")},
            )
        self._serial = -1
        self._finalizer = weakref.finalize(self, _ended, self._child, self._connection)

    def _ready(self) -> bool:
        """Start the process where it is not there, and load its plugin."""
        if self._child is not None and self._child.poll() is not None:
            self._stop()
        if self._child is None:
            self.begin()
        if self._serial < 0:
            self._serial = 0
            if not self._connection.poll(_START):
                self._stop()
                raise Lost(f"did not begin within {_START:g} s")
            self._facts = self._call("load", (), greeting=True)
        return True

    def _call(self, what: str, arguments: tuple[Any, ...], greeting: bool = False) -> Any:
        child = self._child
        assert child is not None
        self._serial += 1
        asked = pickle.dumps((self._serial, what, arguments), 5)
        watch = _Watch(child, self.isolation)
        try:
            with watch:
                if greeting:
                    self._connection.recv_bytes(16)
                self._connection.send_bytes(asked)
                told = self._connection.recv_bytes()
            serial, kind, answer = _Values(io.BytesIO(told)).load()
            if serial != self._serial or kind not in ("told", "raised"):
                raise pickle.UnpicklingError
        except (EOFError, OSError):
            said = self._last_word(child)
            raise Lost(watch.passed) if watch.passed else _Ended(said) from None
        except Exception:
            self._stop()
            raise _Ended("answered with what is no answer") from None
        except BaseException:
            self._stop()
            raise
        if kind == "raised":
            raise Raised(*answer)
        return answer

    def _last_word(self, child: Child) -> str:
        """Return how the process ended."""
        try:
            status = child.wait(_END)
        except subprocess.TimeoutExpired:
            self._stop()
            return "closed its connection"
        self._stop()
        return f"ended its process ({f'signal {-status}' if status < 0 else f'status {status}'})"

    def _stop(self) -> None:
        self._finalizer()
        self._child = None


class _Ended(Lost):
    """The process ended or its answer is out of order, though it is within its limits."""


class _Watch:
    """A thread that ends a process which passes its limits while it is called; `passed` says which."""

    def __init__(self, child: Child, isolation: Isolation) -> None:
        self.child, self.isolation = child, isolation
        self.passed = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._end = time.monotonic() + self.isolation.seconds
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK):
            if time.monotonic() > self._end:
                self.passed = f"took longer than {self.isolation.seconds:g} s"
            elif memory(self.child.pid) > self.isolation.memory:
                self.passed = f"took more memory than {self.isolation.memory >> 20:,} MiB"
            if self.passed:
                _kill(self.child)
                return


class _Values(pickle.Unpickler):
    """An unpickler that accepts the types of tracekit and polars only."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class that an answer may contain. Errors: UnpicklingError."""
        known = name in _BUILTINS if module == "builtins" else module.split(".")[0] in _PACKAGES
        if not known:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


def _ended(child: Child, connection: "Connection[Any, Any]") -> None:
    _kill(child)
    with suppress(subprocess.TimeoutExpired):
        child.wait(_END)
    connection.close()


def _kill(child: Child) -> None:
    """End a process and those that it started."""
    kill: Callable[[int, int], None] = os.killpg
    with suppress(ProcessLookupError, PermissionError):
        kill(child.pid, signal.SIGKILL)
