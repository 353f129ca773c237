"""A scenario as a value: the host, the client, the guest, the devices, and what happens to them."""

from dataclasses import dataclass, field
from typing import Any


def one_of(*choices: str) -> Any:
    """Declare a setting with a few possible values, the first of which is the default."""
    return field(default=choices[0], metadata={"choices": choices})


def release_of(text: str) -> tuple[int, ...]:
    """Return a release as numbers: `6.12.3-rc1` is (6, 12, 3)."""
    numbers = []
    for part in text.split("-")[0].split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


@dataclass(frozen=True, slots=True)
class Host:
    """The host. `parent`: the interrupt parent where it is not the usual one of the architecture (`GIC ITS`, `Hyper-V`).

    `vectors`: CPU vectors of one CPU that devices can have; `in_use`: those that the host's own devices hold. `irtes`: entries of the
    remapping table, 0 for those of the IOMMU's kind. `xen`: release of the hypervisor, empty without one; `pirqs`: numbers that a
    domain can have for MSI; `dom0_pirqs`: those of dom0, 0 for what Xen gives it; `event_channels`: those that a domain may have by its
    configuration; `events`: how they are kept, which limits them too; `auto` is what the releases do.
    """

    arch: str = one_of("x86", "arm64", "s390", "powerpc", "loongarch")
    parent: str = ""
    kernel: str = field(default="6.12", metadata={"release": True})
    cpus: int = 8
    vectors: int = 201
    in_use: int = 0
    remapping: bool = True
    iommu: str = one_of("intel", "amd")
    irtes: int = 0
    xen: str = field(default="", metadata={"release": True})
    pirqs: int = 32
    dom0_pirqs: int = 0
    event_channels: int = 1023
    events: str = one_of("auto", "fifo", "2-level")


@dataclass(frozen=True, slots=True)
class Client:
    """The VMM. `policy`: how it adds a vector; `auto` is what its release does on this host. `window`: us from a disable to the enable.

    `vfio-user` is QEMU with every function served by a vfio-user server; a `program` has no guest and sends what `requests` list.
    """

    name: str = one_of("qemu", "kvmtool", "vfio-user", "program")
    version: str = field(default="8.2", metadata={"release": True})
    policy: str = one_of("auto", "incr", "dyn", "full")
    window: int = 300


@dataclass(frozen=True, slots=True)
class Guest:
    """The guests. `kind`: a has no paravirtual interface to allocate vectors, b one that the host answers, c one that it does not.

    `unmask`: whether the driver unmasks its vectors after it has enabled MSI-X or before. `count`: how many such guests run; `traffic`:
    whether each vector interrupts as soon as it is there. `handling`: us from an interrupt of a line to its driver's acknowledgement.
    `cpus`: its virtual CPUs, and `channels`: other event channels (xenstore and console are 2) (Xen).
    """

    kernel: str = field(default="6.6", metadata={"release": True})
    kind: str = one_of("a", "b", "c")
    unmask: str = one_of("after enable", "before enable")
    count: int = 1
    traffic: bool = True
    handling: int = 100
    cpus: int = 4
    channels: int = 2


@dataclass(frozen=True, slots=True)
class Device:
    """One function: passed through (`driver` vfio), or used by the host, whose driver leaves affinity to users or to the kernel (managed).

    `table`: entries of its MSI-X table in session 1, 2, ...; the last one stays.

    `backend`: what serves a passed-through function: the device by vfio-pci, an mdev driver (i915 GVT, mtty: one vector of plain MSI), or a
    vfio-user server.
    `queues`: vectors that the driver wants, 0 for the whole table; `enables`: how many in each of its enables, between which it frees
    them (nvme: 1, then one a queue and one more). `pre_vectors`: the first ones of a managed driver, which are not managed.
    `kind`: MSI-X, plain MSI with `table` vectors, the INTx line, or interrupt message storage with `table` entries, and MSI-X where the
    host has none.
    `maskable`: plain MSI with mask bits. `intx`: whether a function with MSI or MSI-X has an INTx pin too, which no VF has. `pending`:
    whether pending bits outlive a disable, which PCI Express leaves open.
    `sessions`: those in which it is used; none given: in all. `reload`: whether its driver is reloaded in each session (Xen).
    `functions`: so many alike (VFs).
    """

    name: str = "0000:3d:00.0"
    driver: str = one_of("vfio", "host", "managed")
    backend: str = one_of("vfio-pci", "gvt", "mtty", "vfio-user")
    table: tuple[int, ...] = (8,)
    queues: int = 0
    enables: tuple[int, ...] = ()
    pre_vectors: int = 0
    kind: str = one_of("msix", "msi", "intx", "ims")
    maskable: bool = False
    intx: bool = False
    pending: str = one_of("unspecified", "kept", "cleared")
    sessions: tuple[int, ...] = ()
    reload: bool = True
    functions: int = 1

    def entries(self, session: int) -> int:
        """Return the size of the table in a session, which count from 1."""
        return self.table[min(session, len(self.table)) - 1]

    def wanted(self, session: int) -> int:
        """Return how many vectors the driver asks for: no more than there are entries."""
        size = 1 if self.kind == "intx" or self.backend in ("gvt", "mtty") else self.entries(session)
        return min(self.enables[-1] if self.enables else self.queues or size, size)

    def before(self, session: int) -> tuple[int, ...]:
        """Return how many vectors each enable asks for before the last one."""
        return tuple(min(n, self.entries(session)) for n in self.enables[:-1])

    def used(self, session: int) -> bool:
        """Return whether the device is used in a session."""
        return not self.sessions or session in self.sessions


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The device signals a vector `at` so many milliseconds after the begin."""

    vector: int = 0
    at: float = 0.0
    device: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """The guest's driver does something `at` so many milliseconds after the begin.

    It masks or unmasks a vector, all of them (Function Mask), or the line; or it switches MSI or MSI-X off and on.
    """

    what: str = one_of("mask", "unmask", "mask all", "unmask all", "disable", "enable")
    at: float = 0.0
    vector: int = 0
    device: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A program sends a SET_IRQS in a session, in the order in which requests are listed, and does so `times` times.

    `what`: an enable wires an eventfd to each of `count` vectors from `start` on, a disable switches all of them off; the line is
    masked and unmasked. `kind`: the vectors of the device, its line, or what notifies of errors and of the host's wish for the device.
    """

    session: int = 1
    what: str = one_of("enable", "disable", "mask", "unmask")
    start: int = 0
    count: int = 1
    kind: str = one_of("vectors", "intx", "error", "request")
    device: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Hotplug:
    """A CPU of the host is taken offline, or brought back (`online`), `at` so many milliseconds after the begin."""

    cpu: int = 0
    at: float = 0.0
    online: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is asked. `sessions`: how often the device is opened, 0 for once a table size; `rebinds`: sessions before which its driver in
    the host is unbound and bound.

    `gates`: behaviour that was seen, whatever the releases say: `KV2` is there, `-KV4` is not.
    """

    host: Host = field(default_factory=Host)
    client: Client = field(default_factory=Client)
    guest: Guest = field(default_factory=Guest)
    devices: tuple[Device, ...] = (Device(),)
    interrupts: tuple[Interrupt, ...] = ()
    acts: tuple[Act, ...] = ()
    requests: tuple[Request, ...] = ()
    hotplug: tuple[Hotplug, ...] = ()
    sessions: int = 0
    rebinds: tuple[int, ...] = ()
    gates: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """Return the number of the last session."""
        devices = (max(len(d.table), *d.sessions, 1) for d in self.devices)
        return self.sessions or max(*devices, *(r.session for r in self.requests), 1)
