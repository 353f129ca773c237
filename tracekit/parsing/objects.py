"""JSON objects of log collectors as the lines that syslog or dmesg would have printed, whatever the keys are called."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

_MESSAGES = (
    *("MESSAGE", "msg", "message", "Message", "@message", "log", "short_message", "line", "textPayload", "_raw", "text"),
    *("body", "stringValue", "event"),
)
_TIMES = (
    *("@timestamp", "_time", "timestamp", "@time", "time", "ts", "datetime", "date", "t", "eventTime", "Timestamp", "timeUnixNano"),
    *("ingestionTime", "receiveTimestamp"),
)
_HOSTS = ("host", "hostname", "HOSTNAME", "_HOSTNAME", "Hostname", "nodename", "node_name", "node", "host.name", "computer")
_TAGS = ("SYSLOG_IDENTIFIER", "syslog_identifier", "ident", "appname", "app_name", "program", "component", "process", "tag", "service")
_ISO = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]{1,9}))?[0-9]*(Z|[+-][0-9]{2}:?[0-9]{2})?")
_OWN_DATE = re.compile(r"(?:<[0-9]{1,3}>(?:1 )?)?(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:)")
_DEEPEST = 4


def fields_of(text: str) -> dict[str, Any] | None:
    """Return the object that a text is, or None."""
    text = text.strip("\x1e ,\t\r\n").removeprefix("data: ").removeprefix("- ")
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def object_lines(fields: Mapping[str, Any]) -> list[str]:
    """Return a log record as lines; none if the object is no log record."""
    if "MESSAGE" in fields and isinstance(fields["MESSAGE"], str | list):
        return journal_lines(fields)
    if "msg" in fields and isinstance(fields.get("time"), int | float) and fields["time"] < 1e8:
        return _dmesg_lines(fields)
    if (
        isinstance(fields.get("log"), str)
        and isinstance(fields.get("time"), str)
        and fields_of(fields["log"]) is None
        and "stream" in fields
    ):
        return [f"{fields['time']} {fields['stream']} F {text}" for text in fields["log"].rstrip("\n").split("\n")]
    if "dt" in fields and "msg" in fields:
        return [f"{fields['dt']} {text}" for text in _value(fields["msg"]).split("\n")]
    return _collected(fields)


def printed(line: str) -> str:
    """Return a line as a reader wants to see it: of a JSON record time, host and message, of any other line all of it."""
    fields = fields_of(line) if line.lstrip("\x1e \t").startswith(("{", "data: {", "- {")) else None
    return "\n".join(object_lines(fields)) or line if fields is not None else line


def _dmesg_lines(fields: Mapping[str, Any]) -> list[str]:
    """Return a record of `dmesg --json` as lines."""
    caller = f"[{fields['caller']:>6}]" if "caller" in fields else ""
    level = f"{fields['fac']:<6}:{fields['pri']:<6}: " if "fac" in fields else f"<{fields.get('pri', 6)}>"
    return [f"{level}[{float(fields['time']):12.6f}]{caller} {text}" for text in _value(fields["msg"]).split("\n")]


def _collected(fields: Mapping[str, Any]) -> list[str]:
    """Return the record of a collector (fluentd, vector, Loki, Splunk, CloudWatch, GELF) as lines."""
    levels = list(_levels(fields))
    message = next((text for level in levels for key in _MESSAGES if isinstance(text := level.get(key), str) and text), "")
    if not message:
        return []
    if (inner := fields_of(message)) is not None and (lines := object_lines({**_without(fields, message), **inner})):
        return lines
    lines = message.strip().split("\n")
    if _OWN_DATE.match(message):
        return lines
    wall = next((wall for level in levels for key in _TIMES if key in level and (wall := _wall(level[key]))), "")
    host = next((text for level in levels for key in _HOSTS if _is_name(text := _named(level.get(key)))), "")
    tag = next((text for level in levels for key in _TAGS if _is_name(text := level.get(key))), "kernel")
    before = (
        f"{wall} {host} {tag}: " if wall and host else f"{wall} {tag}: " if wall else f"{host} kernel: " if host and tag == "kernel" else ""
    )
    return [before + text for text in lines]


def _levels(fields: Mapping[str, Any], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield an object and those inside it, outermost first."""
    yield fields
    for inner in fields.values():
        if isinstance(inner, dict) and depth < _DEEPEST:
            yield from _levels(inner, depth + 1)


def _without(fields: Mapping[str, Any], message: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value != message}


def _named(value: object) -> object:
    """Return what names a host: a text, or the `name` of an object."""
    return value.get("name") if isinstance(value, dict) else value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[^\s:\[\]]+", value) is not None


def _wall(value: object) -> str:
    """Return a time as ISO: text, or a number of s, ms, us or ns since 1970."""
    if isinstance(value, str) and (found := _ISO.match(value)):
        return f"{found[1]}T{found[2]}" + (f".{found[3]}" if found[3] else "") + (found[4] or "")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    number = re.fullmatch(r"([0-9]{9,19})(?:\.([0-9]{1,9}))?[0-9]*", f"{value:.6f}" if isinstance(value, float) else str(value))
    if number is None:
        return ""
    whole, scale = int(number[1]), 1
    while whole // scale >= 100_000_000_000:
        scale *= 1000
    return _iso(str(whole * 1_000_000 // scale + int((number[2] or "").ljust(6, "0")[:6]) * (scale == 1)))


def journal_lines(fields: Mapping[str, Any]) -> list[str]:
    """Return a record as lines: `ISO host kernel: [   12.345678] text`, `ISO host tag[pid]: text` (fields: systemd's logs-show.c)."""
    message = _value(fields.get("MESSAGE"))
    kernel = fields.get("_TRANSPORT") == "kernel"
    tag = _value(fields.get("SYSLOG_IDENTIFIER")) or _value(fields.get("_COMM")) or ("kernel" if kernel else "unknown")
    pid = _value(fields.get("_PID")) or _value(fields.get("SYSLOG_PID"))
    host = _value(fields.get("_HOSTNAME"))
    wall = _iso(_value(fields.get("__REALTIME_TIMESTAMP")) or _value(fields.get("_SOURCE_REALTIME_TIMESTAMP")))
    stamp = printk_stamp(_value(fields.get("_SOURCE_MONOTONIC_TIMESTAMP"))) if kernel else ""
    name = f"{tag}[{pid}]" if pid and not kernel else tag
    before = f"{wall} {host} {name}: {stamp}" if wall and host else f"{wall} {stamp or f'{name}: '}" if wall else stamp or f"{name}: "
    return [(before + text).lstrip() for text in message.split("\n")]


def _value(value: Any) -> str:
    """Return a field's text: a string, an array of byte numbers, or the first of several."""
    if isinstance(value, list):
        if value and all(isinstance(v, int) and 0 <= v < 256 for v in value):
            return bytes(value).decode(errors="replace")
        return _value(value[0]) if value else ""
    return value if isinstance(value, str) else "" if value is None else str(value)


def _iso(microseconds: str) -> str:
    if not re.fullmatch(r"[0-9]{1,17}", microseconds):
        return ""
    whole, rest = divmod(int(microseconds), 1_000_000)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:06d}+00:00"


def printk_stamp(microseconds: str) -> str:
    """Return the kernel's own stamp of a record, as printk prints it."""
    if not microseconds.isdigit():
        return ""
    return f"[{int(microseconds) // 1_000_000:5d}.{int(microseconds) % 1_000_000:06d}] "
