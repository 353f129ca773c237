"""Arguments of calls: what the recorder's names mean.

Best first: a probe's definition (register or `$argN`), the name `argN`, the names a function's parameters are known by; any other value is
kept under the recorder's own name and means nothing.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from tracekit_linux.calls.functions import REGISTERS, RETURN_NAMES, bare, parameter, signed

# ` vdev=0xff1100 flags=0x24 name="msi-x" data={1,2}`, and in function_graph `pdev=0xff, mode=0 [ALLOW_LEGACY]`.
FIELD = re.compile(r'(?<!\w)(\w++)=("(?:[^"\\]|\\.)*"|\{[^}]{0,4000}\}|[^\s,]+)')
# `vdev=%di`, `index=$arg3:u32`, `ret=$retval:s32`, `hwsize=+0x18(%si):u32` in a definition.
FETCH = re.compile(r"(?:(?<!\w)(\w++)=)?([%$+@\\-]\S*)")

Arg = tuple[str, int | None, str]  # name, value, text
Fetches = Mapping[str, str]


def fields(text: str | None) -> list[tuple[str, str]]:
    """Return the `name=value` pairs of an argument text, in order."""
    return FIELD.findall(text) if text else []


def number(text: str) -> int | None:
    """Return the value as a signed 64-bit pattern, null if it is no number."""
    try:
        return signed(int(text, 16 if text[:2] in ("0x", "0X") else 10), 64)
    except ValueError:
        return None


def fetches(text: str | None) -> dict[str, str]:
    """Return what a definition fetches, by argument name: `{"vdev": "%di", "ret": "$retval"}`."""
    found = {}
    for n, (name, what) in enumerate(FETCH.findall(text or ""), 1):
        found[name or f"arg{n}"] = what.partition(":")[0]
    return found


def meant(function: str | None, pairs: list[tuple[str, str]], defined: Fetches) -> list[Arg]:
    """Return the arguments of a call under the names of the function's parameters where these are known."""
    return [(_meaning(function, name, defined.get(name)), number(text), text) for name, text in pairs]


def returned(pairs: list[tuple[str, str]], defined: Fetches) -> int | None:
    """Return the return value among the fields of a return event: the one fetched from `$retval`, the only one, or the one named so."""
    by_definition = [t for n, t in pairs if defined.get(n) == "$retval"]
    by_name = [t for n, t in pairs if n.lower() in RETURN_NAMES]
    for texts in (by_definition, [t for _, t in pairs] if len(pairs) == 1 else [], by_name):
        if texts:
            return number(texts[0])
    return None


@lru_cache(maxsize=4096)
def _meaning(function: str | None, name: str, fetch: str | None) -> str:
    """Return the parameter that the argument `name` is, or `name` itself."""
    return (parameter(function, name, _argument(fetch or "")) if function else None) or name


def _argument(fetch: str) -> int | None:
    """Return the number of the argument that `%di` or `$arg2` fetches."""
    if fetch.startswith("$arg") and fetch[4:].isdigit():
        return int(fetch[4:]) - 1
    return REGISTERS.get(fetch[1:]) if fetch.startswith("%") else None


def function_of(location: str) -> str | None:
    """Return the function that a definition probes: `vfio_pci_core:vfio_msi_disable+4` is `vfio_msi_disable`; null for addresses."""
    name = re.split(r"[+%]", location.rpartition(":")[2])[0]
    return bare(name) if re.match(r"[A-Za-z_]", name) else None
