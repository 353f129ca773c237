"""Options of QEMU that stand before a message: which function of the host a device is."""

import re

from tracekit import full_bdf

_BDF = r"((?:[0-9a-f]{4,5}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])"
_TOLD = re.compile(rf"(?:^|: )vfio {_BDF}: ")
# -device vfio-pci,host=09:00.0,id=a: ;  -device {"driver":"vfio-pci","host":"0000:09:00.0","id":"a"}:
_OPTION = re.compile(rf"(?:,(?:host=|sysfsdev=[^,: ]*/)|\"host\":\"){_BDF}(?:[,: \"]|$)")
_DRIVER = re.compile(r"vfio-pci|pci-assign")
_PLACE = re.compile(r"([0-9]+)/([0-9]+)/([0-7])")


def host_of(where: str | None) -> str | None:
    """Return the function that QEMU names before its message (`vfio 0000:01:00.0: `, `-device vfio-pci,host=09:00.0,id=a: `), or null."""
    found = _TOLD.search(where or "") or (_OPTION.search(where) if where and _DRIVER.search(where) else None)
    return full_bdf(found[1]) if found else None


def at_place(place: str | None) -> str | None:
    """Return the function that acrn-dm and bhyve name by bus, slot and function in decimal (`3/0/0`), or null."""
    found = _PLACE.fullmatch(place or "")
    return full_bdf(f"{int(found[1]):02x}:{int(found[2]):02x}.{found[3]}") if found else None
