"""IRQ-005: MSI-X is on, and the device may not master the bus."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import polars as pl

from tracekit import Evidence, Finding, Subject, Unchecked, Verdict, clear, diagnosis, full_bdf, in_order, inconclusive, times
from tracekit_irq.assigned import ASSIGNED, BDF, assigned_accesses
from tracekit_irq.evidence import MOST

RECORD = (
    "QEMU: -trace 'pci_cfg_*' -trace msix_write_config, of a passed-through device -trace 'vfio_*'; or lspci -vv while the device is in use"
)
ALLOWED = "bus mastering was on in the last span of every device that had MSI-X enabled"
COMMAND = 0x4  # offset of the command register
BUS_MASTER = 0x4  # its bit 2
# 00:00.2 IOMMU: Advanced Micro Devices, Inc. [AMD] ...;  00:04.0 Class 0806: Device 1022:1419
# Linux never sets bit 2 of an IOMMU's function, and its interrupts come all the same.
IOMMU = r"^IOMMU|[^0-9a-f]0806(?:[^0-9a-f]|$)"


@dataclass
class Span:
    """From an enable with vectors unmasked to the next disable. `command`: the values of the command register that held meanwhile."""

    source: str
    write: int
    enable: int
    end: int | None = None
    command_line: int | None = None
    command: list[int] = field(default_factory=list)

    @property
    def mute(self) -> bool:
        """Return whether the register is known and bus mastering was off throughout."""
        return bool(self.command) and not any(c & BUS_MASTER for c in self.command)


@diagnosis(
    "irq.no-bus-master",
    code="IRQ-005",
    severity="high",
    supersedes=("VFIO-001", "VFIO-002", "IRQ-001"),
    record=RECORD,
    shown_by=("msix_write_config",),
    when={"msix_write_config": None, "lspci_capability": None, "vfio_pci_write_config": None},
    otherwise=ALLOWED,
    absent="no accesses to the device's config space in the input",
)
def no_bus_master(
    msix_write_config: pl.DataFrame | None = None,
    pci_cfg_write: pl.DataFrame | None = None,
    pci_cfg_read: pl.DataFrame | None = None,
    lspci_device: pl.DataFrame | None = None,
    lspci_capability: pl.DataFrame | None = None,
    lspci_command: pl.DataFrame | None = None,
    irq_handler_entry: pl.DataFrame | None = None,
    vfio_pci_write_config: pl.DataFrame | None = None,
    vfio_pci_read_config: pl.DataFrame | None = None,
    vfio_msix_early_setup: pl.DataFrame | None = None,
    vfio_msi_setup: pl.DataFrame | None = None,
    vfio_msix_disable: pl.DataFrame | None = None,
    vfio_msi_disable: pl.DataFrame | None = None,
    vfio_msi_interrupt: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """A device has MSI-X on and was never allowed to master the bus, so no message can leave it.

    What it finds: every span in which MSI-X is enabled and unmasked (config writes as QEMU traces them, of an emulated device or, with
    MSI too, of a passed-through one) has bit 2 of the command register clear from its first line to its last; or a
    snapshot of `lspci -vv` has `MSI-X: Enable+` with `BusMaster-` (possible).

    Why it matters: an MSI is a memory write by the device. Everything else is set up, nothing is refused, and no interrupt ever comes.

    Stays quiet when: bit 2 is set within any of these spans (drivers often set it after the enable; inconclusive if it is clear in the
    last), MSI-X is off (a closed device), the function is an IOMMU, or the device was seen to interrupt.

    Affected: any release; a client or a driver that does not set the bit.

    What to do: have the client or driver set bus mastering (pci_set_master; through VFIO, the command register).

    References: PCI specification, command register; QEMU hw/pci/msix.c, msix_write_config(), hw/pci/pci_host.c and hw/vfio/pci.c,
    vfio_pci_write_config(), for the trace events.
    """
    traced = (
        device_spans(msix_write_config, pci_cfg_write, pci_cfg_read) if msix_write_config is not None and pci_cfg_write is not None else {}
    )
    accesses = assigned_accesses(
        vfio_pci_write_config, vfio_pci_read_config, vfio_msix_early_setup, vfio_msi_setup, (vfio_msix_disable, vfio_msi_disable)
    )
    heard = set(vfio_msi_interrupt["name"]) if vfio_msi_interrupt is not None else set()
    assigned = {
        (dev, name): spans
        for (dev, name), spans in (_spans(accesses) if accesses is not None else {}).items()
        if name not in heard and not _interrupted(irq_handler_entry, name)
    }
    found = [_finding(dev, slot, spans) for (dev, slot), spans in (traced | assigned).items() if spans and all(s.mute for s in spans)]
    if lspci_device is not None and lspci_capability is not None and lspci_command is not None:
        snapshots = _snapshots(lspci_device, lspci_capability, lspci_command)
        found += [f for f in snapshots if not _interrupted(irq_handler_entry, str(f.subject.bdf))]
    yield from found
    unknown = [slot for (_, slot), spans in traced.items() if spans and not any(s.command for s in spans)]
    if (unknown or not traced) and msix_write_config is not None:
        which = f" of {', '.join(unknown[:4])}" if unknown else ""
        yield inconclusive(f"MSI-X was enabled, and no access to the command register{which} is recorded", RECORD)
    else:  # holds only where nothing was found
        yield _last_users(traced) or clear(ALLOWED)


def device_spans(enables: pl.DataFrame, writes: pl.DataFrame, reads: pl.DataFrame | None) -> dict[tuple[str, str], list[Span]]:
    """Return the enabled spans of each device of a QEMU log: (type, place) -> spans."""
    last_write = writes.sort("line").select("source", "dev", "slot", "line", pl.col("line").alias("write"))
    msix = enables.sort("line").join_asof(last_write, on="line", by=["source", "dev"], check_sortedness=False).drop_nulls("slot")
    accesses = [writes] if reads is None else [writes, reads]
    commands = pl.concat([f.filter(pl.col("offset") == COMMAND).select("source", "line", "dev", "slot", "value") for f in accesses])
    mine = commands.join(msix.select("source", "dev", "slot").unique(), on=["source", "dev", "slot"], how="semi")
    events = pl.concat([msix.select("source", "line", "dev", "slot", "write", "enabled", "masked"), mine], how="diagonal").sort(
        "source", "line"
    )
    return _spans(events)


def _spans(events: pl.DataFrame) -> dict[tuple[str, str], list[Span]]:
    devices: dict[tuple[str, str], _Device] = {}
    for e in events.iter_rows(named=True):
        devices.setdefault((e["dev"], e["slot"]), _Device()).hear(e)
    return {place: d.spans for place, d in devices.items()}


class _Device:
    """Follows one device: its command register, and the span that is open."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.open: Span | None = None
        self.command: int | None = None
        self.command_line: int | None = None

    def hear(self, e: Mapping[str, Any]) -> None:
        if e["value"] is not None:
            self.command, self.command_line = int(e["value"]), e["line"]
            if self.open is not None:
                self.open.command.append(self.command)
        elif e["enabled"] and not e["masked"]:
            self._enable(e)
        elif self.open is not None:
            self.open.end, self.open = e["line"], None

    def _enable(self, e: Mapping[str, Any]) -> None:
        if self.open is None:
            known = [self.command] if self.command is not None else []
            self.open = Span(e["source"], e["write"], e["line"], command_line=self.command_line, command=known)
            self.spans.append(self.open)


def _last_users(traced: Mapping[tuple[str, str], list[Span]]) -> Verdict | None:
    """Return why it is open whether bus mastering was on: the last user of a device never set it, after others had."""
    for (dev, slot), spans in traced.items():
        last = list(takewhile(lambda s: s.mute, reversed(spans)))
        if last and all(s.end is not None for s in last):
            where = f"in its last {times(len(last), 'span')} (line {last[-1].enable} of {last[-1].source})"
            told = f"{slot} ({dev}) had MSI-X on and bus mastering off {where}, and on in earlier ones"
            return inconclusive(f"{told}: whether it was to interrupt then is not in the log", RECORD)
    return None


def _finding(dev: str, slot: str, spans: list[Span]) -> Finding:
    closed = any(s.end is not None for s in spans)
    first = spans[0]
    what = "MSI-X" if dev != ASSIGNED else "MSI or MSI-X"
    evidence = [Evidence(first.source, first.command_line, "cause")] if first.command_line is not None else []
    evidence += [Evidence(s.source, s.write, "cause", s.enable) for s in spans[:MOST]]
    evidence += [Evidence(first.source, first.end, "context")] if first.end is not None else []
    values = sorted({c for s in spans for c in s.command})
    # One without a disable may be cut off just before the driver sets the bit.
    return Finding(
        f"{slot} ({dev}) had {what} on in {times(len(spans), 'span')} and bus mastering off in all of them (command register "
        f"{', '.join(f'0x{v:x}' for v in values[:4])})",
        "proven" if closed else "possible",
        in_order(evidence),
        subject=_subject(dev, slot),
        advice="Set bus mastering before the device is used: pci_set_master in a driver, the command register through VFIO.",
        values={"device": dev, "spans": len(spans), "command": values},
        unchecked=(Unchecked("the same device in another log: this one has no clock", "a trace with BDFs of the same run"),),
    )


def _subject(dev: str, slot: str) -> Subject:
    """Name the function: QEMU prints bus:device.function of segment 0; before 7.0 device:function of bus 0."""
    if dev == ASSIGNED:
        return Subject(slot, bdf=full_bdf(slot)) if BDF.fullmatch(slot) else Subject(slot, "unknown")
    if "." in slot:
        return Subject(f"{slot} ({dev})", bdf=full_bdf(slot))
    device, _, function = slot.partition(":")
    return Subject(f"{slot} ({dev})", bdf=full_bdf(f"00:{device}.{function}"))


def _snapshots(devices: pl.DataFrame, capabilities: pl.DataFrame, commands: pl.DataFrame) -> list[Finding]:
    """Functions that `lspci -vv` shows with MSI or MSI-X on, unmasked, and bus mastering off."""
    if not (commands["bus_master"] == "-").any():
        return []
    named = devices.sort("line").select("source", "line", pl.col("line").alias("device_line"), "bdf", "class_name")
    off = commands.filter(pl.col("bus_master") == "-").sort("line").join_asof(named, on="line", by="source", check_sortedness=False)
    off = off.filter(~pl.col("class_name").str.contains(IOMMU))
    on = capabilities.filter((pl.col("enable") == "+") & (pl.col("masked").fill_null("-") != "+")).sort("line")
    on = on.join_asof(named, on="line", by="source", check_sortedness=False)
    both = on.select("source", "device_line", "line", "kind", "count").join(
        off.select("source", "device_line", "bdf", pl.col("line").alias("command")), on=["source", "device_line"]
    )
    return [_snapshot(r) for r in both.drop_nulls("bdf").sort("source", "line").to_dicts()]


def _snapshot(r: Mapping[str, Any]) -> Finding:
    bdf = full_bdf(r["bdf"])
    return Finding(
        f"{bdf} has {r['kind']} on and bus mastering off in a snapshot of its config space",
        "possible",
        (Evidence(r["source"], r["command"], "cause"), Evidence(r["source"], r["line"], "cause")),
        subject=Subject(bdf, bdf=bdf),
        advice="If it stays so while the device is in use, no interrupt can leave it: set bus mastering.",
        values={"kind": r["kind"]},
        unchecked=(Unchecked("whether it stays so while the device is in use", RECORD),),
    )


def _interrupted(handlers: pl.DataFrame | None, bdf: str) -> bool:
    return handlers is not None and bool(handlers["name"].str.contains(f"({bdf})", literal=True).any())
