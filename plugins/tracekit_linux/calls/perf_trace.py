"""What `perf trace` prints of probes and ioctls, as the rows that ftrace text gives: `probe_entry`, `sys_enter_ioctl` and their returns."""

import errno
from collections.abc import Iterable, Mapping

import polars as pl

from tracekit import VFIO_SET_IRQS
from tracekit_linux.calls.arguments import fetches

NEEDS = ("perf_probe_entry", "perf_probe_return", "perf_ioctl", "perf_ioctl_return")
# perf names numbers of arguments that are called `vector` after x86's own vectors (arch/x86/include/asm/irq_vectors.h).
NAMED = {"NMI": 2, "IA32_SYSCALL": 0x80}
COMMANDS = {"VFIO_DEVICE_SET_IRQS": VFIO_SET_IRQS, "VFIO_DEVICE_GET_IRQ_INFO": 0x3B6D, "VFIO_DEVICE_RESET": 0x3B6F}


def as_traced(tables: Mapping[str, pl.DataFrame]) -> Mapping[str, pl.DataFrame]:
    """Return the tables, with the rows of `perf trace` among those of ftrace text."""
    defined = _defined(tables.get("kprobe_definition"))
    made = {f"probe_{end}": [_probes(tables.get(f"perf_probe_{end}"), defined)] for end in ("entry", "return")}
    asked, answered = tables.get("perf_ioctl"), tables.get("perf_ioctl_return")
    made["sys_enter_ioctl"] = [_asked(asked)]
    made["sys_exit_ioctl"] = [_answered(asked), _answered(answered)]
    more = {name: [f for f in frames if f is not None and f.height] for name, frames in made.items()}
    joined = {
        name: pl.concat([*([tables[name]] if name in tables else []), *frames], how="diagonal") for name, frames in more.items() if frames
    }
    return {**tables, **joined}


def _defined(frame: pl.DataFrame | None) -> dict[str, list[str]]:
    """Probe -> the names of its arguments, as it was defined."""
    rows = () if frame is None else frame.select("probe", "args").iter_rows()
    return {probe.rpartition("/")[2]: list(fetches(args)) for probe, args in rows}


def _probes(frame: pl.DataFrame | None, defined: Mapping[str, list[str]]) -> pl.DataFrame | None:
    """Probes with their address as ftrace prints it, and all arguments that the recorder named: what is left out is zero."""
    if frame is None:
        return None
    names: dict[tuple[str, str], list[str]] = {}
    for source, probe, args in frame.select("source", "probe", "args").iter_rows():
        known = names.setdefault((source, probe), list(defined.get(probe, ())))
        known += [name for name, _ in _pairs(args) if name not in known]
    full = [_full(args, names[source, probe]) for source, probe, args in frame.select("source", "probe", "args").iter_rows()]
    empty = pl.lit(None, pl.String)
    return frame.drop("ip", "args", "caller_ip", strict=False).with_columns(
        frame["ip"].reinterpret(signed=False).alias("address"),
        pl.Series("args", full, dtype=pl.String),
        empty.alias("function"),
        empty.alias("caller"),
    )


def _pairs(args: str | None) -> list[tuple[str, str]]:
    return [(name, value) for part in (args or "").split(", ") if part for name, _, value in [part.partition(": ")]]


def _full(args: str | None, names: Iterable[str]) -> str | None:
    given = dict(_pairs(args))
    return " ".join(f"{name}={_number(given.get(name, '0'))}" for name in names) or None


def _number(value: str) -> str:
    return str(NAMED.get(value, value))


def _asked(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    """The entries of ioctls."""
    if frame is None:
        return None
    numbers = [_command(*row) for row in frame.select("kind", "number", "command").iter_rows()]
    return frame.drop("kind", "number", "command", "ret", "error").with_columns(
        pl.col("fd").cast(pl.UInt64), pl.Series("cmd", numbers, dtype=pl.UInt64)
    )


def _command(kind: str | None, number: str | None, name: str | None) -> int | None:
    return COMMANDS.get(name or "") if kind is None or number is None else int(kind, 0) << 8 | int(number, 0)


def _answered(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    """The returns of ioctls; of one that was printed with its result only the entry's time is known."""
    if frame is None:
        return None
    ended = frame.filter(pl.col("ret").is_not_null())
    results = [ret if error is None else str(-getattr(errno, error, 0) or ret) for ret, error in ended.select("ret", "error").iter_rows()]
    late = ended.with_columns(pl.lit(None, pl.Int64).alias("ts")) if "fd" in ended.columns else ended
    kept = [c for c in late.columns if c not in ("fd", "kind", "number", "command", "error")]
    return late.select(kept).with_columns(pl.Series("ret", results, dtype=pl.String))
