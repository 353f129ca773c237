"""Recordings that stand in several files: one a CPU (`per_cpu/cpu0/trace`, `trace-cpu0.txt`), or one after the other (rotated, split).

What tells it is the text. Files of CPUs hold lines of the CPU that their names say. Files in sequence have names that differ in a number or
in a letter or two, and the stamps of one go on where those of the other end, as soon as lines of the recording follow each other elsewhere:
so two recordings of one machine stay two.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from tracekit.reading.bundle import Log

LOOKED_AT = 1 << 20  # bytes at either end of a file that tell its stamps
_BACK = 1_000_000  # ns that a line may stand below a later one: trace_pipe gives what each CPU has
_SOON = 1_000_000  # ns
_MOSTLY = 0.5  # of the lines at the head of a recording that must have its envelope

# `name-12 [001] d..1. 5.000001: `, `name 12 [001] 5.000001000: `, counters for a clock; `name-12 1d..1. 500us : `; ` 5.000001 | 1) `.
_ENVELOPE = re.compile(
    rb"[^\n\[]{0,60}\[(?P<cpu>[0-9]{1,4})\](?: +[^ :\n]{3,9})?(?: +[0-9a-f/:]{1,20})? +(?P<s>[0-9]{1,20})(?:\.(?P<f>[0-9]{6,9}))?: "
    rb"| *[^ \n][^\n]{0,40}?-[0-9]{1,10} +(?P<cpu_us>[0-9]{1,4})[dDbX.][^ \n]{3,6} +(?P<us>[0-9]{1,12})us"
    rb"| *(?:(?P<s_of_call>[0-9]{1,10})\.(?P<f_of_call>[0-9]{6,9}) \| +)?(?P<cpu_of_call>[0-9]{1,4})\) "
)
_HEAD = re.compile(rb"# tracer: |cpus=[0-9]|version = [0-9]")
_PACKED = re.compile(r"\.(?:gz|xz|bz2|zst)$")
_OF_CPU = re.compile(r"cpu[-_]?([0-9]{1,4})(?![0-9])")
# What tells the parts of a sequence: `.1`, `-20261101`, `_2`, `-part2`, `.ab`, `.old`, and `split`'s own names, `xab`.
_PART = re.compile(r"(?:^|[-_.])(?:(?:part|p)?[-_.]?[0-9]{1,14}|[A-Za-z]{1,2}|old|prev)(?=[-_.]|$)|(?<=^x)[a-z]{2}$")


class Stamp(NamedTuple):
    """What the envelope of a trace's line tells: how it is written, the CPU, the time in ns or in ticks (null where it has none)."""

    form: str
    cpu: int
    ts: int | None


class Ends(NamedTuple):
    """What the ends of a file tell. `last` and `gap` (the longest time between two lines) are null where its end is not known."""

    form: str
    first: int | None
    last: int | None = None
    gap: int | None = None
    headed: bool = False  # it begins with the head of a recording
    cut: bool = False  # its last line has no end
    torn: bool = False  # its last line has no whole envelope
    late: bool = False  # its first line lacks its begin


class Joined(NamedTuple):
    """Files that are one recording: written beside each other (`mixed`), or in their order; `cuts`: those whose last line the next ends."""

    logs: tuple[Log, ...]
    mixed: bool = False
    cuts: frozenset[int] = frozenset()


def stamp(line: bytes) -> Stamp | None:
    """Return what the envelope of a trace's line tells; null where it has none."""
    m = _ENVELOPE.match(line)
    if m is None:
        return None
    if m["cpu"] is not None:
        return Stamp("s" if m["f"] else "ticks", int(m["cpu"]), _ns(m["s"], m["f"]) if m["f"] else int(m["s"]))
    if m["us"] is not None:
        return Stamp("us", int(m["cpu_us"]), int(m["us"]) * 1000)
    return Stamp("calls", int(m["cpu_of_call"]), _ns(m["s_of_call"], m["f_of_call"]) if m["s_of_call"] else None)


def _ns(seconds: bytes, fraction: bytes) -> int:
    return int(seconds + fraction.ljust(9, b"0"))


def is_recording(head: bytes) -> bool:
    """Return whether most lines at the head of a file have the envelope of a trace."""
    lines = [line for line in head.split(b"\n")[:-1] if line.strip() and not line.startswith((b"#", b" =>"))][:40]
    return bool(lines) and sum(stamp(line) is not None for line in lines) >= _MOSTLY * len(lines)


def joined(logs: Sequence[Log], ends_of: Callable[[Log], Ends]) -> tuple[list[Joined], set[str]]:
    """Return (the recordings that stand in several files; the paths of all files that are recordings, of those with a name that suggests
    it). `ends_of`: looks into a file."""
    found: list[Joined] = []
    known: set[str] = set()
    for family in _families(logs, _OF_CPU.search, lambda path: _OF_CPU.sub("cpu", path)):
        of_cpus = _of_cpus(family)
        known.update(log.path for log in of_cpus)
        found += [Joined(tuple(of_cpus), mixed=True)] if len(of_cpus) > 1 else []
    rest = [log for log in logs if log.path not in known]
    for family in _families(rest, bool, _stem):
        traces = [log for log in family if is_recording(log.head.encode())]
        known.update(log.path for log in traces)
        found += _sequences([(log, ends_of(log)) for log in traces]) if len(traces) > 1 else ()
    return found, known


def sole_cpu(log: Log) -> int | None:
    """Return the CPU of which a file is, by its name and by the lines at its head; null where it is of all."""
    named = _OF_CPU.findall(log.path)
    told = _cpus(log) if named else set()
    return int(named[-1]) if named and told == {int(named[-1])} else None


def _cpus(log: Log) -> set[int]:
    """Return the CPUs of the lines at the head of a file."""
    return {found.cpu for line in log.head.encode().split(b"\n")[:-1] if (found := stamp(line)) is not None}


def _families(logs: Iterable[Log], which: Callable[[str], object], key: Callable[[str], str]) -> Iterator[list[Log]]:
    """Yield the logs that have a key in common with another."""
    families: dict[str, list[Log]] = {}
    for log in logs:
        if which(log.path):
            families.setdefault(key(log.path), []).append(log)
    yield from (own for own in families.values() if len(own) > 1)


def _stem(path: str) -> str:
    """Return a path without what tells the parts of a sequence."""
    folder, base = re.fullmatch(r"(.*[/!])?([^/!]*)", path, re.S).groups()  # type: ignore[union-attr]
    return (folder or "") + _PART.sub("", _PACKED.sub("", base))


def _of_cpus(family: Sequence[Log]) -> list[Log]:
    """Return the logs that hold lines of the one CPU that their name says; with those that hold a head and nothing more."""
    told: dict[str, set[int]] = {}
    timed = 0
    for log in family:
        stamps = [found for line in log.head.encode().split(b"\n")[:-1] if (found := stamp(line)) is not None]
        told[log.path] = {s.cpu for s in stamps}
        timed += any(s.ts is not None for s in stamps)
    own = [
        log
        for log in family
        if told[log.path] <= {int(_OF_CPU.findall(log.path)[-1])} and (told[log.path] or log.head.startswith("# tracer: "))
    ]
    return sorted(own, key=lambda log: int(_OF_CPU.findall(log.path)[-1])) if timed > 1 else []


def _sequences(family: Sequence[tuple[Log, Ends]]) -> list[Joined]:
    """Return the runs of files each of which goes on where the one before it ends."""
    found: list[Joined] = []
    ordered = _ordered(family)
    run = [ordered[0]]
    for before, after in pairwise(ordered):
        if _follows(before[1], after[1], run[0][1]):
            run.append(after)
        else:
            found += _run(run)
            run = [after]
    return [*found, *_run(run)]


def _run(run: Sequence[tuple[Log, Ends]]) -> list[Joined]:
    if len(run) < 2:
        return []
    cuts = frozenset(i for i, ((_, before), (_, after)) in enumerate(pairwise(run)) if _cut(before, after))
    return [Joined(tuple(log for log, _ in run), cuts=cuts)]


def _ordered(family: Sequence[tuple[Log, Ends]]) -> list[tuple[Log, Ends]]:
    """Sort by the first stamps; where lines have none the file with a head is the first, and tells which way names count."""
    if all(ends.first is not None for _, ends in family):
        return sorted(family, key=lambda own: (own[1].first or 0, own[0].path))
    by_name = sorted(family, key=lambda own: _natural(own[0].path))
    return by_name[::-1] if by_name[-1][1].headed and not by_name[0][1].headed else by_name


def _natural(path: str) -> tuple[str, ...]:
    """Return a key by which `trace.10` stands behind `trace.9`."""
    return tuple(part.rjust(20, "0") if part.isdigit() else part for part in re.split("([0-9]+)", os.path.basename(path)))


def _follows(before: Ends, after: Ends, first: Ends) -> bool:
    """Return whether a file goes on where another ends; `first`: the first of those that go on so."""
    if before.form != after.form or (before.first is None) != (after.first is None):
        return False
    if before.first is None or after.first is None:
        return _cut(before, after) or (first.headed and not after.headed)
    if before.last is None or after.last is None:
        return after.first > before.first and not after.headed
    gap = after.first - before.last
    shorter = min(before.last - before.first, after.last - after.first)
    return gap >= -min(_BACK, shorter // 10) and (_cut(before, after) or gap <= max(before.gap or 0, after.gap or 0, _SOON))


def _cut(before: Ends, after: Ends) -> bool:
    """Return whether a line begins in one file and ends in the next: one half of it at least has no envelope."""
    return before.cut and (before.torn or after.late)


def ends_of(file: str) -> Ends:
    """Return what the ends of a file tell. Errors: OSError."""
    with open(file, "rb") as stream:
        head = stream.read(LOOKED_AT)
        stream.seek(max(os.fstat(stream.fileno()).st_size - LOOKED_AT, len(head)))
        return ends(head, stream.read())


def ends(head: bytes, tail: bytes | None) -> Ends:
    """Return what the first and the last bytes of a file tell; `tail`: null where it is not known, else what stands behind the first."""
    begun = [found for line in head.split(b"\n")[: None if tail == b"" else -1] if (found := stamp(line)) is not None]
    ended = [found for line in (tail or b"").split(b"\n")[1:] if (found := stamp(line)) is not None]
    form, headed = begun[0].form if begun else "", _HEAD.match(head) is not None
    first = next((found.ts for found in begun if found.ts is not None), None)
    if tail is None:
        return Ends(form, first, headed=headed)
    times = [[found.ts for found in part if found.ts is not None] for part in (begun, ended)]
    last = next((part[-1] for part in reversed(times) if part), None)
    gap = max((b - a for part in times for a, b in pairwise(part)), default=0)
    rest = (tail or head).rpartition(b"\n")[2]
    late = not headed and not head.startswith((b"#", b"\n")) and stamp(head.partition(b"\n")[0]) is None
    return Ends(form, first, last, gap, headed, cut=rest != b"", torn=rest != b"" and stamp(rest) is None, late=late)
