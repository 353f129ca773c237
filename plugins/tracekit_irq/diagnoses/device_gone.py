"""IRQ-009: a device does not answer at all, so no interrupt of it can come."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from tracekit import HOST, Finding, Subject, Unchecked, Verdict, at, diagnosis, full_bdf, in_order, near, times
from tracekit_irq.evidence import Rows, shown, sorted_rows
from tracekit_irq.unplugged import at_one_moment, still_there

NEAR = 4  # lines of a message
SOUND = "snd_hda_intel"  # the driver of a GPU's sound function, which sleeps with the GPU
RECORD = "dmesg from before the device was last used; lspci -vv of it and of the port above it"


@diagnosis(
    "irq.device-gone",
    code="IRQ-009",
    severity="info",
    record=RECORD,
    log="boot",
)
def device_gone(
    pci_unreachable: pl.DataFrame | None = None,
    pci_not_ready: pl.DataFrame | None = None,
    pci_link_lost: pl.DataFrame | None = None,
    gpu_off_bus: pl.DataFrame | None = None,
    gpu_named: pl.DataFrame | None = None,
    nvme_all_ones: pl.DataFrame | None = None,
    nvme_queues: pl.DataFrame | None = None,
    usb_host_dead: pl.DataFrame | None = None,
    pci_unplugged: pl.DataFrame | None = None,
    qemu_power_stuck: pl.DataFrame | None = None,
    qemu_device_error: pl.DataFrame | None = None,
    qemu_pin_absurd: pl.DataFrame | None = None,
    pci_function: pl.DataFrame | None = None,
) -> Iterator[Finding | Verdict]:
    """The device is off the bus or asleep for good: that is why no interrupts come, and MSI is not the cause.

    What it finds: a power state that cannot be changed (`device inaccessible`), a reset that the device does not come back from (`not
    ready ... giving up`), a lost link, registers that read all ones, a GPU that has fallen off the bus, a fatal error for which QEMU stops
    the guest or, over an interrupt pin that reads all ones, ends itself (probable). It informs and is no alarm. Possible: a USB host that
    its driver takes for dead, or a GPU's sound function in D3, where the GPU is often switched off on purpose.
    Why it matters: whoever looks for a lost interrupt here looks in the wrong place; vectors, masks and remapping are not to blame.
    Stays quiet when: the kernel still waits and the device comes back (`waiting` alone), or its config space still answers and its driver
    sets it up again, or it was taken out of its slot or dock at that moment.
    Affected: any kernel.
    What to do: look at power, link and reset of the device: ASPM, D3cold, the slot, firmware, the hypervisor's choice of reset.
    References: drivers/pci/pci.c, pci_power_up() and pci_dev_wait(); drivers/nvme/host/pci.c, nvme_warn_reset().
    """
    given_up = pci_not_ready.filter(pl.col("next").fill_null("giving up") == "giving up") if pci_not_ready is not None else None
    frames = (pci_unreachable, given_up, pci_link_lost, qemu_device_error, qemu_pin_absurd)
    named = {f["device"]: f["bdf"] for f in sorted_rows(pci_function)}
    gone = [r for f in frames for r in sorted_rows(f)]
    gone += [{**r, "asleep": "D3"} for r in sorted_rows(qemu_power_stuck)]
    gone += [{**r, "guess": True} for r in sorted_rows(usb_host_dead)]
    gone += [r for r in sorted_rows(nvme_all_ones) if not _came_back(r, nvme_queues)]
    heads = sorted_rows(gpu_named)
    gone += [{**r, "bdf": _above(r, heads)} for r in sorted_rows(gpu_off_bus)]
    there = still_there(gone, sorted_rows(pci_unplugged))
    cards = [sorted(mine, key=lambda r: (r["source"], r["line"])) for mine in _by_card(there, named).values()]
    for group in at_one_moment(cards):
        yield _finding(group[0]) if len(group) == 1 else _several(group)


def _came_back(r: Mapping[str, Any], queues: pl.DataFrame | None) -> bool:
    """Return whether a controller whose registers read all ones still had a config space that answers, and was set up again."""
    answers = (r["rest"] or "").startswith("PCI_STATUS=0x") and not r["rest"].startswith("PCI_STATUS=0xffff")
    if not answers or queues is None:
        return False
    again = (pl.col("source") == r["source"]) & (pl.col("device") == r["device"]) & (pl.col("line") > r["line"])
    return queues.filter(again).height > 0


def _above(r: Mapping[str, Any], named: Rows) -> str | None:
    """Return the GPU that a line just above names."""
    return next((n["bdf"] for n in reversed(named) if near(n, r, NEAR)), None)


def _by_card(rows: Rows, named: Mapping[str, str]) -> dict[str | None, Rows]:
    """Return the rows of each card, with the function of each (`of`): what names none belongs to the only card there is."""
    cards: dict[str | None, Rows] = {}
    for r in rows:
        function = r.get("bdf") or named.get(r.get("device") or "") or r.get("device") or _told(r.get("who")) or _told(r.get("name"))
        card = function.rpartition(".")[0] or function if function else None
        only = next(iter(cards)) if card is None and len(cards) == 1 else card
        cards.setdefault(only, []).append({**r, "of": function})
    return cards


def _told(who: str | None) -> str | None:
    """Return the function in `GPU 0000:01:00.0: `, `Xid (PCI:0000:01:00): ` (a GPU is function 0) or QEMU's name of a device, if any."""
    m = re.search(r"(?P<slot>[0-9a-f]{4,5}:[0-9a-f]{2}:[0-9a-f]{2})(?P<function>\.[0-7])?(?![0-9a-f])", who or "")
    return m["slot"] + (m["function"] or ".0") if m else None


def _several(cards: list[Rows]) -> Finding:
    """Return one remark on devices that could not be put to sleep in the same second, as those behind one bridge or cable."""
    rows = [r for mine in cards for r in mine]
    names = [full_bdf(mine[0]["of"]) if mine[0]["of"] else "an unnamed device" for mine in cards]
    return Finding(
        f"{times(len(cards), 'device')} ({', '.join(names[:8])}) did not answer as they were put to sleep, in the same second; no "
        "interrupt of them can come, and MSI is not the cause",
        "proven",
        in_order(at(r) for r in shown(rows)),
        subject=HOST,
        advice="Look at what they share: a bridge above them, a cable, a dock; not at their vectors.",
        values={"count": len(rows), "functions": sorted({r["of"] for r in rows if r["of"]})},
        unchecked=(Unchecked("why they left the bus", RECORD),),
    )


def _perhaps(rows: Rows, full: str) -> str | None:
    """Return what rows tell that do not prove that the device is gone; None where one does."""
    drivers = {r.get("driver") for r in rows}
    if all(r.get("guess") for r in rows):
        return (
            f"{full} may not answer: its driver takes it for dead ({times(len(rows), 'line')}); where it is off the bus, no interrupt of "
            "it can come; where a command of it had timed out just before, an interrupt may have been lost"
        )
    if drivers == {SOUND} and all(r.get("asleep") is not None for r in rows):
        return (
            f"{full} does not leave {rows[0]['asleep']} ({times(len(rows), 'line')}): where its GPU is switched off on purpose (runtime "
            "power management, switcheroo) that is no fault, and else no interrupt of it can come"
        )
    return None


def _finding(rows: Rows) -> Finding:
    first = next((r for r in rows if r["of"]), rows[0])
    functions = sorted({r["of"] for r in rows if r["of"]})
    if first.get("to") is not None:
        what = f"its power state cannot be changed from {first['from']} to {first['to']}"
    elif first.get("from") is not None or first.get("asleep") is not None:
        what = f"it does not leave {first.get('from') or first['asleep']}"
    elif first.get("reset") is not None:
        within = f" within {first['ms']} ms" if first["ms"] is not None else ""
        what = f"it did not come back{within} after {first['reset']}"
    elif all("name" in r for r in rows):
        what = "it reported a fatal error, for which QEMU stops its guest"
    elif first.get("condition") is not None:
        what = "its interrupt pin reads as none that exists, over which QEMU ended itself: its config space reads all ones"
    else:
        what = "it is off the bus or its registers read all ones"
    full = first["of"] and full_bdf(first["of"])
    device = full or "a device"
    perhaps = _perhaps(rows, device)
    return Finding(
        perhaps or f"{device} does not answer: {what} ({times(len(rows), 'line')}); no interrupt of it can come, and MSI is not the cause",
        "possible" if perhaps else "probable" if all("condition" in r for r in rows) else "proven",
        in_order(at(r) for r in shown(rows)),
        subject=Subject(full, bdf=full if ":" in full else None, aliases=tuple(f for f in functions if f != first["of"]))
        if full
        else Subject("an unnamed device", "unknown"),
        advice="Look at power, link and reset of the device (D3cold, ASPM, the slot, the way it is reset), not at its vectors.",
        values={"count": len(rows), "functions": functions},
        unchecked=(Unchecked("why it left the bus", RECORD),),
    )
