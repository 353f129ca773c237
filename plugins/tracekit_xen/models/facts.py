"""The size and use of a domain's pirq space, from the hypervisor's log, `xl info` and `lsevtchn`."""

import re
from typing import ClassVar

from tracekit import GATES_TABLE, Model, Row, Table
from tracekit_xen.tables import PIRQ_FACTS

EXTRA = re.compile(r"(?:^|\s)extra_guest_irqs=([0-9]*)(?:,([0-9]+))?(?=\s|$)")
DOMIDS = 0x7FFF  # a domid has 15 bits; what is beyond is a print of something else
PIRQS = 0xFFFFFF
HOLDER = re.compile(r"\bd?(\[[A-Z]+\]|[0-9]+): *([0-9]+)\(")


class PirqFacts(Model):
    """Collect facts about the pirq space of a domain; an inventory (`held`, `ports`) spans the lines of its dump."""

    tables: ClassVar[tuple[Table, ...]] = (PIRQ_FACTS,)

    def __init__(self) -> None:
        super().__init__()
        self.dumps: dict[str, tuple[int, dict[int | None, list[tuple[int, Row]]]]] = {}
        self.ports_of: int | None = None

    def on_xen_command_line(self, e: Row) -> None:
        """Read `extra_guest_irqs=[domU][,dom0]` of Xen's boot line (docs/misc/xen-command-line.pandoc); 0 for dom0 is Xen's default."""
        found = EXTRA.search(e.options or "")
        for domid, number in zip((None, 0), found.groups() if found else (), strict=False):
            if number and int(number) <= PIRQS and (domid is None or int(number)):
                self._fact("extra", e, domid, int(number))

    def on_xen_info_command_line(self, e: Row) -> None:
        """Read Xen's boot line as `xl info` prints it."""
        self.on_xen_command_line(e)

    def on_xen_irq_limits(self, e: Row) -> None:
        """Read the number of GSIs, which holds for every domain."""
        self._fact("gsis", e, None, e.gsis)

    def on_xen_max_pirqs(self, e: Row) -> None:
        """Read the limit that Xen computed for a domain."""
        if e.limit is not None:
            self._fact("limit", e, e.domid, e.limit)

    def on_xen_irqs_bounded(self, e: Row) -> None:
        """Read a limit that Xen reduced."""
        self._fact("bounded", e, None if e.who == "domU" else 0, e.limit)

    def on_xen_irq(self, e: Row) -> None:
        """Read one line of debug key i: the holders of an MSI's pirq."""
        self._next("held", e.irq, e)
        if not (e.kind or "").startswith("PCI-MSI"):
            return
        for domid, pirq in HOLDER.findall(e.holders or ""):
            if domid.isdigit() and int(domid) <= DOMIDS and int(pirq) <= PIRQS:
                self._add("held", int(domid), int(pirq), e)

    def on_xen_ports_of(self, e: Row) -> None:
        """Read the head of a dump of debug key e, which names the domain."""
        self.ports_of = e.domid

    def on_xen_port(self, e: Row) -> None:
        """Read one port of debug key e; a GSI's pirq is the Xen IRQ itself."""
        self._next("ports", e.port, e)
        if e.pirq != e.irq:
            self._add("ports", self.ports_of, e.pirq, e)

    def on_xen_port_of_pirq(self, e: Row) -> None:
        """Read one port of `lsevtchn`, which lists dom0 by default."""
        self._next("ports", e.port, e)
        self._add("ports", 0, e.pirq, e)

    def on_end(self) -> None:
        """Close the dumps that were still open."""
        for name in list(self.dumps):
            self._close(name)

    def _next(self, name: str, number: int, e: Row) -> None:
        """Start another dump at a number that does not rise."""
        if name in self.dumps and number <= self.dumps[name][0]:
            self._close(name)
        _, holders = self.dumps.get(name, (number, {}))
        self.dumps[name] = (number, holders)

    def _add(self, name: str, domid: int | None, pirq: int, e: Row) -> None:
        self.dumps[name][1].setdefault(domid, []).append((pirq, e))

    def _close(self, name: str) -> None:
        _, holders = self.dumps.pop(name)
        for domid, entries in holders.items():
            pirqs = sorted({p for p, _ in entries}, reverse=True)
            first, last = entries[0][1], entries[-1][1]
            self.emit("pirq_facts", first, fact=name, domid=domid, value=len(pirqs), pirqs=pirqs, ts_end=last.ts, line_end=last.line)

    def _fact(self, fact: str, e: Row, domid: int | None, value: int) -> None:
        self.emit("pirq_facts", e, fact=fact, domid=domid, value=value, pirqs=None, ts_end=e.ts, line_end=e.line)


class XenGates(Model):
    """Read gates from lines of guests and device models: whether the guest takes fresh pirqs, and whether they are unmapped."""

    tables: ClassVar[tuple[Table, ...]] = (GATES_TABLE,)
    gates: ClassVar[tuple[str, ...]] = ("KV5", "QV1")

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, bool]] = set()

    def on_xen_msi_reused(self, e: Row) -> None:
        """Note a message that only kernels without c74fd80f2f41 print."""
        self._gate(e, "KV5", False, "the guest took a cached pirq again")

    def on_xen_pt_unmap(self, e: Row) -> None:
        """Note that the device model unmaps."""
        self._gate(e, "QV1", True, "the device model unmaps on disable")

    def _gate(self, e: Row, gate: str, value: bool, why: str) -> None:
        if (gate, value) not in self.seen:
            self.seen.add((gate, value))
            self.emit("gates", e, gate=gate, value=value, basis="observed", why=why)
