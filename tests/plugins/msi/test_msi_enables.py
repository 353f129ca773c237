"""Enables of MSI and MSI-X and the calls inside them: what follows for each result, and which size of a table and of a domain is known."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from kprobes import Trace

from tracekit.testing import tables

BANNER = "[    0.000000] Linux version {} (build@x) (x86_64-linux-gnu-gcc 13) #1 SMP\n"
Step = Callable[[Trace], object]


class Case(NamedTuple):
    """Calls, and what they are held against: `observed of predicted, basis, cause` of each, then the enables and the irq domains.

    `new` and `old`: the predictions below 6.12 and 5.15.
    """

    steps: list[Step]
    predictions: list[str]
    enables: list[str]
    domains: list[str]
    new: list[str] | None = None
    old: list[str] | None = None


def called(function: str, arguments: str, ret: int | None, *inside: Step) -> Step:
    """Return a call of a function with the calls inside it; `ret`: None where its return is not recorded. `{dev}`: the function's pointer."""

    def step(t: Trace) -> None:
        t.entry(function, arguments.format(dev=f"{t.dev:#x}", device=f"{t.dev + 0xC8:#x}", vdev=f"{t.vdev:#x}"))
        for call in inside:
            call(t)
        if ret is not None:
            t.leave(function, ret)

    return step


def enable(least: int, most: int | None, ret: int | None, *inside: Step, kind: str = "msix") -> Step:
    arguments = "dev={dev}" + (f" minvec={least} maxvec={most}" if most is not None else "")
    return called(f"__pci_enable_{kind}_range", arguments, ret, *inside)


def request(flags: int, index: int, count: int, ret: int, *inside: Step) -> Step:
    arguments = f"vdev={{vdev}} flags={flags:#x} index={index} start=0 count={count}"
    return called("vfio_pci_set_irqs_ioctl", arguments, ret, *inside)


def setup(size: int, ret: int = 1, *inside: Step, kind: str = "msix") -> Step:
    return called(f"pci_setup_{kind}_device_domain", f"dev={{dev}} hwsize={size}", ret, *inside)


def create(size: int) -> Step:
    return called("msi_create_device_irq_domain", f"dev={{device}} domid=0 hwsize={size}", 1)


def insert(index: int | None, ret: int | None = 0) -> Step:
    return called("msi_insert_desc", f"dev={{device}} domid=0 index={index}" if index is not None else "", ret)


def inserts(count: int) -> list[Step]:
    return [insert(i) for i in range(count)]


def add(index: int | None, ret: int, *inside: Step) -> Step:
    return called("pci_msix_alloc_irq_at", "dev={dev}" + (f" index={index}" if index is not None else ""), ret, *inside)


def added(vector: int, ret: int, *inside: Step) -> Step:
    return called("vfio_msi_alloc_irq", f"vdev={{vdev}} vector={vector} msix=1", ret, *inside)


def count(ret: int) -> Step:
    return called("pci_msix_vec_count", "dev={dev}", ret)


def xen(vectors: int, ret: int) -> Step:
    return called("xen_initdom_setup_msi_irqs", f"dev={{dev}} nvec={vectors} type=17", ret)


def wrapper(least: int, most: int, ret: int, *inside: Step, flags: int = 4) -> Step:
    return called("pci_alloc_irq_vectors_affinity", f"dev={{dev}} min_vecs={least} max_vecs={most} flags={flags:#x}", ret, *inside)


def outer(least: int, most: int, ret: int | None, *inside: Step) -> Step:
    return called("pci_alloc_irq_vectors", f"dev={{dev}} min_vecs={least} max_vecs={most} flags=0x4", ret, *inside)


free = called("pci_free_irq_vectors", "dev={dev}", None)
remove = called("msi_remove_device_irq_domain", "dev={device} domid=0", None)

CASES = {
    "a table read before": Case(
        [count(8), enable(1, 4, 4)],
        ["enable 4 of None"],
        ["msix enable 1..4 ret=4 table 8 domain None None, 0 inserted, first"],
        [],
        old=["enable 4 of 4, known"],
    ),
    "a table read before, cut": Case(
        [count(8), enable(1, 12, 8)],
        ["enable 8 of None"],
        ["msix enable 1..12 ret=8 table 8 domain None None, 0 inserted, first"],
        [],
        old=["enable 8 of 8, known"],
    ),
    "a table read before, below the minimum": Case(
        [count(8), enable(9, 12, -28)],
        ["enable -28 of -28, known"],
        ["msix enable 9..12 ret=-28 table 8 domain None None, 0 inserted, first"],
        [],
    ),
    "a table read before, as many as the minimum": Case(
        [count(8), enable(8, 12, 8)],
        ["enable 8 of None"],
        ["msix enable 8..12 ret=8 table 8 domain None None, 0 inserted, first"],
        [],
        old=["enable 8 of 8, known"],
    ),
    "a table read before, too many": Case(
        [count(8), enable(1, 12, 9)],
        ["enable 9 of None"],
        ["msix enable 1..12 ret=9 table 8 domain None None, 0 inserted, first"],
        [],
        old=["enable 9 of 8, known"],
    ),
    "the table cannot be read": Case(
        [count(-22), enable(1, 4, 4)], ["enable 4 of None"], ["msix enable 1..4 ret=4 table None domain None None, 0 inserted, first"], []
    ),
    "a domain is created": Case(
        [enable(1, 4, 4, setup(8, 1, create(8)), *inserts(4))],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
        ],
        ["msix enable 1..4 ret=4 table 8 domain 8 seen, 4 inserted, first, created"],
        ["msix 8 seen None"],
    ),
    "a domain is kept": Case(
        [enable(1, 4, 4, setup(8, 1, create(8)), *inserts(4)), free, enable(1, 8, 8, setup(8), *inserts(8))],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
            *["insert 0 of 0, known"] * 8,
            "enable 8 of 8, known",
        ],
        [
            "msix enable 1..4 ret=4 table 8 domain 8 seen, 4 inserted, first, created",
            "msix enable 1..8 ret=8 table 8 domain 8 seen, 8 inserted",
        ],
        ["msix 8 seen None"],
    ),
    "a stale domain": Case(
        [enable(1, 4, 4, setup(4, 1, create(4)), *inserts(4)), free, enable(1, 8, -34, setup(8), *inserts(4), insert(4, -34))],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
            *["insert 0 of 0, known"] * 4,
            "insert -34 of 0, known, MSI-001",
            "enable -34 of 8, known, MSI-001",
        ],
        [
            "msix enable 1..4 ret=4 table 4 domain 4 seen, 4 inserted, first, created",
            "msix enable 1..8 ret=-34 table 8 domain 4 seen, 4 inserted, refused -34 at 4",
        ],
        ["msix 4 seen None"],
    ),
    "a stale domain, removed between": Case(
        [enable(1, 4, 4, setup(4, 1, create(4)), *inserts(4)), free, remove, enable(1, 8, 8, setup(8, 1, create(8)), *inserts(8))],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 8,
            "enable 8 of 8, known",
        ],
        [
            "msix enable 1..4 ret=4 table 4 domain 4 seen, 4 inserted, first, created",
            "msix enable 1..8 ret=8 table 8 domain 8 seen, 8 inserted, first, created",
        ],
        ["msix 4 seen removed", "msix 8 seen None"],
    ),
    "a stale domain, the index not recorded": Case(
        [enable(1, 4, 4, setup(4, 1, create(4)), *inserts(4)), free, enable(1, 8, -34, setup(8), insert(None), insert(None, -34))],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
            "insert 0 of 0, known",
            "insert -34 of 0, known",
            "enable -34 of 8, known, MSI-001",
        ],
        [
            "msix enable 1..4 ret=4 table 4 domain 4 seen, 4 inserted, first, created",
            "msix enable 1..8 ret=-34 table 8 domain 4 seen, 1 inserted, refused -34 at 1",
        ],
        ["msix 4 seen None"],
    ),
    "the first index refused": Case(
        [enable(1, 2, -34, insert(0, -34))],
        ["insert -34 of 0, healthy", "enable -34 of -34, known"],
        ["msix enable 1..2 ret=-34 table None domain 0 deduced, 0 inserted, refused -34 at 0, first"],
        [],
    ),
    "the second index refused": Case(
        [enable(1, 2, -34, insert(0), insert(1, -34))],
        ["insert 0 of 0, healthy", "insert -34 of 0, known, MSI-001", "enable -34 of -34, known"],
        ["msix enable 1..2 ret=-34 table None domain 1 deduced, 1 inserted, refused -34 at 1, first"],
        [],
    ),
    "the second descriptor refused, its index not recorded": Case(
        [enable(1, 2, -34, *(called("msi_domain_insert_msi_desc", "dev={device} domid=0", ret) for ret in (0, -34)))],
        ["insert 0 of 0, healthy", "insert -34 of 0, known, MSI-001", "enable -34 of -34, known"],
        ["msix enable 1..2 ret=-34 table None domain 1 deduced, 1 inserted, refused -34 at 1, first"],
        [],
    ),
    "the minimum is not recorded": Case(
        [enable(1, 4, 4), free, called("__pci_enable_msix_range", "dev={dev} maxvec=6", 5)],
        ["enable 4 of None", "enable 5 of 4..6, healthy"],
        [
            "msix enable 1..4 ret=4 table None domain None None, 0 inserted, first",
            "msix enable None..6 ret=5 table None domain None None, 0 inserted",
        ],
        [],
    ),
    "an index refused out of order": Case(
        [enable(1, 9, -34, insert(0), insert(5, -34))],
        ["insert 0 of 0, healthy", "insert -34 of 0, healthy", "enable -34 of -34, known"],
        ["msix enable 1..9 ret=-34 table None domain None None, 1 inserted, refused -34 at 5, first"],
        [],
    ),
    "an index refused, then tried again": Case(
        [enable(1, 2, -34, insert(0), insert(1, -34)), enable(1, 1, 1, insert(0)), enable(1, 2, 2, insert(0), insert(1))],
        [
            "insert 0 of 0, healthy",
            "insert -34 of 0, known, MSI-001",
            "enable -34 of -34, known",
            "insert 0 of 0, known",
            "enable 1 of 1, known",
            *["insert 0 of 0, known"] * 2,
            "enable 2 of 2, known",
        ],
        [
            "msix enable 1..2 ret=-34 table None domain 1 deduced, 1 inserted, refused -34 at 1, first",
            "msix enable 1..1 ret=1 table None domain 1 deduced, 1 inserted, first",
            "msix enable 1..2 ret=2 table None domain 1 deduced, 2 inserted",
        ],
        [],
    ),
    "an insert is short of memory": Case(
        [enable(1, 2, -12, insert(0), insert(1, -12))],
        ["insert 0 of 0, healthy", "insert -12 of 0, healthy", "enable -12 of -12, known"],
        ["msix enable 1..2 ret=-12 table None domain None None, 1 inserted, refused -12 at 1, first"],
        [],
    ),
    "an insert without a return": Case(
        [enable(1, 2, 2, insert(0), insert(1, None))],
        ["insert 0 of 0, healthy", "enable 2 of 2, known"],
        ["msix enable 1..2 ret=2 table None domain None None, 1 inserted, first"],
        [],
    ),
    "two creations of a kind": Case(
        [enable(1, 4, 4, setup(8, 1, create(8)), *inserts(4)), free, enable(1, 4, 4, setup(8, 1, create(8)), *inserts(4))],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
            "domain_create 1 of 0, known",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
        ],
        [
            "msix enable 1..4 ret=4 table 8 domain 8 seen, 4 inserted, first, created",
            "msix enable 1..4 ret=4 table 8 domain 8 seen, 4 inserted, created",
        ],
        ["msix 8 seen replaced", "msix 8 seen None"],
    ),
    "the domain of the other kind": Case(
        [enable(1, 4, 4, setup(8, 1, create(8)), *inserts(4)), free, enable(1, 2, 2, kind="msi")],
        ["domain_create 1 of 1, healthy", *["insert 0 of 0, known"] * 4, "enable 4 of 4, known", "enable 2 of None"],
        [
            "msix enable 1..4 ret=4 table 8 domain 8 seen, 4 inserted, first, created",
            "msi enable 1..2 ret=2 table None domain None None, 0 inserted",
        ],
        ["msix 8 seen None"],
    ),
    "either kind": Case(
        [enable(1, 4, 4, setup(8, 1, create(8)), *inserts(4)), free, wrapper(1, 4, 4, flags=7)],
        ["domain_create 1 of 1, healthy", *["insert 0 of 0, known"] * 4, "enable 4 of 4, known", "enable 4 of 4, healthy"],
        [
            "msix enable 1..4 ret=4 table 8 domain 8 seen, 4 inserted, first, created",
            "None enable 1..4 ret=4 table 8 domain 8 seen, 0 inserted",
        ],
        ["msix 8 seen None"],
    ),
    "the other kind between": Case(
        [
            enable(1, 4, 4, setup(8, 1, create(8)), *inserts(4)),
            free,
            enable(1, 2, 2, setup(4, 1, create(4), kind="msi"), insert(0), kind="msi"),
            free,
            enable(1, 4, 4, setup(8, 1, create(8)), *inserts(4)),
        ],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
            "domain_create 1 of 1, known",
            "insert 0 of 0, known",
            "enable 2 of 1 or 2, known",
            "domain_create 1 of 1, known",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
        ],
        [
            "msix enable 1..4 ret=4 table 8 domain 8 seen, 4 inserted, first, created",
            "msi enable 1..2 ret=2 table 4 domain 4 seen, 1 inserted, created",
            "msix enable 1..4 ret=4 table 8 domain 8 seen, 4 inserted, created",
        ],
        ["msix 8 seen replaced", "msi 4 seen replaced", "msix 8 seen None"],
    ),
    "plain msi, cut": Case(
        [enable(1, 8, 4, setup(4, 1, create(4), kind="msi"), insert(0), kind="msi")],
        ["domain_create 1 of 1, healthy", "insert 0 of 0, known", "enable 4 of 1 or 4, known"],
        ["msi enable 1..8 ret=4 table 4 domain 4 seen, 1 inserted, first, created"],
        ["msi 4 seen None"],
    ),
    "plain msi, as many as there are": Case(
        [enable(1, 4, 4, setup(4, 1, create(4), kind="msi"), insert(0), kind="msi")],
        ["domain_create 1 of 1, healthy", "insert 0 of 0, known", "enable 4 of 1 or 4, known"],
        ["msi enable 1..4 ret=4 table 4 domain 4 seen, 1 inserted, first, created"],
        ["msi 4 seen None"],
    ),
    "plain msi, a request of fewer than there are": Case(
        [
            request(0x24, 1, 4, 0, enable(1, 4, 4, setup(8, 1, create(8), kind="msi"), insert(0), kind="msi")),
            free,
            enable(1, 8, 8, kind="msi"),
        ],
        ["domain_create 1 of 1, healthy", "insert 0 of 0, known", "enable 4 of 1 or 4, known", "enable 8 of 1 or 8, known"],
        [
            "msi enable 1..4 ret=4 table 8 domain 8 seen, 1 inserted, first, created",
            "msi enable 1..8 ret=8 table None domain 8 seen, 0 inserted",
        ],
        ["msi 8 seen None"],
    ),
    "plain msi twice": Case(
        [enable(1, 4, 4, setup(4, 1, create(4), kind="msi"), insert(0), kind="msi"), enable(1, 4, -22, kind="msi")],
        ["domain_create 1 of 1, healthy", "insert 0 of 0, known", "enable 4 of 1 or 4, known", "enable -22 of -22 or 1 or 4, known"],
        [
            "msi enable 1..4 ret=4 table 4 domain 4 seen, 1 inserted, first, created",
            "msi enable 1..4 ret=-22 table None domain 4 seen, 0 inserted",
        ],
        ["msi 4 seen None"],
    ),
    "either kind, then msi-x": Case(
        [enable(1, 4, 4, setup(8, 1, create(8)), *inserts(4)), free, wrapper(1, 4, 4, flags=7), enable(1, 4, -22)],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
            "enable 4 of 4, healthy",
            "enable -22 of -22 or 4, known",
        ],
        [
            "msix enable 1..4 ret=4 table 8 domain 8 seen, 4 inserted, first, created",
            "None enable 1..4 ret=4 table 8 domain 8 seen, 0 inserted",
            "msix enable 1..4 ret=-22 table 8 domain 8 seen, 0 inserted",
        ],
        ["msix 8 seen None"],
    ),
    "plain msi, its free not recorded": Case(
        [
            enable(1, 4, 4, setup(4, 1, create(4), kind="msi"), insert(0), kind="msi"),
            enable(1, 4, 4, setup(4, kind="msi"), insert(0), kind="msi"),
        ],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known", "enable 4 of 1 or 4, known"] * 2,
        ],
        [
            "msi enable 1..4 ret=4 table 4 domain 4 seen, 1 inserted, first, created",
            "msi enable 1..4 ret=4 table 4 domain 4 seen, 1 inserted",
        ],
        ["msi 4 seen None"],
    ),
    "no domain could be created": Case(
        [enable(1, 4, -19, setup(8, 0)), enable(1, 4, 4, setup(8, 1, create(8)), *inserts(4))],
        ["enable -19 of None", "domain_create 1 of 1, healthy", *["insert 0 of 0, known"] * 4, "enable 4 of 4, known"],
        [
            "msix enable 1..4 ret=-19 table 8 domain None None, 0 inserted, first",
            "msix enable 1..4 ret=4 table 8 domain 8 seen, 4 inserted, first, created",
        ],
        ["msix 8 seen None"],
    ),
    "plain msi, below the minimum": Case(
        [enable(1, 4, 4, setup(4, 1, create(4), kind="msi"), insert(0), kind="msi"), free, enable(5, 8, -28, kind="msi")],
        ["domain_create 1 of 1, healthy", "insert 0 of 0, known", "enable 4 of 1 or 4, known", "enable -28 of -28, known"],
        [
            "msi enable 1..4 ret=4 table 4 domain 4 seen, 1 inserted, first, created",
            "msi enable 5..8 ret=-28 table None domain 4 seen, 0 inserted",
        ],
        ["msi 4 seen None"],
    ),
    "plain msi of 5": Case(
        [enable(1, 8, 8, setup(8, 1, create(8), kind="msi"), insert(0), kind="msi"), free, enable(5, 5, 5, kind="msi")],
        ["domain_create 1 of 1, healthy", "insert 0 of 0, known", "enable 8 of 1 or 8, known", "enable 5 of -28 or 5, known"],
        [
            "msi enable 1..8 ret=8 table 8 domain 8 seen, 1 inserted, first, created",
            "msi enable 5..5 ret=5 table None domain 8 seen, 0 inserted",
        ],
        ["msi 8 seen None"],
    ),
    "msi while msi-x is on": Case(
        [count(8), enable(1, 4, 4), enable(1, 4, -22, kind="msi")],
        ["enable 4 of None", "enable -22 of None"],
        [
            "msix enable 1..4 ret=4 table 8 domain None None, 0 inserted, first",
            "msi enable 1..4 ret=-22 table None domain None None, 0 inserted",
        ],
        [],
        old=["enable 4 of 4, known", "enable -22 of None"],
    ),
    "msi-x twice": Case(
        [count(8), enable(1, 4, 4), enable(1, 4, -22)],
        ["enable 4 of None", "enable -22 of -22 or 4, known"],
        [
            "msix enable 1..4 ret=4 table 8 domain None None, 0 inserted, first",
            "msix enable 1..4 ret=-22 table 8 domain None None, 0 inserted",
        ],
        [],
        old=["enable 4 of 4, known", "enable -22 of -22 or 4, known"],
    ),
    "a maximum of none": Case(
        [count(8), enable(1, 0, -34)],
        ["enable -34 of -34, known"],
        ["msix enable 1..0 ret=-34 table 8 domain None None, 0 inserted, first"],
        [],
    ),
    "minimum above maximum": Case(
        [count(8), enable(4, 2, -34)],
        ["enable -34 of -34, known"],
        ["msix enable 4..2 ret=-34 table 8 domain None None, 0 inserted, first"],
        [],
    ),
    "a result without a return": Case(
        [count(8), enable(1, 4, None), enable(1, 4, 4)],
        ["enable 4 of None"],
        [
            "msix enable 1..4 ret=None table 8 domain None None, 0 inserted, first",
            "msix enable 1..4 ret=4 table 8 domain None None, 0 inserted, first",
        ],
        [],
        old=["enable 4 of 4, known"],
    ),
    "an enable fails": Case(
        [count(8), enable(1, 4, -5), enable(1, 4, 4)],
        ["enable -5 of None", "enable 4 of None"],
        [
            "msix enable 1..4 ret=-5 table 8 domain None None, 0 inserted, first",
            "msix enable 1..4 ret=4 table 8 domain None None, 0 inserted, first",
        ],
        [],
        old=["enable -5 of 4, known", "enable 4 of 4, known"],
    ),
    "no arguments": Case(
        [enable(1, None, 2, *inserts(2)), free, enable(1, None, -28)],
        ["insert 0 of 0, healthy", "insert 0 of 0, healthy", "enable 2 of 2, known", "enable -28 of None"],
        [
            "msix enable None..None ret=2 table None domain None None, 2 inserted, first",
            "msix enable None..None ret=-28 table None domain None None, 0 inserted",
        ],
        [],
    ),
    "a request of plain msi": Case(
        [
            request(0x24, 1, 4, 0, enable(1, 4, 4, kind="msi")),
            request(0x21, 1, 0, 0, free),
            request(0x24, 1, 2, 0, enable(1, 2, 2, kind="msi")),
        ],
        ["enable 4 of 1 or 4, known", "enable 2 of 1 or 2, known"],
        [
            "msi enable 1..4 ret=4 table None domain None None, 0 inserted, first",
            "msi enable 1..2 ret=2 table None domain None None, 0 inserted",
        ],
        [],
    ),
    "a request": Case(
        [request(0x24, 2, 4, 0, enable(1, 4, 4))],
        ["enable 4 of 4, healthy"],
        ["msix enable 1..4 ret=4 table None domain None None, 0 inserted, first"],
        [],
        old=["enable 4 of 4, known"],
    ),
    "a request, short": Case(
        [request(0x24, 2, 4, 3, enable(1, 4, 3))],
        ["enable 3 of 4, healthy"],
        ["msix enable 1..4 ret=3 table None domain None None, 0 inserted, first"],
        [],
        old=["enable 3 of 4, known"],
    ),
    "a request, then a larger one": Case(
        [request(0x24, 2, 4, 0, enable(1, 4, 4)), request(0x21, 2, 0, 0, free), request(0x24, 2, 6, 0, enable(1, 6, 6))],
        ["enable 4 of 4, healthy", "enable 6 of 6, healthy"],
        [
            "msix enable 1..4 ret=4 table None domain None None, 0 inserted, first",
            "msix enable 1..6 ret=6 table None domain None None, 0 inserted",
        ],
        [],
        old=["enable 4 of 4, known", "enable 6 of 6, known"],
    ),
    "as many as before": Case(
        [enable(1, 4, 4), free, enable(1, 4, 4), free, enable(1, 4, 2), free, enable(1, 6, 5), free, enable(2, 6, 4)],
        ["enable 4 of None", "enable 4 of 4, known", "enable 2 of 4, known", "enable 5 of 4..6, healthy", "enable 4 of None"],
        [
            "msix enable 1..4 ret=4 table None domain None None, 0 inserted, first",
            "msix enable 1..4 ret=4 table None domain None None, 0 inserted",
            "msix enable 1..4 ret=2 table None domain None None, 0 inserted",
            "msix enable 1..6 ret=5 table None domain None None, 0 inserted",
            "msix enable 2..6 ret=4 table None domain None None, 0 inserted",
        ],
        [],
    ),
    "a vector added": Case(
        [enable(1, 2, 2, setup(4, 1, create(4)), *inserts(2)), add(2, 2, insert(2)), add(3, 3), add(4, -34, insert(4, -34)), add(3, -16)],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 2,
            "enable 2 of 2, known",
            "insert 0 of 0, known",
            "alloc_at 2 of 2, known",
            "alloc_at 3 of 3, known",
            "insert -34 of -34, known",
            "alloc_at -34 of -34, known",
            "alloc_at -16 of 3, known",
        ],
        [
            "msix enable 1..2 ret=2 table 4 domain 4 seen, 2 inserted, first, created",
            "msix alloc_at 2..3 ret=2 table 4 domain 4 seen, 1 inserted",
            "msix alloc_at 3..4 ret=3 table 4 domain 4 seen, 0 inserted",
            "msix alloc_at 4..5 ret=-34 table 4 domain 4 seen, 0 inserted, refused -34 at 4",
            "msix alloc_at 3..4 ret=-16 table 4 domain 4 seen, 0 inserted",
        ],
        ["msix 4 seen None"],
    ),
    "a vector added where none is": Case(
        [add(0, 0, insert(0)), add(1, -22)],
        ["insert 0 of 0, healthy", "alloc_at 0 of None", "alloc_at -22 of None"],
        [
            "msix alloc_at 0..1 ret=0 table None domain None None, 1 inserted, first",
            "msix alloc_at 1..2 ret=-22 table None domain None None, 0 inserted, first",
        ],
        [],
    ),
    "a vector added by vfio, which returns the irq": Case(
        [enable(1, 2, 2, setup(4, 1, create(4)), *inserts(2)), added(2, 59, add(2, 2, insert(2))), added(3, 60), added(4, -34)],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 2,
            "enable 2 of 2, known",
            "insert 0 of 0, known",
            "alloc_at 2 of 2, known",
            "alloc_at 3 of 3, known",
            "alloc_at -34 of -34, known",
        ],
        [
            "msix enable 1..2 ret=2 table 4 domain 4 seen, 2 inserted, first, created",
            "msix alloc_at 2..3 ret=2 table 4 domain 4 seen, 1 inserted",
            "msix alloc_at 3..4 ret=3 table 4 domain 4 seen, 0 inserted",
            "msix alloc_at 4..5 ret=-34 table 4 domain 4 seen, 0 inserted, refused -34 at 4",
        ],
        ["msix 4 seen None"],
    ),
    "a vector added beyond": Case(
        [count(4), enable(1, 2, 2), add(3, 3), add(4, -34)],
        ["enable 2 of None", "alloc_at 3 of None", "alloc_at -34 of None"],
        [
            "msix enable 1..2 ret=2 table 4 domain None None, 0 inserted, first",
            "msix alloc_at 3..4 ret=3 table 4 domain None None, 0 inserted",
            "msix alloc_at 4..5 ret=-34 table 4 domain None None, 0 inserted, refused -34 at 4",
        ],
        [],
        old=["enable 2 of 2, known", "alloc_at 3 of 3, known", "alloc_at -34 of 4, known"],
    ),
    "an added vector whose index is not recorded": Case(
        [enable(1, 2, 2, setup(4, 1, create(4)), *inserts(2)), add(None, 2)],
        ["domain_create 1 of 1, healthy", "insert 0 of 0, known", "insert 0 of 0, known", "enable 2 of 2, known"],
        [
            "msix enable 1..2 ret=2 table 4 domain 4 seen, 2 inserted, first, created",
            "msix alloc_at None..None ret=2 table 4 domain 4 seen, 0 inserted",
        ],
        ["msix 4 seen None"],
    ),
    "an added vector is refused": Case(
        [enable(1, 2, 2, setup(2, 1, create(2)), *inserts(2)), add(2, -34)],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 2,
            "enable 2 of 2, known",
            "alloc_at -34 of -34, known",
        ],
        [
            "msix enable 1..2 ret=2 table 2 domain 2 seen, 2 inserted, first, created",
            "msix alloc_at 2..3 ret=-34 table 2 domain 2 seen, 0 inserted, refused -34 at 2",
        ],
        ["msix 2 seen None"],
    ),
    "closed between": Case(
        [
            Trace.open,
            request(0x24, 2, 4, 0, enable(1, 4, 4, setup(4, 1, create(4)), *inserts(4))),
            Trace.close,
            Trace.open,
            request(0x24, 2, 8, 0, enable(1, 8, 8, setup(8, 1, create(8)), *inserts(8))),
        ],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 8,
            "enable 8 of 8, known",
        ],
        [
            "msix enable 1..4 ret=4 table 4 domain 4 seen, 4 inserted, first, created",
            "msix enable 1..8 ret=8 table 8 domain 8 seen, 8 inserted, first, created",
        ],
        ["msix 4 seen replaced", "msix 8 seen None"],
    ),
    "closed between, the domain stays": Case(
        [
            Trace.open,
            request(0x24, 2, 4, 0, enable(1, 4, 4, setup(4, 1, create(4)), *inserts(4))),
            Trace.close,
            Trace.open,
            request(0x24, 2, 8, -34, enable(1, 8, -34, setup(8), *inserts(4), insert(4, -34))),
        ],
        [
            "domain_create 1 of 1, healthy",
            *["insert 0 of 0, known"] * 4,
            "enable 4 of 4, known",
            *["insert 0 of 0, known"] * 4,
            "insert -34 of 0, known, MSI-001",
            "enable -34 of 8, known, MSI-001",
        ],
        [
            "msix enable 1..4 ret=4 table 4 domain 4 seen, 4 inserted, first, created",
            "msix enable 1..8 ret=-34 table 8 domain 4 seen, 4 inserted, refused -34 at 4, first",
        ],
        ["msix 4 seen None"],
    ),
    "a driver's enable after a session": Case(
        [Trace.open, request(0x24, 2, 4, 0, enable(1, 4, 4)), Trace.close, enable(1, 1, 1)],
        ["enable 4 of 4, healthy", "enable 1 of 1, healthy"],
        [
            "msix enable 1..4 ret=4 table None domain None None, 0 inserted, first",
            "msix enable 1..1 ret=1 table None domain None None, 0 inserted, first",
        ],
        [],
        old=["enable 4 of 4, known", "enable 1 of 1, healthy"],
    ),
    "first of a session": Case(
        [
            Trace.open,
            request(0x24, 2, 2, 0, enable(1, 2, 2)),
            request(0x21, 2, 0, 0, free),
            request(0x24, 2, 3, 0, enable(1, 3, 3)),
            Trace.close,
            Trace.open,
            request(0x24, 2, 2, 0, enable(1, 2, 2)),
        ],
        ["enable 2 of 2, healthy", "enable 3 of 3, healthy", "enable 2 of 2, known"],
        [
            "msix enable 1..2 ret=2 table None domain None None, 0 inserted, first",
            "msix enable 1..3 ret=3 table None domain None None, 0 inserted",
            "msix enable 1..2 ret=2 table None domain None None, 0 inserted, first",
        ],
        [],
        old=["enable 2 of 2, known", "enable 3 of 3, known", "enable 2 of 2, known"],
    ),
    "xen refuses": Case(
        [enable(1, 2, -28, insert(0), insert(1), xen(2, -28))],
        [
            "xen_initdom_setup_msi_irqs -28 of 0, known, XEN-002",
            *["insert 0 of 0, healthy"] * 2,
            "enable -28 of -28, known",
        ],
        ["msix enable 1..2 ret=-28 table None domain None None, 2 inserted, first"],
        [],
        new=[
            "xen_initdom_setup_msi_irqs -28 of 0, known, XEN-002",
            *["insert 0 of 0, known"] * 2,
            "enable -28 of -28, known",
        ],
        old=[
            "xen_initdom_setup_msi_irqs -28 of 0, known, XEN-002",
            *["insert 0 of 0, known"] * 2,
            "enable -28 of -28, known",
        ],
    ),
    "xen sets up, its return not recorded": Case(
        [enable(1, 2, 2, called("xen_initdom_setup_msi_irqs", "dev={dev} nvec=2 type=17", None))],
        ["enable 2 of None"],
        ["msix enable 1..2 ret=2 table None domain None None, 0 inserted, first"],
        [],
    ),
    "either kind, refused, then msi-x": Case(
        [wrapper(1, 2, -34, insert(0), insert(1, -34), flags=7), enable(1, 1, 1, insert(0))],
        [
            "insert 0 of 0, healthy",
            "insert -34 of 0, known, MSI-001",
            "enable -34 of -34, known",
            "insert 0 of 0, known",
            "enable 1 of 1, known",
        ],
        [
            "None enable 1..2 ret=-34 table None domain 1 deduced, 1 inserted, refused -34 at 1, first",
            "msix enable 1..1 ret=1 table None domain 1 deduced, 1 inserted, first",
        ],
        [],
    ),
    "xen sets up": Case(
        [enable(1, 2, 2, xen(2, 0))],
        ["xen_initdom_setup_msi_irqs 0 of 0, healthy", "enable 2 of 2, known"],
        ["msix enable 1..2 ret=2 table None domain None None, 0 inserted, first"],
        [],
    ),
    "a wrapper": Case(
        [wrapper(1, 4, 4, enable(1, 4, 4, *inserts(4)))],
        ["insert 0 of 0, healthy", "insert 0 of 0, healthy", "insert 0 of 0, healthy", "insert 0 of 0, healthy", "enable 4 of 4, known"],
        ["msix enable 1..4 ret=4 table None domain None None, 4 inserted, first"],
        [],
    ),
    "a wrapper of a wrapper": Case(
        [outer(1, 4, None, count(8), wrapper(1, 4, 4)), free, outer(1, 4, 4, wrapper(1, 4, 4))],
        ["enable 4 of None", "enable 4 of 4, known"],
        [
            "msix enable 1..4 ret=4 table 8 domain None None, 0 inserted, first",
            "msix enable 1..4 ret=4 table 8 domain None None, 0 inserted",
        ],
        [],
        old=["enable 4 of 4, known"] * 2,
    ),
    "a wrapper that falls back": Case(
        [wrapper(1, 4, 1, enable(1, 4, -28), enable(1, 1, 1, kind="msi"))],
        ["enable -28 of None", "enable 1 of None"],
        [
            "msix enable 1..4 ret=-28 table None domain None None, 0 inserted, first",
            "msi enable 1..1 ret=1 table None domain None None, 0 inserted, first",
        ],
        [],
    ),
    "a table read inside": Case(
        [enable(1, 12, 8, count(8))],
        ["enable 8 of None"],
        ["msix enable 1..12 ret=8 table 8 domain None None, 0 inserted, first"],
        [],
        old=["enable 8 of 8, known"],
    ),
    "a table read inside, then before": Case(
        [count(4), enable(1, 12, 8, count(8)), enable(1, 12, -22)],
        ["enable 8 of None", "enable -22 of -22 or 8, known"],
        [
            "msix enable 1..12 ret=8 table 8 domain None None, 0 inserted, first",
            "msix enable 1..12 ret=-22 table 8 domain None None, 0 inserted",
        ],
        [],
        old=["enable 8 of 8, known", "enable -22 of -22 or 8, known"],
    ),
}


def told(case: Case, release: str = "") -> tuple[list[str], list[str], list[str]]:
    t = Trace()
    for step in case.steps:
        step(t)
    found = tables(**{"trace.txt": (BANNER.format(release) if release else "") + str(t)})
    rows = {name: frame.rows(named=True) for name, frame in found.items() if name in ("predictions", "enables", "msi_domains")}
    predictions = [
        ", ".join(filter(None, (f"{r['operation']} {r['observed']} of {r['predicted']}", r["basis"], r["explained_by"])))
        for r in rows.get("predictions", [])
        if r["operation"] != "set_irqs"
    ]
    enables = [
        f"{r['kind']} {r['operation']} {r['min']}..{r['max']} ret={r['ret']} table {r['live']} domain {r['hwsize']} {r['hwsize_how']}, "
        f"{r['inserted']} inserted" + refused(r) + (", first" if r["first"] else "") + (", created" if r["created"] else "")
        for r in rows.get("enables", [])
    ]
    return predictions, enables, [f"{r['kind']} {r['hwsize']} {r['how']} {r['cause']}" for r in rows.get("msi_domains", [])]


def refused(row: dict[str, object]) -> str:
    """Return which insert was refused; `?`: its index is counted."""
    return f", refused {row['fail_ret']} at {row['fail_index']}{'' if row['index_seen'] else '?'}" if row["fail_line"] else ""


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_results_and_sizes_follow_from_the_calls_before(case: Case) -> None:
    assert told(case) == (case.predictions, case.enables, case.domains)


@pytest.mark.parametrize("case", [c for c in CASES.values() if c.new or c.old], ids=[n for n, c in CASES.items() if c.new or c.old])
def test_a_kernel_of_a_known_release_has_its_own_results(case: Case) -> None:
    assert told(case, "6.12.10")[0] == (case.new or case.predictions)
    assert told(case, "5.15.10")[0] == (case.old or case.predictions)
