"""Which guest has which function of the host, as QEMU's command lines state it."""

import re
from typing import ClassVar

from tracekit import VM_DEVICES, Model, Row, Table, full_bdf

# `-name guest=vm1,debug-threads=on`, `-name 'vm1,debug-threads=on'`, `-name vm1`
NAME = re.compile(r"-name [\"']?(?:guest=)?(?P<name>[^\s,\"']+)")
# `vfio-pci,host=0000:01:00.0`, `"driver":"vfio-pci","host":"0000:01:00.0"`
ASSIGNED = re.compile(r"vfio-pci[^\s}]{0,400}?\bhost\"?[=:] ?\"?(?P<bdf>(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])")


class VmDevices(Model):
    """Pair each device of a command line with the guest that the line, or the option above it, names."""

    tables: ClassVar[tuple[Table, ...]] = (VM_DEVICES,)

    def __init__(self) -> None:
        super().__init__()
        self.vm: dict[str, str] = {}  # the guest that a source named last

    def on_vm_command(self, e: Row) -> None:
        """Read the guest's name, and the devices on the same line."""
        named = NAME.search(e.command)
        if named is not None:
            self.vm[e.source] = named["name"]
            self._give(e, e.command)

    def on_vm_option(self, e: Row) -> None:
        """Read a device on a line of its own."""
        self._give(e, e.option)

    def _give(self, e: Row, text: str) -> None:
        if (vm := self.vm.get(e.source)) is not None:
            for device in ASSIGNED.finditer(text):
                self.emit("vm_devices", e, vm=vm, bdf=full_bdf(device["bdf"]), line_end=e.line)
