"""Commands that Arm's interrupt translation service did not carry out: what they were to map is not mapped."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from tracekit import Evidence, Finding, Subject, Unchecked, Verdict, distinct, inconclusive, near, rows_above, span, times

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
ADDRESS = ((1 << 48) - 1) & ~0xFFF  # of a table, in GITS_BASER
QUEUE = 1 << 16  # bytes of the command queue (ITS_CMD_QUEUE_SZ)
BESIDE = 4  # lines in which the failed command stands below its time-out
REACH = 40
REACH_MS = 10_000


def refused(
    timeouts: pl.DataFrame | None,
    commands: pl.DataFrame | None,
    stuck: pl.DataFrame | None,
    redistributors: pl.DataFrame | None,
    cpus: pl.DataFrame | None,
) -> Iterator[Finding | Verdict]:
    """Yield one finding where commands timed out or failed; a question where an old kernel waited for what had been done."""
    waits, still, failed, parts, missing = map(_rows, (timeouts, stuck, commands, redistributors, cpus))
    done = [w for w in waits if _done(w)]
    ends = sorted(waits, key=lambda w: (w["source"], w["line"]))
    waits = [w for w in waits if not _done(w)]
    failed = [f for f in failed if not _carried_out(ends, f)]
    if waits or still or failed:
        yield _finding(waits + still, failed, parts, missing)
    elif done:
        yield inconclusive(
            f"the kernel waited {times(len(done), 'time')} for commands of the ITS behind which its reader stood already: up to 5.1 it "
            "takes a reader that has begun anew for one that stands still",
            "the log of a kernel since 5.2",
        )


def unusable(told: pl.DataFrame | None) -> Iterator[Finding]:
    """Yield each ITS that the kernel does not use."""
    for (address,), group in () if told is None else told.group_by("address", maintain_order=True):
        r = group.row(0, named=True)  # what comes after it is its consequence
        why, advice = _why(r)
        yield Finding(
            f"the ITS at {address:#x} is not used: {why}; devices behind it get no MSI",
            "proven",
            distinct(_at(group.head(4).to_dicts(), "cause")),
            subject=Subject("ITS", kind="host"),
            severity="high",
            advice=advice,
            values={"address": address, "table": r["table"], "ret": r["ret"]},
        )


def _why(r: dict[str, Any]) -> tuple[str, str]:
    """Return why an ITS is not used, and what to do."""
    if r["table"] is None:
        code = f"its probe failed with {r['ret']}" if r["ret"] is not None else "it does not answer, or does not stop"
        return code, "A fault of the platform: the address of the ITS in firmware, its power, or what another kernel or firmware left on."
    lost = r["written"] & ~r["held"] & ADDRESS
    if lost:
        told = f"its register for {r['table']} does not hold bits {lost:#x} of the table's address"
        return (
            told,
            "It reaches less memory than there is: a kernel that has this chip's workaround, or memory below 4 GiB (`mem=4G` as a test).",
        )
    return (
        f"its register for {r['table']} does not hold what was written",
        "A fault of the platform: firmware, or a chip without its workaround.",
    )


def _done(wait: dict[str, Any]) -> bool:
    """Return whether the command of a time-out was carried out: three numbers (up to 5.1) are its begin, its end, and the reader.

    The old loop takes a reader below the begin for one that has not come. It has gone around where it stands close behind the end: one that
    stands still there has left the queue all but full.
    """
    if wait.get("read") is None:
        return False
    begin, end, read = wait["until"], wait["reached"], wait["read"]
    return not begin <= read < end and (read - end) % QUEUE < QUEUE // 4


def _carried_out(waits: Rows, failed: dict[str, Any]) -> bool:
    """Return whether the time-out just above a failed command is of one that was carried out."""
    return any(_done(w) and near(w, failed, BESIDE, 0) for w in rows_above(failed, waits))


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
