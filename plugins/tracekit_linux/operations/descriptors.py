"""File descriptors of the processes that strace follows: which device each is, by who opened it and who has whose table."""

from dataclasses import dataclass, field
from zlib import crc32

from tracekit import Row

UNOPENED = 1 << 30  # apart from the numbers of lines


@dataclass(eq=False)
class Device:
    """One opened device."""

    entity: int
    bdf: str | None = None


@dataclass(eq=False)
class Process:
    """The descriptors that some threads share."""

    devices: dict[int, Device] = field(default_factory=dict)


class Descriptors:
    """The descriptor tables of one source.

    A thread that strace did not see begin is of the process whose table has the descriptor, if it is the only one: `strace -p` names the
    threads of a running process and not which is whose.
    """

    def __init__(self) -> None:
        self.processes: dict[int | None, Process] = {}  # by the thread that stands for it
        self.first: dict[int | None, int | None] = {}  # thread -> the thread whose table it has
        self.unopened: dict[int, Device] = {}  # descriptors that were there before the recording

    def clone(self, parent: int | None, child: int, shares: bool) -> None:
        """Give a new thread the descriptor table of its parent, and a new process a copy."""
        parent = self.first.get(parent, parent)
        self.processes.pop(child, None)
        self.first.pop(child, None)
        if shares:
            self.first[child] = parent
        elif parent in self.processes:
            self.processes[child] = Process(dict(self.processes[parent].devices))

    def open(self, thread: int | None, fd: int, row: Row, bdf: str | None) -> None:
        """Note that a thread got a descriptor of a device."""
        thread = self.first.get(thread, thread)
        self.processes.setdefault(thread, Process()).devices[fd] = Device(_number(row, int(row.line)), bdf)

    def close(self, thread: int | None, fd: int) -> bool:
        """A thread closed a descriptor: whether it was a device's, and the last one of it."""
        process = self._having(thread, fd)
        if process is None:
            return self.unopened.pop(fd, None) is not None
        gone = process.devices.pop(fd)
        return not any(gone in p.devices.values() for p in self.processes.values())

    def device(self, thread: int | None, fd: int, row: Row) -> tuple[int, str | None]:
        """Return (number, BDF) of the device behind a descriptor of a thread."""
        process = self._having(thread, fd)
        device = process.devices[fd] if process is not None else self.unopened.setdefault(fd, Device(_number(row, UNOPENED + fd)))
        return device.entity, device.bdf

    def _having(self, thread: int | None, fd: int) -> Process | None:
        thread = self.first.get(thread, thread)
        mine = self.processes.get(thread)
        if mine is not None and fd in mine.devices:
            return mine
        having = {id(p): p for p in self.processes.values() if fd in p.devices}
        if mine is None and len(having) == 1:
            (self.processes[thread],) = having.values()
            return self.processes[thread]
        return None


def _number(row: Row, of: int) -> int:
    """A number for a device that is its own in a case."""
    return (crc32(row.source.encode()) << 31) + of
