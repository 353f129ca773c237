"""One passed-through function: its table and irq domain in the kernel, the opened VFIO device, the client, and what the guest does."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import polars as pl

from tracekit import EBADF, EINVAL, ERANGE, VFIO_MSI, VFIO_MSIX, Fix, System, gate_value
from tracekit_systems.platform import platform_of
from tracekit_systems.stimuli import READS, Recording, Stimulus, recordings

NORESIZE = 0x8  # VFIO_IRQ_INFO_NORESIZE
Machines = Mapping[str, Any]
Gates = Mapping[str, Any]
MOST = 2048  # vectors of MSI-X: a higher number is no vector
NEEDED = ("MsiDomain", "PciFunction", "VfioDevice", "Vmm", "Guest")
STALE = ("MSI-001", "MSI-002", "MSI-003", "VFIO-003", "VFIO-004")
GROWTH = ("VFIO-001", "VFIO-002", "VFIO-003", "VFIO-005", "VFIO-006", "VFIO-009")


class MsiVfio(System):
    """All recordings of one function, each replayed from its own start. Gates are those of the releases (KV, QV) and of the fixes."""

    name: ClassVar[str] = "msi-vfio"
    reads: ClassVar[tuple[str, ...]] = (*READS, "gates", "platforms")
    switches: ClassVar[tuple[str, ...]] = (
        "rebind_between_sessions",
        "domain_removed_on_disable",
        "in_place_growth",
        "vectors_up_front",
        "client_heeds_noresize",
        "one_vector_a_request",
        "noresize_removed",
    )
    fixes: ClassVar[tuple[Fix, ...]] = (
        Fix("rebind_between_sessions", True, STALE, "unbind and bind the driver when the table size has changed, before the next session"),
        Fix(
            "domain_removed_on_disable",
            True,
            STALE,
            "a kernel that removes the irq domain when MSI-X is disabled (posted 2023, not merged)",
        ),
        Fix("in_place_growth", True, GROWTH, "{QV3} on {KV4}, or later: vectors are added in place"),
        Fix("vectors_up_front", True, GROWTH, "all vectors at the enable: a guest or a VMM that takes the whole table at once"),
        Fix("client_heeds_noresize", True, ("VFIO-005",), "a client that disables before it grows where the host reports NORESIZE"),
        Fix("one_vector_a_request", True, ("VFIO-007",), "a client that wires each vector with a request of its own"),
        Fix("noresize_removed", True),
        Fix("QV2", True),
        Fix("QV3", True, GROWTH, "{QV3} or later"),
        Fix("KV4", True, GROWTH),
        Fix("KV4", False, ("VFIO-004", "VFIO-006")),
        Fix("KV2", False, STALE),
        Fix("KV2", True),
        Fix("KV3", True),
        Fix("QV4", True),
        Fix("KV1", False),
    )

    def __init__(self, machines: Machines, recorded: Sequence[Recording], gates: Gates, place: tuple[str, str] = ("", "")) -> None:
        self.machines, self.recorded, self.base, self.place = machines, recorded, gates, place
        self.done: dict[frozenset[tuple[str, Any]], list[Replay]] = {}

    @classmethod
    def instances(cls, machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Sequence[System]:
        """Yield one system per function that has MSI-X enabled or grown in some recording."""
        if any(name not in machines for name in NEEDED):
            return []
        by_label: dict[str, list[Recording]] = {}
        for r in recordings(tables):
            by_label.setdefault(r.label, []).append(r)
        gates = tables.get("gates")
        return [cls(machines, mine, base_gates(mine, gates), platform_of(tables, mine[0].source)) for mine in by_label.values()]

    def subject(self) -> str:
        return self.recorded[0].label

    def gates(self) -> Gates:
        return self.base

    def faults(self, gates: Gates) -> frozenset[str]:
        return frozenset().union(*(d.faults() for d in self._replayed(gates)))

    def cost(self, gates: Gates) -> Mapping[str, int]:
        """Return the peak use: vectors allocated, entries of the remapping table (one per vector), CPU vectors in use."""
        done = self._replayed(gates)
        return {
            "vectors": max(d.most_allocated for d in done),
            "irtes": max(d.most_allocated for d in done),
            "cpu_vectors": max(d.most_wired if gates["KV1"] else d.most_allocated for d in done),
        }

    def platform(self) -> tuple[str, str]:
        return self.place

    def refutable(self) -> frozenset[str]:
        """Return the codes that sessions and demands lead to, where the machines grant and refuse what was recorded.

        Not the detached block: the request that failed is all there is of it. Not a size that the refusal alone tells.
        """
        if any(d.contradicted for d in self._replayed(self.base)):
            return frozenset()
        told = frozenset(code for fix in self.fixes for code in fix.cures) - {"VFIO-007"}
        return told - {"MSI-001"} if all(r.deduced for r in self.recorded) else told

    def assumptions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(a for r in self.recorded for a in r.assumptions))

    def _replayed(self, gates: Gates) -> list["Replay"]:
        """Replay each recording under these gates, once."""
        key = frozenset(gates.items())
        if key not in self.done:
            self.done[key] = [Replay(self.machines, gates, r) for r in self.recorded]
            for replay, recorded in zip(self.done[key], self.recorded, strict=True):
                for stimulus in recorded.stimuli:
                    replay.hear(stimulus)
        return self.done[key]


def base_gates(recorded: Sequence[Recording], gates: pl.DataFrame | None) -> Gates:
    """Return the gates as the recordings show them, else as the case's gates say, else the old behaviour, which is then an assumption."""
    first = recorded[0]
    resized, appended, refused, bounded = (any(getattr(r, x) for r in recorded) for x in ("resized", "appended", "refused", "bounded"))
    known = {g: gate_value(gates, g, first.source) for g in ("KV1", "KV2", "KV4", "QV2", "QV3")}
    if known["KV2"] is None:
        known["KV2"] = bounded
    if known["KV4"] is None or appended or refused:
        known["KV4"] = appended
    if resized and known["QV3"]:
        known["KV4"] = False  # such a QEMU tears down only where it must
    known["QV3"] = not resized and bool(appended or known["QV3"])
    first.assumptions += [
        f"{g} is taken to be {known[g]}: nothing tells" for g in ("KV2", "KV4") if gate_value(gates, g, first.source) is None
    ]
    return {
        **known,
        "KV1": known["KV1"] is not False,
        "KV3": gate_value(gates, "KV3", first.source) is True,
        "QV4": gate_value(gates, "QV4", first.source) is True,
        "QV2": bool(known["QV2"]) or any(s.what == "enable" and s.number > 1 for r in recorded for s in r.stimuli),
        "in_place_growth": bool(known["KV4"] and known["QV3"]),
        "domain_removed_on_disable": False,
        "rebind_between_sessions": False,
        "vectors_up_front": False,
        "noresize_removed": False,
        "one_vector_a_request": False,
        "client_heeds_noresize": not refused,
    }


class Replay:
    """The machines of one function under one setting of the gates. It applies stimuli and notes the faults of each step."""

    def __init__(self, machines: Machines, gates: Gates, recorded: Recording) -> None:
        self.gates, self.recorded, self.made, limit = gates, recorded, machines, recorded.limit
        self.domain = machines["MsiDomain"](gates["KV2"], "none" if gates["KV2"] else "global")
        self.function = machines["PciFunction"](self.domain)
        self.function.several = True
        self.dynamic = bool(gates["KV4"] or gates["in_place_growth"]) and recorded.index == VFIO_MSIX
        self.function.dynamic, self.function.strict = self.dynamic, bool(gates["KV3"])
        self.device = machines["VfioDevice"](dynamic=self.dynamic)
        self.vmm = machines["Vmm"](self._policy(), 0, batched=bool(gates["QV2"]), index=recorded.index, intx=False)
        self.seen: set[str] = set()
        self.requests: list[tuple[str, int]] = []  # data and result of what one stimulus made the client send
        self.used: set[int] = set()
        self.fresh = limit is None  # whether no session is known to have gone before
        self.most_allocated = self.most_wired = 0
        self.contradicted = False  # whether a step worked or failed otherwise than it was recorded
        if limit is not None and gates["KV2"]:
            self.domain.create("msix", limit)
            if gates["domain_removed_on_disable"]:
                self.domain.remove()

    def faults(self) -> frozenset[str]:
        """Return the faults so far; a mismatch that something has hit is no longer latent. An error detaches its whole request."""
        if self._detaches(self.recorded.detached):
            self.seen.add("VFIO-007")
        return frozenset(self.seen - ({"MSI-002"} if "MSI-001" in self.seen else set()))

    def _detaches(self, count: int) -> bool:
        """Return whether the other vectors are lost when so many are wired again and the last one fails."""
        device = self.made["VfioDevice"](dynamic=self.dynamic)

        def wire(first: int, size: int, wiring: int) -> None:
            device.set_irqs(VFIO_MSIX, first, size, "eventfd", alloc=lambda n: frozenset((n,)), wiring=wiring)

        if count:
            wire(0, count, 0)
            for first in range(count) if self.gates["one_vector_a_request"] else [0]:
                size = 1 if self.gates["one_vector_a_request"] else count
                wire(first, size, EBADF if first + size == count else 0)
        return not set(range(count - 1)) <= device.wired

    def hear(self, s: Stimulus) -> None:
        """Apply one stimulus and compare the result of the client's last request with the recorded one."""
        self.requests.clear()
        getattr(self, "_" + s.what.replace(" ", "_"))(s)
        if s.works is not None and self.requests:
            self.contradicted |= (self.requests[-1][1] == 0) != s.works

    def _policy(self) -> str:
        """Return how the client adds a vector: all at once, in place (the host offers it or is not asked), or down and up again."""
        gates = self.gates
        if gates["vectors_up_front"]:
            return "full"
        if self.recorded.index == VFIO_MSI:
            return "incr"  # vectors of plain MSI are a block: more of them need another one
        noresize = bool(self.device.flags(VFIO_MSIX) & NORESIZE) and not gates["noresize_removed"]
        can = gates["QV3"] or gates["in_place_growth"]
        return "dyn" if (can and not noresize) or not gates["client_heeds_noresize"] else "incr"

    def send(self, request: Any) -> int:
        """Send SET_IRQS from the client to the kernel, and return its result."""
        result = self.device.set_irqs(
            request.index, request.start, request.count, request.data, alloc=self._alloc, alloc_at=self._alloc_at, wiring=0
        )
        value = min(result) if result else 0
        if request.data == "none" and value == 0:
            self._freed()
        self.requests.append((request.data, value))
        self.most_allocated = max(self.most_allocated, len(self.function.vectors))
        self.most_wired = max(self.most_wired, len(self.vmm.used & self.device.wired))
        return int(value)

    def _alloc(self, count: int) -> Any:
        return self._enabled(1, count)

    def _alloc_at(self, index: int) -> Any:
        result = self.function.alloc_at(index)
        if result == {ERANGE} and self._smaller():
            self.seen.add("MSI-001")
        return {0} if min(result) >= 0 else result

    def _enabled(self, least: int, most: int) -> Any:
        """Enable as the kernel does; note a domain that exists already and is smaller than the table (MSI-001, MSI-002)."""
        if self.recorded.index == VFIO_MSI:
            return self.function.enable_msi(least, most)
        kept = self.domain.kind == "msix"
        result = self.function.enable_msix(least, most)
        if kept and self._smaller():
            self.seen.add("MSI-001" if result == {ERANGE} else "MSI-002")
        elif kept and self.domain.hwsize is not None and self.domain.hwsize > self.function.msix_count:
            self.seen.add("MSI-003")
        return result

    def _smaller(self) -> bool:
        return self.domain.per_device and self.domain.hwsize is not None and self.domain.hwsize < self.function.msix_count

    def _freed(self) -> None:
        self.function.free()
        self.used.clear()
        if self.gates["domain_removed_on_disable"]:
            self.domain.remove()

    def _table(self, s: Stimulus) -> None:
        if self.recorded.index == VFIO_MSI:
            self.function.msi_count = s.number
        self.function.msix_count = s.number

    def _open(self, s: Stimulus) -> None:
        if not self.fresh and self.gates["rebind_between_sessions"] and not self.function.msix_enabled:
            self.function.unbind()
        self.fresh = False

    def _close(self, s: Stimulus) -> None:
        if self.vmm.enabled:
            self.vmm.guest_disables(self.send)
        self.function.free()
        self.device.close()
        if self.gates["rebind_between_sessions"]:
            self.function.unbind()

    def _rebind(self, s: Stimulus) -> None:
        self._close(s)
        self.function.unbind()

    def _enable(self, s: Stimulus) -> None:
        """Let the guest enable with so many vectors unmasked; disable a client that still has vectors, as the guest must have done."""
        if self.vmm.enabled:
            self.vmm.guest_disables(self.send)
        elif self.gates["rebind_between_sessions"] and not self.fresh and not self.function.msix_enabled:
            self.function.unbind()
        self.fresh = False
        self.vmm.table = self.function.msix_count
        self.vmm.guest_enables(range(s.number), self.send)

    def _unmask(self, s: Stimulus) -> None:
        """Let the guest unmask one more vector; the client answers with a window, a failed growth, or vectors in place."""
        alive, used = bool(self.device.allocated), bool(self.used)
        # A client that grew by several at once wanted all of them; one that adds in place asks for each.
        for vector in range(self.vmm.count, s.number) if self.vmm.policy == "dyn" and s.number < MOST else ():
            self.vmm.guest_unmasks(vector, self.send)
        self.vmm.guest_unmasks(s.number, self.send)
        torn = len(self.requests) > 1 and self.requests[0] == ("none", 0)
        result = self.requests[-1][1] if self.requests else 0
        if torn and result == 0 and used:
            self.seen |= {"VFIO-002"} | ({"VFIO-006"} if self.dynamic else set())
            self.seen |= ({"VFIO-001"} if self.recorded.lost else set()) | ({"VFIO-009"} if self.recorded.spilled else set())
        elif torn and result != 0:
            self.seen.add("VFIO-003")
        elif not torn and result < 0 and alive:
            self.seen.add("VFIO-005" if result == EINVAL else "VFIO-004")

    def _interrupt(self, s: Stimulus) -> None:
        self.used.add(s.number)

    def _disable(self, s: Stimulus) -> None:
        if self.vmm.enabled:
            self.vmm.guest_disables(self.send)

    def _driver_enable(self, s: Stimulus) -> None:
        if self.gates["rebind_between_sessions"] and not self.fresh:
            self.function.unbind()
        self.function.free()
        self.fresh = False
        self._enabled(s.least, s.number)
        self.most_allocated = max(self.most_allocated, len(self.function.vectors))
        self.most_wired = max(self.most_wired, len(self.function.vectors))

    def _driver_free(self, s: Stimulus) -> None:
        self.function.free()
        self.device.close()
