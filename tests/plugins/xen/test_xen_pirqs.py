"""Lives of pirqs and the numbers that Xen hands out: of dom0's calls, of a guest's lines, of debug prints and of the device model."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tracekit.testing import tables

DEV = 0xFFFF888005622000


class Log:
    """Calls of a trace, one a microsecond, then lines of the device model, then those of a kernel log."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.plain: list[str] = []
        self.kernel: list[str] = []

    def call(self, what: str, task: str) -> None:
        self.calls.append(f"     {task:<16} [000] ..... {1 + len(self.calls) / 1e6:12.6f}: {what}")

    def message(self, text: str, at: float | None) -> None:
        self.kernel.append(f"[{at if at is not None else 1 + len(self.kernel) / 1e6:12.6f}] {text}")

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in (*(("# tracer: nop", "#") if self.calls else ()), *self.calls, *self.plain, *self.kernel))


Step = Callable[[Log], object]


class Case(NamedTuple):
    """Steps, the results of the calls (`observed of predicted, basis, cause`), and the lives: number, irq, basis, lines, end."""

    steps: list[Step]
    predictions: list[str]
    lives: list[str]


def setup(
    nvec: int,
    ret: int | None,
    *inside: tuple[int, int | None] | Step,
    type: int = 17,
    task: str = "modprobe-9",
    fn: str = "xen_initdom_setup_msi_irqs",
) -> Step:
    """Return a request for vectors; `inside`: the numbers with the irqs that they get, or what happens meanwhile."""

    def step(log: Log) -> None:
        log.call(f"a: ({fn}+0x0/0x340) dev={DEV:#x} nvec={nvec} type={type}", task)
        for what in inside:
            if callable(what):
                what(log)
            else:
                pirq, irq = what
                log.call(f"b: (xen_bind_pirq_msi_to_irq+0x0/0x1b0) dev={DEV:#x} desc=0xffff888007202080 pirq={pirq} nvec=1", task)
                if irq is not None:
                    log.call(f"c: (xen_initdom_setup_msi_irqs+0xad/0x340 <- xen_bind_pirq_msi_to_irq) irq={irq}", task)
        if ret is not None:
            log.call(f"d: (msi_domain_alloc_irqs_descs_locked+0x39/0xb0 <- {fn}) ret={ret}", task)

    return step


def destroy(irq: int, ret: int | None = 0) -> Step:
    def step(log: Log) -> None:
        log.call(f"e: (xen_destroy_irq+0x0/0x120) irq={irq}", "rmmod-11")
        if ret is not None:
            log.call(f"f: (xen_teardown_msi_irqs+0x3b/0x70 <- xen_destroy_irq) ret={ret}", "rmmod-11")

    return step


def message(text: str, at: float | None = None) -> Step:
    return lambda log: log.message(text, at)


def bound(pirq: int, slot: int = 4, at: float | None = None) -> Step:
    return message(f"nvme 0000:00:{slot:02}.0: xen: msi bound to pirq={pirq}", at)


def reused(pirq: int) -> Step:
    return message(f"nvme 0000:00:04.0: xen: msi already bound to pirq={pirq}")


def to(pirq: int, irq: int, slot: int = 4) -> Step:
    return message(f"nvme 0000:00:{slot:02}.0: xen: msi --> pirq={pirq} --> irq={irq}")


def function(slot: int = 4) -> Step:
    return message(f"nvme nvme0: pci function 0000:00:{slot:02}.0")


def created(pirq: int, irq: int) -> Step:
    return message(f"xen:events: creating evtchn using pirq {pirq} irq {irq}")


def closed(pirq: int, irq: int) -> Step:
    return message(f"xen:events: shutdown_pirq: closing evtchn for pirq {pirq} irq {irq}")


def destroyed(pirq: int, irq: int) -> Step:
    return message(f"xen:events: xen_destroy_irq: pirq {pirq} irq {irq}")


def returned(pirq: int) -> Step:
    return message(f"xen:events: shutdown_pirq: get_free_pirq returned pirq {pirq}")


def model(text: str) -> Step:
    return lambda log: log.plain.append(text)


CALLS = ("get_free_pirq", "xen_initdom_setup_msi_irqs", "xen_hvm_setup_msi_irqs", "xen_setup_msi_irqs", "xen_destroy_irq")
CASES = {
    "the highest free number comes first": Case(
        [setup(2, 0, (25, 46), (24, 47)), setup(1, 0, (23, 48))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "get_free_pirq 24 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "get_free_pirq 23 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..None, given", "24 irq 47 calls, 6..None, given", "23 irq 48 calls, 10..None, given"],
    ),
    "a number is returned": Case(
        [setup(2, 0, (25, 46), (24, 47)), destroy(46), setup(1, 0, (25, 46))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "get_free_pirq 24 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, known",
            "get_free_pirq 25 of 25, known",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..10 destroyed, given", "24 irq 47 calls, 6..None, given", "25 irq 46 calls, 12..None, given"],
    ),
    "a number is returned, another is taken": Case(
        [setup(2, 0, (25, 46), (24, 47)), destroy(46), setup(1, 0, (23, 46))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "get_free_pirq 24 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, known",
            "get_free_pirq 23 of 25, known, differs",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..10 destroyed, given", "24 irq 47 calls, 6..None, given", "23 irq 46 calls, 12..None, given"],
    ),
    "a number that is taken is handed out": Case(
        [setup(2, 0, (25, 46), (24, 47)), destroy(47), setup(1, 0, (25, 48))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "get_free_pirq 24 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, known",
            "get_free_pirq 25 of 24, known, differs",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..13 handed out again, given", "24 irq 47 calls, 6..10 destroyed, given", "25 irq 48 calls, 12..None, given"],
    ),
    "without teardowns nothing is known": Case(
        [setup(1, 0, (25, 46)), setup(1, 0, (25, 47))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..9 handed out again, given", "25 irq 47 calls, 8..None, given"],
    ),
    "the return is not recorded": Case(
        [setup(1, 0, (25, 46)), destroy(46, None), setup(1, 0, (25, 46))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "get_free_pirq 25 of 25, known",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..7 destroyed, given", "25 irq 46 calls, 9..None, given"],
    ),
    "a return that fails": Case(
        [setup(1, 0, (25, 46)), destroy(46, -22), destroy(46)],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq -22 of 0, known, differs",
            "xen_destroy_irq 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..10 destroyed, given"],
    ),
    "an irq that nobody saw": Case(
        [setup(1, 0, (25, 46)), destroy(99), destroy(99, -22), setup(1, 0, (20, 47))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, healthy",
            "xen_destroy_irq -22 of 0, healthy, differs",
            "get_free_pirq 20 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..None, given", "20 irq 47 calls, 12..None, given"],
    ),
    "an irq twice": Case(
        [setup(1, 0, (25, 46)), destroy(46), destroy(46, -22), destroy(46, 0)],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, known",
            "xen_destroy_irq -22 of -22, known",
            "xen_destroy_irq 0 of -22, known, differs",
        ],
        ["25 irq 46 calls, 4..8 destroyed, given"],
    ),
    "the irq is not recorded": Case(
        [setup(1, 0, (25, None)), destroy(46), setup(1, 0, (25, 47))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, healthy",
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq None calls, 4..10 handed out again, given", "25 irq 47 calls, 9..None, given"],
    ),
    "an irq of 0": Case(
        [setup(1, 0, (25, 0)), destroy(0), setup(1, 0, (25, 47))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, healthy",
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq None calls, 4..11 handed out again, given", "25 irq 47 calls, 10..None, given"],
    ),
    "a refusal while one is free": Case(
        [setup(2, 0, (25, 46), (24, 47)), destroy(46), setup(1, -28), setup(1, 0, (25, 46))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "get_free_pirq 24 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, known",
            "xen_initdom_setup_msi_irqs -28 of 0, known, differs",
            "get_free_pirq 25 of -28, known, differs",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..10 destroyed, given", "24 irq 47 calls, 6..None, given", "25 irq 46 calls, 14..None, given"],
    ),
    "a refusal where nothing is known": Case(
        [setup(1, -28), setup(1, -28), destroy(9)],
        [
            *["xen_initdom_setup_msi_irqs -28 of 0, known, XEN-002, differs"] * 2,
            "xen_destroy_irq 0 of 0, healthy",
        ],
        [],
    ),
    "a refusal after a part": Case(
        [destroy(9), setup(3, -28, (25, 46), (24, 47)), destroy(46), setup(1, 0, (25, 46))],
        [
            "xen_destroy_irq 0 of 0, healthy",
            "get_free_pirq 25 of a free number, healthy",
            "get_free_pirq 24 of a free number, healthy",
            "xen_initdom_setup_msi_irqs -28 of 0, known, XEN-002, differs",
            "xen_destroy_irq 0 of 0, known",
            "get_free_pirq 25 of 25, known",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 6..12 destroyed, given", "24 irq 47 calls, 8..None, given", "25 irq 46 calls, 14..None, given"],
    ),
    "another error": Case(
        [destroy(9), setup(1, 0, (25, 46)), setup(1, -22), destroy(46), setup(1, -22), setup(1, -19)],
        [
            "xen_destroy_irq 0 of 0, healthy",
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_initdom_setup_msi_irqs -22 of 0, healthy, differs",
            "xen_destroy_irq 0 of 0, known",
            "xen_initdom_setup_msi_irqs -22 of 0, known, differs",
            "xen_initdom_setup_msi_irqs -19 of 0, known, differs",
        ],
        ["25 irq 46 calls, 6..12 destroyed, given"],
    ),
    "fewer than asked": Case(
        [setup(3, 0, (25, 46)), destroy(46)],
        ["get_free_pirq 25 of a free number, healthy", "xen_initdom_setup_msi_irqs 0 of 0, healthy", "xen_destroy_irq 0 of 0, known"],
        ["25 irq 46 calls, 4..8 destroyed, given"],
    ),
    "a set-up without a return": Case(
        [setup(1, None, (25, 46)), setup(1, 0, (24, 47)), destroy(46)],
        [
            "get_free_pirq 25 of a free number, healthy",
            "get_free_pirq 24 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..11 destroyed, given", "24 irq 47 calls, 7..None, given"],
    ),
    "a block of plain msi": Case(
        [setup(2, 0, (25, 46), type=5), destroy(46), setup(1, 0, (25, 47))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, healthy",
            "xen_destroy_irq 0 of 0, known",
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..8 destroyed, given", "25 irq 47 calls, 10..None, given"],
    ),
    "a block of plain msi, refused": Case(
        [destroy(9), setup(1, 0, (25, 46)), destroy(46), setup(4, -28, type=5), setup(4, -22, type=5), setup(1, -22, type=5)],
        [
            "xen_destroy_irq 0 of 0, healthy",
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, known",
            "xen_initdom_setup_msi_irqs -28 of 0, healthy, XEN-002, differs",
            *["xen_initdom_setup_msi_irqs -22 of 0, healthy, differs"] * 2,
        ],
        ["25 irq 46 calls, 6..10 destroyed, given"],
    ),
    "a single plain msi": Case(
        [setup(1, 0, (25, 46), type=5), destroy(46), setup(1, 0, (25, 46), type=5)],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, known",
            "get_free_pirq 25 of 25, known",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..8 destroyed, given", "25 irq 46 calls, 10..None, given"],
    ),
    "a guest's set-up": Case(
        [destroy(9), setup(1, -19, fn="xen_hvm_setup_msi_irqs"), setup(1, -28, fn="xen_hvm_setup_msi_irqs")],
        [
            "xen_destroy_irq 0 of 0, healthy",
            "xen_hvm_setup_msi_irqs -19 of 0, known, XEN-002, differs",
            "xen_hvm_setup_msi_irqs -28 of 0, known, XEN-002, differs",
        ],
        [],
    ),
    "a set-up of a pv guest": Case(
        [setup(1, -28, fn="xen_setup_msi_irqs"), setup(1, -19, fn="xen_setup_msi_irqs")],
        ["xen_setup_msi_irqs -28 of 0, known, XEN-002, differs", "xen_setup_msi_irqs -19 of 0, healthy, differs"],
        [],
    ),
    "two tasks at once": Case(
        [setup(2, 0, (25, 46), setup(1, 0, (24, 50), task="insmod-7"), (23, 47)), destroy(46), setup(1, 0, (25, 46))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "get_free_pirq 24 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "get_free_pirq 23 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, known",
            "get_free_pirq 25 of 25, known",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        [
            "25 irq 46 calls, 4..14 destroyed, given",
            "24 irq 50 calls, 7..None, given",
            "23 irq 47 calls, 10..None, given",
            "25 irq 46 calls, 16..None, given",
        ],
    ),
    "two tasks, the other returns one": Case(
        [setup(2, 0, (25, 46), destroy(50), (23, 47)), setup(1, 0, (22, 48))],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_destroy_irq 0 of 0, healthy",
            "get_free_pirq 23 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "get_free_pirq 22 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..None, given", "23 irq 47 calls, 8..None, given", "22 irq 48 calls, 12..None, given"],
    ),
    "two tasks, one after the other": Case(
        [setup(1, 0, (25, 46)), setup(1, 0, (24, 50), task="insmod-7"), destroy(46)],
        [
            "get_free_pirq 25 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "get_free_pirq 24 of a free number, healthy",
            "xen_initdom_setup_msi_irqs 0 of 0, known",
            "xen_destroy_irq 0 of 0, known",
        ],
        ["25 irq 46 calls, 4..12 destroyed, given", "24 irq 50 calls, 8..None, given"],
    ),
    "a guest takes a number again": Case(
        [bound(55), to(55, 120), bound(55, 5), to(55, 120, 5)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 55 of a free number, healthy"],
        ["55 irq 120 guest, 1..3 handed out again, given", "55 irq 120 guest, 3..None, given"],
    ),
    "a guest takes its own number again": Case(
        [bound(55), to(55, 120), bound(55), to(55, 121)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 55 of a free number, healthy"],
        ["55 irq 120 guest, 1..3 handed out again, given", "55 irq 121 guest, 3..None, given"],
    ),
    "an irq serves another number": Case(
        [bound(55), to(55, 120), bound(54), to(54, 120)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 54 of a free number, healthy"],
        ["55 irq 120 guest, 1..4 irq again, given", "54 irq 120 guest, 3..None, given"],
    ),
    "an irq is bound twice": Case(
        [bound(55), to(55, 120), to(55, 120)],
        ["get_free_pirq 55 of a free number, healthy"],
        ["55 irq 120 guest, 1..None, given", "55 irq 120 guest, 3..None"],
    ),
    "a bind without its begin": Case([to(55, 120), to(54, 120)], [], ["55 irq 120 guest, 1..2 irq again", "54 irq 120 guest, 2..None"]),
    "two numbers of a device": Case(
        [bound(55), bound(54), to(54, 120), to(55, 121)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 54 of a free number, healthy"],
        ["55 irq 121 guest, 1..None, given", "54 irq 120 guest, 2..None, given"],
    ),
    "a pause of less than a second": Case(
        [bound(55, at=1.1), bound(54, at=2.099999)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 54 of a free number, healthy"],
        ["55 irq None guest, 1..None, given", "54 irq None guest, 2..None, given"],
    ),
    "a pause of a second": Case(
        [bound(55, at=1.1), bound(54, at=2.1)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 54 of a free number, healthy"],
        ["55 irq None guest, 1..None, given", "54 irq None guest, 2..None, given"],
    ),
    "a pause of more than a second": Case(
        [bound(55, at=1.1), bound(54, at=2.100001), to(54, 120)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 54 of a free number, healthy"],
        ["55 irq None guest, 1..2 enabled anew, given", "54 irq 120 guest, 2..None, given"],
    ),
    "a pause after the first of two": Case(
        [bound(55, at=1.1), bound(54, at=1.2), bound(53, at=2.200002), bound(52, at=2.200003)],
        [f"get_free_pirq {n} of a free number, healthy" for n in (55, 54, 53, 52)],
        [
            "55 irq None guest, 1..3 enabled anew, given",
            "54 irq None guest, 2..3 enabled anew, given",
            "53 irq None guest, 3..None, given",
            "52 irq None guest, 4..None, given",
        ],
    ),
    "a pause of another device": Case(
        [bound(55, at=1.1), bound(54, 5, at=4.1)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 54 of a free number, healthy"],
        ["55 irq None guest, 1..None, given", "54 irq None guest, 2..None, given"],
    ),
    "a pause after the latest": Case(
        [bound(55, at=1.1), bound(54, at=2.0), bound(53, at=2.8)],
        [
            "get_free_pirq 55 of a free number, healthy",
            "get_free_pirq 54 of a free number, healthy",
            "get_free_pirq 53 of a free number, healthy",
        ],
        ["55 irq None guest, 1..None, given", "54 irq None guest, 2..None, given", "53 irq None guest, 3..None, given"],
    ),
    "a reused number": Case(
        [bound(55), to(55, 120), reused(55), to(55, 121)],
        ["get_free_pirq 55 of a free number, healthy"],
        ["55 irq 120 guest, 1..None, given", "55 irq 121 guest, 3..None, reused"],
    ),
    "a driver probes again": Case(
        [bound(55), to(55, 120), function(), bound(55)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 55 of a free number, healthy"],
        ["55 irq 120 guest, 1..3 enabled anew, given", "55 irq None guest, 4..None, given"],
    ),
    "another function is probed": Case(
        [bound(55), to(55, 120), function(5), bound(54)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 54 of a free number, healthy"],
        ["55 irq 120 guest, 1..None, given", "54 irq None guest, 4..None, given"],
    ),
    "debug prints: a life": Case([created(101, 290), closed(101, 290)], [], ["101 irq 290 debug, 1..2 closed"]),
    "debug prints: closed, then destroyed": Case(
        [created(101, 290), closed(101, 290), destroyed(101, 290)], [], ["101 irq 290 debug, 1..3 destroyed"]
    ),
    "debug prints: destroyed, then closed": Case(
        [created(101, 290), destroyed(101, 290), closed(101, 290)],
        [],
        ["101 irq 290 debug, 1..2 destroyed", "101 irq 290 debug, 3..3 closed, not begun"],
    ),
    "debug prints: closed twice": Case(
        [created(101, 290), closed(101, 290), closed(101, 290)],
        [],
        ["101 irq 290 debug, 1..2 closed", "101 irq 290 debug, 3..3 closed, not begun"],
    ),
    "debug prints: another irq": Case(
        [created(101, 290), closed(101, 291)], [], ["101 irq 290 debug, 1..2 lost sight", "101 irq 291 debug, 2..2 closed, not begun"]
    ),
    "debug prints: a number for it": Case(
        [returned(93), created(93, 300), closed(93, 300)],
        ["get_free_pirq 93 of a free number, healthy"],
        ["93 irq 300 debug, 1..3 closed, given"],
    ),
    "debug prints: a number for another": Case(
        [returned(93), created(92, 300), returned(92)],
        ["get_free_pirq 93 of a free number, healthy", "get_free_pirq 92 of any but 92, known, differs"],
        ["93 irq None debug, 1..None, given", "92 irq 300 debug, 2..3 handed out again", "92 irq None debug, 3..None, given"],
    ),
    "debug prints: a number twice": Case(
        [returned(93), returned(92), returned(93)],
        [
            "get_free_pirq 93 of a free number, healthy",
            "get_free_pirq 92 of a free number, healthy",
            "get_free_pirq 93 of any but 93, known, differs",
        ],
        ["93 irq None debug, 1..3 handed out again, given", "92 irq None debug, 2..None, given", "93 irq None debug, 3..None, given"],
    ),
    "debug prints: returned, then given": Case(
        [created(101, 290), created(100, 291), closed(101, 290), returned(101), returned(100)],
        ["get_free_pirq 101 of a free number, healthy", "get_free_pirq 100 of any but 100, known, differs"],
        [
            "101 irq 290 debug, 1..3 closed",
            "100 irq 291 debug, 2..5 handed out again",
            "101 irq None debug, 4..None, given",
            "100 irq None debug, 5..None, given",
        ],
    ),
    "debug prints: the wrong one": Case(
        [created(101, 290), created(100, 291), closed(100, 291), returned(99), returned(100)],
        ["get_free_pirq 99 of a free number, healthy", "get_free_pirq 100 of a free number, healthy"],
        [
            "101 irq 290 debug, 1..None",
            "100 irq 291 debug, 2..3 closed",
            "99 irq None debug, 4..None, given",
            "100 irq None debug, 5..None, given",
        ],
    ),
    "debug prints: the fourth latest is ended, a fifth is not": Case(
        [*[created(101, 290)] * 5, *[closed(101, 290)] * 5],
        [],
        [
            "101 irq 290 debug, 1..10 lost sight",
            *(f"101 irq 290 debug, {n}..{11 - n} closed" for n in (2, 3, 4, 5)),
            "101 irq 290 debug, 10..10 closed, not begun",
        ],
    ),
    "the device model": Case(
        [
            model("[00:05.0] msi_msix_setup: requested pirq 87 for MSI-X (vec: 0, entry: 0x1)"),
            model("[00:05.0] msi_msix_update: Updating MSI-X with pirq 87 gvec 0x51 gflags 0x0 (entry: 0x1)"),
            model("[00:05.0] msi_msix_disable: Unmap MSI-X pirq 87"),
            model("[00:05.0] msi_msix_disable: Unmap MSI-X pirq 87"),
        ],
        [],
        ["87 irq None device-model, 1..3 unmapped", "87 irq None device-model, 4..4 unmapped, not begun"],
    ),
    "the device model, then a guest": Case(
        [model("[00:05.0] msi_msix_setup: requested pirq 55 for MSI-X (vec: 0, entry: 0x1)"), bound(55), bound(55, 5)],
        ["get_free_pirq 55 of a free number, healthy", "get_free_pirq 55 of a free number, healthy"],
        ["55 irq None device-model, 1..None", "55 irq None guest, 2..3 handed out again, given", "55 irq None guest, 3..None, given"],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_lives_and_results_follow_from_the_lines_before(case: Case) -> None:
    log = Log()
    for step in case.steps:
        step(log)
    found = {name: rows.rows(named=True) for name, rows in tables(str(log)).items() if name in ("predictions", "pirq_lives")}
    predictions = [
        ", ".join(filter(None, (f"{r['operation']} {r['observed']} of {r['predicted']}", r["basis"], r["explained_by"])))
        + ("" if r["agrees"] else ", differs")
        for r in found.get("predictions", [])
        if r["operation"] in CALLS
    ]
    lives = [
        f"{r['pirq']} irq {r['irq']} {r['basis']}, {r['line']}..{r['line_end']} {r['end']}".rstrip()
        + "".join(f", {column}" for column in ("given", "reused") if r[column])
        + ("" if r["began"] else ", not begun")
        for r in found.get("pirq_lives", [])
    ]
    assert (predictions, lives) == (case.predictions, case.lives)
