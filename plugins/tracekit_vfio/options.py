"""Options of QEMU that stand before a message: which function of the host a device is."""

import re

_BDF = r"((?:[0-9a-f]{4,5}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])"
_TOLD = re.compile(rf"(?:^|: )vfio {_BDF}: ")
_OPTION = re.compile(rf",host={_BDF}(?:[,: ]|$)")
_PLACE = re.compile(r"([0-9]+)/([0-9]+)/([0-7])")


def host_of(where: str | None) -> str | None:
    """Return the function that QEMU names before its message (`vfio 0000:01:00.0: `, `-device vfio-pci,host=09:00.0,id=a: `), or null."""
    found = _TOLD.search(where or "") or (_OPTION.search(where) if where and "vfio-pci" in where else None)
    return found and found[1]


def at_place(place: str | None) -> str | None:
    """Return the function that acrn-dm and bhyve name by bus, slot and function in decimal (`3/0/0`), or null."""
    found = _PLACE.fullmatch(place or "")
    return f"{int(found[1]):02x}:{int(found[2]):02x}.{found[3]}" if found else None
