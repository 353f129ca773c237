"""A scenario from a log: releases, devices, table sizes, sessions and rebinds, as far as the log shows them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from tracekit import VFIO_MSI, Scenario, gate_value
from tracekit_systems.host_vectors import HostVectors, scarce
from tracekit_systems.scenarios.recorded import READS as SENT
from tracekit_systems.scenarios.recorded import Driver, Program, drivers, programs, written
from tracekit_systems.scenarios.setting import SEEN
from tracekit_systems.stimuli import READS, Recording, recordings

RELEASES = {"kernel_version": ("host", "kernel"), "qemu_version": ("client", "version")}
TABLES = (*dict.fromkeys((*READS, *SENT, *HostVectors.reads)), *RELEASES, "gates", "platforms")


def like(tables: Mapping[str, pl.DataFrame]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the settings, and what the log leaves open."""
    made: dict[str, Any] = {}
    open_questions = []
    for name, (part, setting) in RELEASES.items():
        frame = tables.get(name)
        if told := _release(frame):
            made.setdefault(part, {})[setting] = told
    platforms = tables.get("platforms")
    if platforms is not None and platforms.height and (arch := platforms["arch"][0]) in ("x86", "arm64", "s390", "powerpc", "loongarch"):
        made.setdefault("host", {})["arch"] = arch
        if parent := platforms["parent"][0]:
            made["host"]["parent"] = parent
    recorded, sent, own = recordings(tables), programs(tables), drivers(tables)
    devices, rebinds = _devices(recorded, tables.get("vfio_msix_early_setup"))
    if sent:
        rebinds = _of_programs(sent, devices)
    if own:
        rebinds = _of_drivers(own, devices)
        made |= {"sessions": 1 + len(rebinds)}
    if devices:
        made |= {"devices": list(devices.values()), "rebinds": sorted(rebinds), "guest": _guest(recorded)}
    else:
        open_questions.append("no device with MSI-X vectors behind VFIO: the default device stands")
    if (vectors := scarce(tables)) is not None:
        made.setdefault("host", {}).update(cpus=1, vectors=vectors)
        open_questions.append(f"the host is taken to have one CPU with {vectors} vectors, so many as were given until none was left")
    if seen := list(_seen(tables.get("gates"))):
        made["gates"] = seen
    if "kernel" not in made.get("host", {}) and (release := _kernel_by_gates(tables.get("gates"))):
        made.setdefault("host", {})["kernel"] = release
    if "client" not in made and (policy := _policy(recorded)):
        made["client"] = {"policy": policy}
    if sent:
        made["client"] = {"name": "program", **made.get("client", {})}
        made["requests"] = written(sent)
    if any(d.freed for d in own) or any(s.assumed for p in sent for s in p.sessions):
        open_questions.append("something came before the first line, which shows what it left: an irq domain, or vectors")
    usual = Scenario()
    for part, setting in RELEASES.values():
        if not {setting, "policy", "name"} & made.get(part, {}).keys():
            open_questions.append(f"no line tells {part}.{setting}: {getattr(getattr(usual, part), setting)} is taken")
    return made, tuple(open_questions)


def _release(frame: pl.DataFrame | None) -> str:
    """Return the first release in the lines of a host, or of an unknown side."""
    if frame is None or frame.is_empty():
        return ""
    host = frame.filter(pl.col("side") != "guest")
    return str((host if host.height else frame)["release"][0])


def _kernel_by_gates(gates: pl.DataFrame | None) -> str:
    """Return a release that behaves as the log shows, where none is printed."""
    own, grows = gate_value(gates, "KV2"), gate_value(gates, "KV4")
    if own is False or own is None and grows is False:
        return "6.1"
    return "6.2" if grows is False else ""


def _seen(gates: pl.DataFrame | None) -> Iterator[str]:
    """Yield the gates of host and client that the lines show, the absent ones with a minus."""
    if gates is None:
        return
    shown = [basis == "observed" and side != "guest" for basis, side in zip(gates["basis"].to_list(), gates["side"].to_list(), strict=True)]
    observed = gates if all(shown) else gates.filter(pl.Series(shown, dtype=pl.Boolean))
    for code in SEEN if any(shown) else ():
        if (value := gate_value(observed, code)) is not None:
            yield code if value else f"-{code}"


def _policy(recorded: Sequence[Recording]) -> str:
    """Return how the client was seen to add a vector; empty where it added none."""
    if any(r.resized for r in recorded):
        return "incr"
    return "dyn" if any(r.appended or r.refused for r in recorded) else ""


def _guest(recorded: Sequence[Recording]) -> dict[str, Any]:
    """Return whether several vectors were enabled at once, and whether any interrupted before the client grew."""
    firsts = (next((s for s in r.stimuli if s.what == "enable"), None) for r in recorded)
    at_once = any(s is not None and s.number > 1 for s in firsts)
    quiet = any(r.resized for r in recorded) and not any(s.what == "interrupt" for r in recorded for s in r.stimuli)
    return {"traffic": not quiet, "unmask": "before enable" if at_once and _policy(recorded) == "" else "after enable"}


def _devices(recorded: Sequence[Recording], set_up: pl.DataFrame | None) -> tuple[dict[str, dict[str, Any]], set[int]]:
    """Return the devices by name with what they asked for, and the sessions before which a driver was bound again."""
    found: dict[str, dict[str, Any]] = {}
    rebinds: set[int] = set()
    for r in recorded:
        sizes, before, most = _sessions(r)
        if sizes and r.label not in found:
            found[r.label] = {"name": r.label, "table": _short(sizes), "queues": most, "kind": "msi" if r.index == VFIO_MSI else "msix"}
            rebinds |= before
    for name, entries in _set_up(set_up):
        found.setdefault(name, {"name": name, "table": [entries]})
    return found, rebinds


def _of_drivers(own: Sequence[Driver], devices: dict[str, dict[str, Any]]) -> set[int]:
    """Put in what is seen of functions that drivers of the host use, and return the sessions before which these were bound again."""
    for d in own:
        kind = devices.get(d.label, {}).get("kind", "msix")
        devices[d.label] = {"name": d.label, "driver": "host", "table": [d.size], "enables": list(d.enables), "kind": kind}
    return {2} if any(d.freed for d in own) else set()


def _of_programs(sent: Sequence[Program], devices: dict[str, dict[str, Any]]) -> set[int]:
    """Put in what the requests of programs show of their functions, and return the sessions before which a driver was bound again."""
    for p in sent:
        wanted = max(s.asked for s in p.sessions)
        devices[p.label] = {"name": p.label, "queues": wanted, "kind": p.kind, **devices.get(p.label, {}), "table": _short(p.sizes())}
    return {n for p in sent for n, s in enumerate(p.sessions, 1) if s.rebound and n > 1}


def _sessions(r: Recording) -> tuple[list[int], set[int], int]:
    """Return the table's size in each session, the sessions that a rebind comes before, and the most vectors that were asked for."""
    # A domain that was there before the recording tells of a session at its size.
    sizes: list[int] = [] if r.limit is None else [r.limit]
    rebinds: set[int] = set()
    size, most, inside = r.limit or 1, 1, False
    for s in r.stimuli:
        if s.what == "table":
            size = s.number
        elif s.what in ("open", "close", "rebind"):
            inside = False
            if s.what == "rebind":
                rebinds.add(len(sizes) + 1)
        elif s.what in ("enable", "unmask", "driver enable"):
            if not inside:
                sizes.append(size)
            inside = True
            sizes[-1] = max(size, 1)
            most = max(most, s.number + (s.what == "unmask"))
    return sizes, {n for n in rebinds if 1 < n <= len(sizes)}, most


def _short(sizes: list[int]) -> list[int]:
    """Return the sizes without the end that only repeats."""
    count = len(sizes)
    while count > 1 and sizes[count - 1] == sizes[count - 2]:
        count -= 1
    return sizes[:count]


def _set_up(frame: pl.DataFrame | None) -> list[tuple[str, int]]:
    return (
        [] if frame is None else [(str(n), int(e)) for n, e in frame.select("name", "entries").unique(maintain_order=True).iter_rows() if e]
    )
