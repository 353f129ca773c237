#!/usr/bin/env drgn
"""Print the size of each PCI function's own irq domain, and of its MSI-X table, of a live kernel or a core dump.

    drgn hwsizes.py > hwsizes.txt
    drgn -c vmcore -s vmlinux hwsizes.py > hwsizes.txt

It needs drgn, the kernel's debug information, and nothing of tracekit; `tracekit analyze` reads
what it prints. A domain smaller than its table refuses the next request beyond it with -34.

Read are `device.msi.data` (since Linux 5.17), `msi_device_data.__domains[0].domain`, `irq_domain.bus_token` and `.host_data`, and
`msi_domain_info.hwsize` (since 6.2). Older kernels, Xen, and functions below a global domain have no domain of their own. The size of the
table is not in the kernel's memory: of a live kernel it is read from the configuration space in sysfs, of a core dump it is what vfio-pci
saw when the device was opened, and of other drivers unknown.

Tried against a memory image with these structures, made by hand (tests/diagnosing/test_hwsizes.py), since no core dump could be had: that a
distribution's kernel has all of these members, and the size that vfio-pci keeps, are from the sources of Linux 6.1 to 6.16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

KINDS = {"DOMAIN_BUS_PCI_DEVICE_MSI": "MSI", "DOMAIN_BUS_PCI_DEVICE_MSIX": "MSI-X"}
ENTRY = 16  # bytes of an entry of the MSI-X table
Cast = Callable[[str, Any], Any]


def functions(bus: Any, entries: Callable[[str, Any, str], Iterable[Any]]) -> Iterator[Any]:
    """Yield the functions on a bus and below. `entries`: drgn's `list_for_each_entry`."""
    yield from entries("struct pci_dev", bus.devices.address_of_(), "bus_list")
    for below in entries("struct pci_bus", bus.children.address_of_(), "node"):
        yield from functions(below, entries)


def lines(prog: Any, devices: Iterable[Any], cast: Cast, sysfs: Path | None) -> Iterator[str]:
    """Yield a line for each function with an irq domain of its own. `sysfs`: /sys of a live kernel."""
    try:
        kinds = {int(prog[name]): kind for name, kind in KINDS.items()}
    except LookupError:
        kinds = {}
    for device in devices if kinds else ():
        try:
            line = _line(device, kinds, cast, sysfs)
        except Exception as error:  # memory that a live kernel freed meanwhile, or that a core dump lacks
            line = f"# {_text(device.dev.kobj.name)}: cannot be read: {error}"
        if line:
            yield line


def _line(device: Any, kinds: dict[int, str], cast: Cast, sysfs: Path | None) -> str:
    data = device.dev.msi.data
    domain = data.__domains[0].domain if data else None
    kind = kinds.get(int(domain.bus_token)) if domain else None
    if not domain or not kind:
        return ""
    name = _text(device.dev.kobj.name)
    hwsize = int(cast("struct msi_domain_info *", domain.host_data).hwsize)
    driver = _text(device.dev.driver.name) if device.dev.driver else "none"
    size, origin = _table(device, name, driver, cast, sysfs) if kind == "MSI-X" else (0, "")
    told = f" table {size} ({origin})" if size else ""
    small = "; the irq domain is smaller than the table" if size > hwsize > 0 else ""
    on = device.msix_enabled if kind == "MSI-X" else device.msi_enabled
    return f"tracekit-hwsize: {name} {kind} hwsize {hwsize}{told} {'enabled' if int(on) else 'disabled'} driver {driver}{small}"


def _table(device: Any, name: str, driver: str, cast: Cast, sysfs: Path | None) -> tuple[int, str]:
    """Return the entries of the MSI-X table and where that is from; 0 where it is not known."""
    if sysfs is not None:
        return of_config((sysfs / "bus/pci/devices" / name / "config").read_bytes(), int(device.msix_cap)), "config"
    if driver != "vfio-pci" or not device.dev.driver_data:
        return 0, ""
    try:
        return int(cast("struct vfio_pci_core_device *", device.dev.driver_data).msix_size) // ENTRY, "vfio-pci"
    except LookupError:  # no debug information of the module
        return 0, ""


def of_config(config: bytes, capability: int) -> int:
    """Return the size of the table that configuration space tells; 0 where it does not, or the device is gone (all ones)."""
    control = int.from_bytes(config[capability + 2 : capability + 4], "little")
    return (control & 0x7FF) + 1 if capability and len(config) >= capability + 4 and control != 0xFFFF else 0


def _text(pointer: Any) -> str:
    return str(pointer.string_().decode(errors="replace"))


def main(prog: Any) -> None:
    """Print the kernel's banner, then a line for each function."""
    import drgn
    from drgn.helpers.linux.list import list_for_each_entry

    def cast(kind: str, pointer: Any) -> Any:
        return drgn.cast(prog.type(kind), pointer)

    live = bool(prog.flags & drgn.ProgramFlags.IS_LIVE)
    print(prog["linux_banner"].string_().decode(errors="replace").strip())
    print("# a live kernel" if live else "# a core dump")
    buses = list_for_each_entry("struct pci_bus", prog["pci_root_buses"].address_of_(), "node")
    devices = (device for bus in buses for device in functions(bus, list_for_each_entry))
    told = False
    for line in lines(prog, devices, cast, Path("/sys") if live else None):
        print(line)
        told = True
    if not told:
        print("# no function has an irq domain of its own")


if __name__ == "__main__":
    main(globals()["prog"])
