"""Run the command line in this process: all that a process of its own does but its start, which takes half a second."""

import io
import os
import subprocess
import sys
from unittest import mock

from tracekit.cli import main as cli


def tracekit(*arguments: object, given: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with this standard input and environment; its status and output as text."""
    args = ["tracekit", *map(str, arguments)]
    env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")} | environment
    streams = {"stdin": io.TextIOWrapper(io.BytesIO(given)), "stdout": _text(), "stderr": _text()}
    with mock.patch.multiple(sys, argv=args, **streams), mock.patch.dict(os.environ, env, clear=True):
        try:
            status = cli._status()
        except SystemExit as end:  # of the shell's completion
            status = int(end.code or 0)
    return subprocess.CompletedProcess(args, status, _written(streams["stdout"]), _written(streams["stderr"]))


def _text() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", newline="", write_through=True)


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined]
