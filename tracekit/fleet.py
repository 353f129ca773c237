"""Values of a batch's report: all that a report on many machines may print."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class FleetFault:
    """Sum up one fault over all machines: the findings that share a group (code, role of the device, causal shape)."""

    group: str
    code: str
    name: str
    severity: str
    grade: str
    role: str
    state: str  # new, known, or "" where there is nothing to compare with
    machines: int  # that a log names
    nameless: int  # cases whose logs name no host
    cases: int
    findings: int
    first_seen: str | None
    last_seen: str | None
    seen_by: str
    by: Mapping[str, Mapping[str, int]]  # kernel, qemu, xen, driver, device -> how many machines, or cases without a host name
    on: Sequence[str]  # the machines, and the paths of cases whose logs name no host
    example: Mapping[str, Any]  # case, summary, advice, source, line, text
    grid: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # device ("*": all) -> kernel -> machines or nameless cases
    days: Mapping[str, int] = field(default_factory=dict)  # day of the first line -> machines or nameless cases


@dataclass(frozen=True)
class FleetCase:
    """Name a case that has a fault: the findings of one group about one device."""

    group: str
    code: str
    severity: str
    grade: str
    case: str
    machine: str  # "" where no log of the case names a host
    subject: str  # the device as its finding calls it
    device: str  # what it is, as in the grid of its fault
    kernel: str
    first_seen: str | None
    findings: int
    summary: str
    source: str
    line: int | None


@dataclass(frozen=True)
class Fleet:
    """Sum up a batch: its faults, the worst and most frequent first, and the cases without a result."""

    cases: Mapping[str, int]  # total, done, failed, missing, doubtful: done without a fault, but not to be trusted
    machines: int  # that a log names
    faulty: int  # of these, with a fault
    nameless: int  # cases whose logs name no host
    faulty_nameless: int
    faults: Sequence[FleetFault]
    gone: Sequence[Mapping[str, Any]] = ()  # faults of the earlier batch that are not here: group, code, name, role, machines
    failures: Sequence[Mapping[str, Any]] = ()  # case, member, kind, reason
    missing: Sequence[Mapping[str, Any]] = ()  # case, reason
    doubtful: Sequence[Mapping[str, Any]] = ()  # case, reason; not all of a large fleet, `cases` counts them
    versions: Mapping[str, str] = field(default_factory=dict)
    stopped: str = ""  # why the batch did not come to its end
    compared: Mapping[str, int] = field(default_factory=dict)  # machines, and cases without a host name: both, only_here, only_there
    kernels: Mapping[str, int] = field(default_factory=dict)  # release -> machines, or cases without a host name, with a fault or without
    found: Sequence[FleetCase] = ()  # the worst first, not all of a large fleet
    more: int = 0  # how many further ones there are
    suppressed: int = 0  # findings that the user's settings keep out
    settings: Sequence[str] = ()  # what to know of these settings
