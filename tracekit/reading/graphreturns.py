"""Return values of a function graph in a trace.dat, which `trace-cmd report` leaves out and `trace-cmd report -R` prints.

The kernel records them since 6.5. Both reports have the events of a CPU in one order; where the first prints a call that made none as one
line, `f();`, the second has its entry and its exit.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator

# qemu-kvm-342   [000]     5.000010: funcgraph_exit:        func=msi_insert_desc retval=0xffffffffffffffde depth=2 overrun=0 calltime=...
_RAW = re.compile(rb"\[([0-9]+)\].{0,80}? funcgraph_exit: +func=([^ ]+) retval=(0x[0-9a-f]+|-?[0-9]+) ")
# qemu-kvm-342   [000]     5.000005: funcgraph_entry:        2.000 us   |      msi_insert_desc();
# qemu-kvm-342   [000]     5.000010: funcgraph_exit:         4.000 us   |      }
_ENDS = re.compile(
    rb"\[([0-9]+)\].{0,80}? funcgraph_(?:entry|exit): [^|]{0,80}\| *"
    rb"(?:([^ (}]{1,99})[^(]{0,40}\([^()]*\);|\})(?: /\* ([^*]*) \*/)?$"
)
_TOLD = re.compile(rb"(?:^|[ ])(?:= |ret=)")  # a trace-cmd that prints them itself


def with_returns(lines: Iterable[bytes], raw: Iterable[bytes]) -> Iterator[bytes]:
    """Put the return values of the raw report behind the calls of the other, as ftrace prints them: `} /* f = 0x0 */`, `f(); /* = 0x0 */`.

    Where the two do not agree on a function, the values of that CPU are left out from there on.
    """
    exits = _Exits(raw)
    for line in lines:
        found = _ENDS.search(line)
        if found is None:
            yield line
            continue
        cpu, leaf, comment = found.groups()
        told = comment is not None and _TOLD.search(comment) is not None
        function, value = exits.following(cpu, leaf or (comment.split(b" ")[0] if comment and not told else None))
        if value is None or told:
            yield line
        elif leaf:
            yield line + b" /* = " + value + b" */"
        else:
            yield line[: line.rindex(b"}") + 1] + b" /* " + function + b" = " + value + b" */"


class _Exits:
    """The exits of each CPU in order, read as far as they are needed."""

    def __init__(self, raw: Iterable[bytes]) -> None:
        self.matches = filter(None, map(_RAW.search, raw))
        self.waiting: dict[bytes, deque[tuple[bytes, bytes]]] = {}
        self.astray: set[bytes] = set()

    def following(self, cpu: bytes, function: bytes | None) -> tuple[bytes, bytes | None]:
        """Return function and value of the next exit of a CPU; no value where that is another function's than `function`."""
        mine = self.waiting.setdefault(cpu, deque())
        while not mine and (m := next(self.matches, None)) is not None:
            self.waiting.setdefault(m[1], deque()).append((m[2], m[3]))
        if not mine or cpu in self.astray:
            return b"", None
        name, value = mine.popleft()
        if function is not None and name != function:
            self.astray.add(cpu)
            return b"", None
        return name, value
