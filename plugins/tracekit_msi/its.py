"""Commands that Arm's interrupt translation service did not carry out: what they were to map is not mapped."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from tracekit import Evidence, Finding, Subject, Unchecked, distinct, near, span, times

Rows = list[dict[str, Any]]

MOST = 24
CONCERNS = {
    "mapc": "the collection of a CPU",
    "invall": "the collection of a CPU",
    "mapd": "the table of a device",
    "mapti": "an event of a device",
    "mapvi": "an event of a device",
    "movi": "the move of an event to another CPU",
    "vmapp": "the table of a virtual CPU",
    "vmapti": "an event of a virtual CPU",
    "vmovp": "the move of a virtual CPU",
}
REACH = 40
REACH_MS = 10_000


def refused(
    timeouts: pl.DataFrame | None,
    commands: pl.DataFrame | None,
    stuck: pl.DataFrame | None,
    redistributors: pl.DataFrame | None,
    cpus: pl.DataFrame | None,
) -> Iterator[Finding]:
    """Yield one finding where commands timed out or failed."""
    waits, still, failed, parts, missing = map(_rows, (timeouts, stuck, commands, redistributors, cpus))
    if waits or still or failed:
        yield _finding(waits + still, failed, parts, missing)


def _rows(frame: pl.DataFrame | None) -> Rows:
    return [] if frame is None else frame.to_dicts()


def _at(rows: Rows, role: Any) -> Iterator[Evidence]:
    return (e for r in rows for e in span(r["source"], r["line"], role=role))


def _finding(waits: Rows, failed: Rows, parts: Rows, missing: Rows) -> Finding:
    """Name what the commands were for, and whose set-up they belong to."""
    lines = sorted(waits + failed, key=lambda r: (r["source"], r["line"]))
    commands = list(dict.fromkeys(_command(f["command"]) for f in failed))
    concerns = list(dict.fromkeys(CONCERNS[c] for c in commands if c in CONCERNS))
    setting_up = [p for p in parts if near(p, lines[0], REACH, REACH_MS)][-1:]
    lost = [m for m in missing if near(lines[0], m, REACH, REACH_MS)]
    cpu = setting_up[0]["cpu"] if setting_up and "the collection of a CPU" in concerns else None
    names = ", ".join(c.upper() for c in commands)
    whose = f"CPU {cpu}" if cpu is not None else "that CPU or device"
    concerned = f" ({', '.join(concerns)})" if concerns else ""
    what = f"{names} failed{concerned}" if commands else "its queue stands still"
    return Finding(
        f"the ITS does not carry out commands, {times(max(len(waits), len(failed)), 'time')}: {what}; MSIs of {whose} cannot be mapped",
        "proven",
        distinct([*_at(setting_up, "context"), *_at(lines[:MOST], "cause"), *_at(lost, "effect")]),
        subject=Subject("ITS", kind="host"),
        severity="high",
        advice="A fault of the platform, not of a device: firmware, the memory of the command queue, or a limit on devices behind the ITS.",
        values={"timeouts": len(waits), "failed": len(failed), "commands": commands, "cpu": cpu},
        unchecked=(Unchecked("which device or CPU each command was for", "the messages between, or function tracing of its_send_*"),),
    )


def _command(function: str) -> str:
    """Return `its_build_mapc_cmd+0x0/0x60` -> `mapc`."""
    return function.partition("+")[0].removeprefix("its_build_").removesuffix("_cmd")
