"""What a refusal of vectors or irqs led to: a driver that gave up on its device, or goes on without, or a panic."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from tracekit import EBUSY, EINVAL, ENOSPC, ENOSYS, ENOTSUPP, EOPNOTSUPP, EPERM, ERANGE, Finding, distinct, ended_by, near, span
from tracekit_msi.no_irq import ENOTCONN, SOON_MS, Places

SAYS = {"NVRM": "nvidia"}  # what a driver calls itself in its messages, and its name
SAME_PROBE = 8  # lines in which a driver that names no device gives up on it
GONE_LINES, GONE_MS = 200, 60_000  # a driver that gives up says so soon; stamps of seconds tell that
OF_IRQS = (ENOSPC, EBUSY, EINVAL, ERANGE, ENOTSUPP, EOPNOTSUPP, ENOTCONN)  # what the last kind of interrupt is refused with
OF_NO_MSI = (None, EPERM, EINVAL, ENOSYS)  # what an enable returns where MSI is off (drivers/pci/msi), up to 3.13 -1
OFF = "Nothing is short: MSI is off for {}. A driver that works with a line of the device (INTx) does not need it; else {}."
OPTION = "take `nomsi` out of the kernel's command line, and see what it was to cure"
FIRMWARE = "update the firmware, which says so in its FADT"
CHIPSET = "see which fault of the chipset the kernel's quirk is for, and try another slot"
PANICS = 4  # of those below a refusal: the first one ends the boot
# Drivers of devices that a root file system may lie on: drives, their controllers, USB's, and the buses below which they are.
STORAGE = re.compile(
    r"nvme|ahci|(?:^|_)[sp]?ata|scsi|sas|raid|^mpt|^mpi[0-9]|mmc|sdhci|ufs|^virtio[-_](?:pci|blk|scsi)|blk|[xeou]hci|^vmd|hpsa|smartpqi|"
    r"lpfc|qla2|qla4|bfa|fnic|^aac|^aic|arcmsr|^3w|isci|mvumi|pm80|pm8001|cciss|^ipr|^ips$|stex|esas|mtip|dasd|zfcp|rtsx|csiostor|qedf|qedi"
)
FIRST = re.compile(r"(?P<driver>[a-z][a-z0-9]*?)(?:_?cm)?0")  # how a driver calls the first of its devices: mpt3sas_cm0, mpi3mr0


def who(r: Mapping[str, Any]) -> str:
    """Return what a row is about: its function, else its device, else its driver."""
    return str(r.get("bdf") or r.get("device") or r.get("driver") or "an unnamed device")


def rows(frame: pl.DataFrame | None) -> list[dict[str, Any]]:
    """Return the rows of a table; none of a table that the input does not fill."""
    return frame.to_dicts() if frame is not None else []


def placed(told: list[dict[str, Any]], enabled: pl.DataFrame | None) -> list[dict[str, Any]]:
    """Return refusals, those of a driver's first instance (`mpt3sas_cm0`) with the function that it drives, if only one was enabled."""
    functions: dict[tuple[str, str], set[str]] = {}
    for r in rows(enabled):
        functions.setdefault((r["source"], r["driver"]), set()).add(r["bdf"])
    return [_placed(r, functions) for r in told]


def _placed(r: dict[str, Any], functions: Mapping[tuple[str, str], set[str]]) -> dict[str, Any]:
    first = FIRST.fullmatch(r["driver"] or "") if r["bdf"] is None and r["device"] in (None, r["driver"]) else None
    own = functions.get((r["source"], first["driver"]), set()) if first is not None else set()
    return (
        {**r, "bdf": next(iter(own)), "how": f"the only function of {first['driver']} here"} if first is not None and len(own) == 1 else r
    )


class Ends:
    """What a refusal can lead to: drivers that give up on a device, and panics."""

    def __init__(
        self,
        gone: pl.DataFrame | None,
        panics: pl.DataFrame | None,
        used: pl.DataFrame | None,
        up: pl.DataFrame | None,
        off: pl.DataFrame | None,
    ) -> None:
        self.panics = Places(rows(panics), lambda r: r["source"])
        self.used = Places(rows(used) + rows(up), lambda r: (r["source"], who(r)))
        self.off = next(iter(sorted(rows(off), key=lambda r: (r["below"] is not None, r["source"], r["line"]))), None)
        self.gone = Places(rows(gone), lambda r: (r["source"], who(r)))
        self.in_order = Places(rows(gone), lambda r: r["source"])

    def given_up(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the line in which the driver gives up on the device soon after the refusal."""
        gone = self.gone.below(row)
        if gone is None or row.get("falls_back") and int(gone["ret"]) not in OF_IRQS:
            return None  # another kind of interrupt was there: `error -5` is of the device
        return gone if near(row, gone, GONE_LINES, GONE_MS) else None

    def errno(self, row: Mapping[str, Any]) -> int | None:
        """Return the errno of a refusal: of the line in which the driver gives up at once, where its own words have none."""
        gone = self.given_up(row) if row["errno"] is None else None
        if gone is None or not near(row, gone, SAME_PROBE, SOON_MS):
            return _errno(row["errno"])
        return int(gone["ret"]) if int(gone["ret"]) in OF_IRQS else None

    def served(self, row: Mapping[str, Any]) -> bool:
        """Return whether the driver got vectors at a later try of the same probe, or brought its link up without."""
        used = self.used.below(row)
        return used is not None and near(row, used, GONE_LINES, GONE_MS)

    def named(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a refusal that names no function (`drv_probe: ...`, `drv phy0: ...`) with the one on which that driver gives up next."""
        if row["bdf"] or not row["driver"]:
            return row
        soon = (g for g in self.in_order.next(row, SAME_PROBE) if near(row, g, SAME_PROBE, SOON_MS if row["device"] else GONE_MS))
        driver = SAYS.get(row["driver"], row["driver"])
        own = next((g for g in soon if g["driver"] and driver.startswith(g["driver"]) and row["errno"] in (None, int(g["ret"]))), None)
        return {**row, "bdf": own["bdf"], "device": own["device"]} if own is not None else row

    def panicked(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the panic that the refusal led to: one about interrupts, or of a root device that may be the one that was refused."""
        return ended_by(row, self.panics.next(row, PANICS), root=STORAGE.search(row.get("driver") or "") is not None)

    def of(self, row: Mapping[str, Any], finding: Finding) -> Finding:
        """Return the finding with the severity of the refusal's consequence, and the lines that show it and its reason."""
        finding = self._turned_off(row, finding)
        dead, panic = self.given_up(row), self.panicked(row)
        if dead is None and panic is None:
            return replace(finding, severity="low") if self.served(row) and not row.get("of_vfs") else finding
        effects = (e for r in (dead, panic) if r is not None for e in span(r["source"], r["line"], role="effect"))
        severity = "critical" if panic is not None else "high"
        return replace(finding, severity=severity, evidence=distinct((*finding.evidence, *effects)))  # type: ignore[arg-type]

    def _turned_off(self, row: Mapping[str, Any], finding: Finding) -> Finding:
        """Return the finding of vectors that were refused since the whole machine has no MSI, with the line that tells it."""
        off = self.off
        errno = row["errno"] if "errno" in row else _errno(row.get("ret"))
        if off is None or off["below"] or row.get("what") == "irq" or row.get("granted") is not None or errno not in OF_NO_MSI:
            return finding
        why, cure = ("by an option of the kernel", OPTION) if off["options"] else ("by the firmware", FIRMWARE)
        if off["bdf"]:
            why, cure = "for a quirk of the chipset", CHIPSET
        return replace(
            finding,
            summary=f"{finding.summary}: MSI is off {why}",
            severity="low",
            evidence=distinct((*span(off["source"], off["line"], role="cause"), *finding.evidence)),
            advice=OFF.format("the whole machine", cure),
        )


def _errno(ret: Any) -> int | None:
    return int(ret) if ret is not None else None
