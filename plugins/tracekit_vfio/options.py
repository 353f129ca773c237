"""Options of QEMU that stand before a message: which function of the host a device is."""

import re

# `-device vfio-pci,host=09:00.0,id=hostdev0: `, `vfio 0000:01:00.0: `
_HOST = re.compile(
    r"(?:(?:^|: )vfio (?P<told>(?:[0-9a-f]{4,5}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]): "
    r"|[, ]vfio-pci(?:[a-z-]*),(?:[^ ]*,)?host=(?P<option>(?:[0-9a-f]{4,5}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])[,: ])"
)


def host_of(where: str | None) -> str | None:
    """Return the function that QEMU names before its message; null where it names none."""
    found = _HOST.search(where or "")
    return found and (found["told"] or found["option"])
