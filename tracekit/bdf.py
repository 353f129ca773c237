"""The address of a PCI function in its full form."""

import re

# `00:09.0`, `0x64:0x00.5`, `0000:f0:1f.0`, `10000:e1:00.0`
_PRINTED = re.compile(r"(?:(?:0x)?([0-9a-fA-F]{4,8}):)?(?:0x)?([0-9a-fA-F]{1,2}):(?:0x)?([0-9a-fA-F]{1,2})\.(?:0x)?([0-7])")


def full_bdf(printed: str) -> str:
    """Return segment:bus:device.function as the kernel prints it, with segment 0 where none is printed.

    What is no BDF comes back as it is.
    """
    m = _PRINTED.fullmatch(printed)
    if m is None:
        return printed
    segment, bus, device = (int(part or "0", 16) for part in m.groups()[:3])
    return f"{segment:04x}:{bus:02x}:{device:02x}.{m[4]}"
