"""A trace.dat rendered as the text of `trace-cmd report`, with what only the binary file knows.

trace-cmd 3.1 prints probe events with bare addresses, returns as `(FUNCTION <- CALLER)`; ftrace text has names, and the caller first. With
the symbols of the file the probe lines are put into ftrace's form, so that one grammar reads both. It leaves out the return values of a
function graph: those of `trace-cmd report -R` are put behind the calls.
"""

import bisect
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, NamedTuple

from tracekit.reading.graphreturns import with_returns

MAGIC = b"\x17\x08\x44tracing"
_ADDRESSES = re.compile(rb": +\(([0-9a-f]{8,16})(?: <- ([0-9a-f]{8,16}))?\)")
_SYMBOL = re.compile(rb"^([0-9a-f]+) [tTwW] (\S+)(?:\t\[([^]]+)\])?", re.M)
_BLOCK = 8 << 20


class Symbol(NamedTuple):
    """The function of an address, as ftrace prints it: `function+0xOFFSET/0xSIZE [module]`."""

    function: str
    offset: int
    size: int
    module: str

    def __str__(self) -> str:
        module = f" [{self.module}]" if self.module else ""
        return f"{self.function}+{self.offset:#x}/{self.size:#x}{module}"


def render(file: str) -> tuple[list[str], Iterator[bytes], list[str]]:
    """Return the lines that only the file's options give (clock, loss, release), the report's text in blocks, and notes.

    The loss lines read like those of trace_pipe (`CPU:0 [LOST 12 EVENTS]`), the release like the kernel's banner.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as raw:
        status = _report(file, out, err)
        err.seek(0)
        notes = [] if status == 0 else [f"trace-cmd report ended with {status}: {_last_line(err.read())}"]
        out.seek(0)
        names, graph = _names(file, _needed(out)), _has_graph(out)
        out.seek(0)
        blocks = [_named(block, names) for block in _line_blocks(out)]
        if graph:
            _report(file, raw, err, "-R")
            raw.seek(0)
            lines = (line for block in blocks for line in block.splitlines())
            blocks = [b"".join(line + b"\n" for line in with_returns(lines, raw))]
    return _options(_dump(file, "--options")), iter(blocks), notes


def _report(file: str, out: IO[bytes], err: IO[bytes], *options: str) -> int:
    command = ["trace-cmd", "report", *options, "-i", file]
    return subprocess.run(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, check=False).returncode


def _has_graph(stream: IO[bytes]) -> bool:
    """Return whether a report has calls of a function graph."""
    stream.seek(0)
    return any(b" funcgraph_e" in block for block in _line_blocks(stream))


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "no message"


def _dump(file: str, what: str) -> bytes:
    return subprocess.run(["trace-cmd", "dump", what, "-i", file], capture_output=True, stdin=subprocess.DEVNULL, check=False).stdout


def _line_blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the stream in blocks of whole lines."""
    while block := stream.read(_BLOCK):
        yield block + stream.readline()


def _needed(stream: IO[bytes]) -> set[int]:
    """Return the addresses in the parentheses of probe lines."""
    return {int(a, 16) for block in _line_blocks(stream) for pair in _ADDRESSES.findall(block) for a in pair if a}


def _names(file: str, addresses: Iterable[int]) -> dict[int, Symbol]:
    """Return the symbols that contain the addresses, from the kallsyms saved in the file."""
    wanted = sorted(addresses)
    if not wanted:
        return {}
    found = sorted((int(a, 16), f.decode(), m.decode()) for a, f, m in _SYMBOL.findall(_dump(file, "--kallsyms")))
    starts = sorted({s for s, _, _ in found})
    first: dict[int, tuple[str, str]] = {}
    for start, function, module in found:
        first.setdefault(start, (function, module))
    return {a: symbol for a in wanted if (symbol := _symbol(a, starts, first)) is not None}


def _symbol(address: int, starts: list[int], first: Mapping[int, tuple[str, str]]) -> Symbol | None:
    place = bisect.bisect_right(starts, address) - 1
    if place < 0 or place + 1 >= len(starts):
        return None
    start, size = starts[place], starts[place + 1] - starts[place]
    return Symbol(first[start][0], address - start, size, first[start][1]) if start else None


def _named(block: bytes, names: Mapping[int, Symbol]) -> bytes:
    """Put symbols into the probe lines of a block: `(function+0x0/0x40)`, returns as `(caller+0x1/0x40 <- function)`."""

    def replace(match: re.Match[bytes]) -> bytes:
        where = names.get(int(match[1], 16))
        if where is None:
            return match[0]
        if match[2] is None:
            return b": (" + str(where).encode() + b")"
        caller = str(names.get(int(match[2], 16), match[2].decode()))
        module = f" [{where.module}]" if where.module else ""
        return f": ({caller} <- {where.function}{module})".encode()

    return _ADDRESSES.sub(replace, block)


def _options(text: bytes) -> list[str]:
    """Return clock, loss counters and release of the file's options, as lines that the grammars read."""
    dump = text.decode(errors="replace")
    lines = []
    if clock := re.search(r"\[Option TRACECLOCK.*\n.*?\[(\w+|x86-tsc)\]", dump):
        lines.append(f"# trace_clock: {clock[1]}")
    for cpu, counters in re.findall(r"^CPU: ([0-9]+)\n((?:.+\n)+)", dump, re.M):
        lost = sum(int(n) for n in re.findall(r"^(?:overrun|commit overrun|dropped events): ([0-9]+)", counters, re.M))
        if lost:
            lines.append(f"CPU:{cpu} [LOST {lost} EVENTS]")
    if uname := re.search(r"\[Option UNAME.*\nLinux \S+ (\S+) ?(.*)", dump):
        lines.append(f"Linux version {uname[1]} ({uname[2] or 'unknown'})")
    return lines
