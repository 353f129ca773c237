"""Values of a diagnosis' settings: read from text by the type that the setting has, with units."""

import re
from typing import Any

_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_UNIT = re.compile(r".*_(ns|us|ms|s)")  # timeout_s
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ns|us|ms|s|min|h)?")  # 10ms, 1.5 s, 120
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")  # 25%


def value(name: str, given: Any, default: Any) -> Any:
    """Return a value as its setting has it: `2min` is 120 for `timeout_s`, `25%` is 0.25. Errors: ValueError that says what fits."""
    if isinstance(default, bool):
        return _flag(given)
    if isinstance(default, int | float):
        return _number(name, given, type(default))
    if isinstance(default, str):
        return str(given)
    raise ValueError(f"it is a {type(default).__name__}, which cannot be set")


def unit(name: str) -> str:
    """Return the unit at the end of a setting's name; empty where it has none."""
    m = _UNIT.fullmatch(name)
    return m[1] if m else ""


def _flag(given: Any) -> bool:
    if isinstance(given, bool):
        return given
    if str(given).lower() in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        return str(given).lower() in ("true", "yes", "on", "1")
    raise ValueError("give true or false")


def _number(name: str, given: Any, kind: type[int] | type[float]) -> int | float:
    of, text = unit(name), str(given)
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise ValueError("give a number")
    if of and (m := _SPAN.fullmatch(text)):
        told = float(m[1]) * _NS[m[2] or of] / _NS[of]
    elif kind is float and (m := _SHARE.fullmatch(text)):
        told = float(m[1]) / 100
    else:
        try:
            told = float(text)
        except ValueError:
            raise ValueError(f"give a time, as in 10{of}" if of else "give a number" + (" or a share" if kind is float else "")) from None
    if kind is int and told != int(told):
        raise ValueError(f"give a whole number{f' of {of}' if of else ''}")
    return kind(told)
