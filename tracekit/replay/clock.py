"""Clocks: which machine and boot a row belongs to, which sources share a clock, and what may be ordered across sources.

`(source, line)` is the order within a source. Two sources are one stream only when their clocks are known to be related: given by
the user, or the same printk stamps in both.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from tracekit.tables.pipeline import STREAMS
from tracekit.types import ENVELOPE

TOLD = ("boot", "kernel")  # what events must tell, so that boots and machines are told apart
NOT_OWN = ("source", "line", "boot", "ts_raw", "task", "tid", "on_cpu", "side")
NO_REPEATS = pl.DataFrame(schema={"source": pl.String, "line": pl.Int64, "of_source": pl.String, "of_line": pl.Int64})
_TALL = 8192  # rows
RUN = 5  # events in a row that two logs without a common stamp must share to be taken for the same ones


def align(
    tables: Mapping[str, pl.DataFrame], stamps: Mapping[str, str], clocks: Mapping[str, int], telling: Mapping[str, Sequence[str]]
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame, pl.DataFrame]:
    """Return (tables with machines, boots and shifted times and without repeats, streams, repeats).

    `stamps`: what the stamps of each source are; `clocks`: offset in ns by source, as the user gave it: these sources become one
    stream with the first one of their machine that has no offset; `telling`: names of event tables, by what they tell.
    `repeats` (source, line, of_source, of_line): kernel-log lines that another source of the case has too.
    """
    markers, kernels = ([tables[n] for n in telling.get(what, ()) if n in tables] for what in TOLD)
    boots = _boots(tables, markers, kernels)
    placed = {n: _shifted(_with_boot(f, boots), clocks) for n, f in _with_host(tables, kernels).items()}
    printk = [path for path, kind in stamps.items() if kind == "printk"]
    unique, repeats = _without_repeats(placed, printk) if len(printk) > 1 else (placed, NO_REPEATS)
    walls = [path for path, kind in stamps.items() if kind.startswith("wall")]
    if walls and len(printk) + len(walls) > 1:
        retold = _retold(unique, printk, walls)
        unique, repeats = {n: _without(f, retold) for n, f in unique.items()}, pl.concat([repeats, retold])
    return unique, _streams(list(stamps), clocks, _owners(unique) if clocks else {}), repeats


def before(a: Mapping[str, object], b: Mapping[str, object], streams: pl.DataFrame) -> bool | None:
    """Return whether row `a` came before row `b`; None if their sources have no common clock. Rows need source, line and ts."""
    if a["source"] == b["source"]:
        return int(str(a["line"])) < int(str(b["line"]))
    one, other = (streams.filter(pl.col("source") == r["source"]) for r in (a, b))
    if one["stream"].to_list() != other["stream"].to_list() or a["ts"] is None or b["ts"] is None or a["ts"] == b["ts"]:
        return None
    return int(str(a["ts"])) < int(str(b["ts"]))


def described(tables: Mapping[str, pl.DataFrame], path: str, kind: str) -> str:
    """Return what the stamps of a source are, and how they relate to those of the traces beside it (table `clock_relations`)."""
    relations = tables.get("clock_relations")
    if relations is None or relations.is_empty():
        return kind
    related = relations.filter((pl.col("source") == path) & (pl.col("basis") != "none"))
    columns = ("other", "offset", "err", "basis", "pairs", "boot")
    return "; ".join([kind, *(_relation(*row) for row in related.select(columns).iter_rows())])


def _relation(other: str, offset: int, err: int, basis: str, pairs: int, boot: int) -> str:
    where = f"in boot {boot}, " if boot else ""
    shift = f"{offset / 1e9:+.6f} s +- {err / 1e9:.6f} s"
    return f"{where}{shift} is the clock of {Path(other).name}, {basis} by {pairs} message{'s' * (pairs > 1)}"


def _streams(paths: Sequence[str], clocks: Mapping[str, int], machines: Mapping[str, str]) -> pl.DataFrame:
    """Return one stream per source; sources whose clock the user gave share that of the source whose clock they are shifted to.

    That is the first without an offset of the same machine, else the first of all.
    """
    sources = list(dict.fromkeys(paths))
    plain = [p for p in sources if p not in clocks]

    def reference(path: str) -> str | None:
        return next((p for p in plain if machines.get(p) == machines.get(path)), next(iter(plain), None))

    to = {p: reference(p) for p in sources if p in clocks}
    heads = [p for p in dict.fromkeys(to.values()) if p is not None]
    number = {p: i + 1 for i, p in enumerate(sources)} | {p: -i for i, p in enumerate(heads)}
    number |= {p: number[head] if head is not None else 0 for p, head in to.items()}
    merged = {n for n, count in Counter(number.values()).items() if count > 1}
    return pl.from_dicts([{"source": p, "stream": number[p], "merged": number[p] in merged} for p in sources], schema=STREAMS.schema)


def _owners(tables: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    """Return the machine of each source, by the first of its rows."""
    rows = [f.select("source", "machine").unique("source", keep="first") for f in tables.values() if f.height]
    return {source: machine for f in rows for source, machine in f.iter_rows()}


def _with_host(tables: Mapping[str, pl.DataFrame], kernels: Sequence[pl.DataFrame]) -> Mapping[str, pl.DataFrame]:
    """Return rows without a host name are of the one machine that the case names: traces and the VMM's logs never print one.

    Not those of a guest, nor of a source whose kernel is another release.
    """
    if all(_nameless(f) for f in tables.values() if f.height):
        return tables
    sides = [f.select("machine", "side").unique() for f in tables.values() if f.height]
    named = pl.concat(sides).unique().filter(pl.col("machine") != "")
    if named["machine"].n_unique() != 1 or named["side"].str.starts_with("guest").any():
        return tables
    ours = (pl.col("machine") == "") & ~pl.col("side").str.starts_with("guest").fill_null(False)
    if kernels:
        versions = pl.concat([f.select("source", "machine", "release") for f in kernels])
        known = versions.filter(pl.col("machine") != "")["release"].implode()
        other = versions.filter((pl.col("machine") == "") & ~pl.col("release").is_in(known))["source"]
        ours &= ~pl.col("source").is_in(other.implode()) if known.explode().drop_nulls().len() else True
    return {
        n: f.with_columns(pl.when(ours).then(pl.lit(named["machine"][0])).otherwise("machine").alias("machine")) for n, f in tables.items()
    }


def _nameless(frame: pl.DataFrame) -> bool:
    if frame.height > _TALL:  # a column of one value stays one value: as a series of its own it takes memory for each row
        return frame.select((pl.col("machine").n_unique() == 1) & (pl.col("machine").first() == "")).item() is True
    machine = frame.get_column("machine")
    return machine.n_unique() == 1 and machine.item(0) == ""


def _boots(tables: Mapping[str, pl.DataFrame], markers: Sequence[pl.DataFrame], kernels: Sequence[pl.DataFrame]) -> dict[str, list[int]]:
    """Return lines of each source at which another boot begins: boot markers, and `Linux version` with a stamp below an earlier one.

    The first kernel line below a marker is of the boot that the marker begins.
    """
    marks: dict[str, list[int]] = {}
    for marker in markers:
        for source, line in marker.select("source", "line").iter_rows():
            marks.setdefault(source, []).append(line)
    last = max((int(line) for f in kernels for line in f["line"].to_list()), default=0)
    above = [f for f in tables.values() if f.height and _first_line(f) <= last]
    if any(_first_line(f) < last for f in above):
        versions = pl.concat([f.select("source", "line", "ts") for f in kernels])
        stamped = pl.concat([f.select("source", "line", "ts") for f in above]).drop_nulls("ts").sort("source", "line")
        earlier = stamped.select(
            "source", "line", latest=pl.col("ts").cum_max().over("source"), before=pl.col("line").shift(1).over("source")
        )
        begun = versions.join(earlier.unique(["source", "line"], keep="last"), on=["source", "line"])
        lower = begun.filter(pl.col("latest") > pl.col("ts")).sort("source", "line")
        for source, line, before in lower.select("source", "line", "before").iter_rows():
            if not any((before or 0) < mark < line for mark in marks.get(source, ())):
                marks.setdefault(source, []).append(line)
    return {s: sorted(set(lines)) for s, lines in marks.items()}


def _first_line(frame: pl.DataFrame) -> int:
    return int(frame.get_column("line").min())  # type: ignore[arg-type]


def _with_boot(frame: pl.DataFrame, boots: Mapping[str, list[int]]) -> pl.DataFrame:
    if not boots:
        return frame  # one boot a source
    boot = pl.lit(0, dtype=pl.Int32)
    for source, lines in boots.items():
        count = pl.sum_horizontal([(pl.col("line") >= n).cast(pl.Int32) for n in lines])
        boot = pl.when(pl.col("source") == source).then(count).otherwise(boot)
    return frame.with_columns(boot.cast(ENVELOPE["boot"]).alias("boot"))


def _shifted(frame: pl.DataFrame, clocks: Mapping[str, int]) -> pl.DataFrame:
    if not clocks:
        return frame
    offset = pl.col("source").replace_strict(dict(clocks), default=0, return_dtype=pl.Int64)
    return frame.with_columns((pl.col("ts") + offset).alias("ts"))


def _without_repeats(tables: Mapping[str, pl.DataFrame], printk: Sequence[str]) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Return rows of several printk sources with equal stamp and equal columns are one row: the first source's."""
    rank = {path: i for i, path in enumerate(printk)}
    kept: dict[str, pl.DataFrame] = {}
    repeats = [NO_REPEATS]
    for name, frame in tables.items():
        key = [c for c in frame.columns if c not in NOT_OWN]
        ranked = frame.with_columns(pl.col("source").replace_strict(rank, default=None, return_dtype=pl.Int64).alias("_rank"))
        ranked = ranked.with_columns(pl.int_range(pl.len()).over(["source", *key]).alias("_nth"))
        group = ranked.sort("_rank", "line", nulls_last=True).select(
            pl.all(), *(pl.col(c).first().over([*key, "_nth"]).alias("of_" + c) for c in ("source", "line"))
        )
        twin = (
            pl.col("_rank").is_not_null()
            & pl.col("ts").is_not_null()
            & (pl.col("source") != pl.col("of_source"))
            & pl.col("of_source").is_in(list(printk))
        )
        repeats.append(group.filter(twin).select("source", "line", "of_source", "of_line"))
        kept[name] = _without(frame, repeats[-1])
    return kept, pl.concat(repeats)


def _retold(tables: Mapping[str, pl.DataFrame], printk: Sequence[str], walls: Sequence[str]) -> pl.DataFrame:
    """Return the repeats of kernel logs with wall clocks: rows that an earlier kernel log has too, in a run of at least five equal rows."""
    told = _told(tables, [*printk, *walls])
    first: dict[tuple[int, ...], list[list[tuple[str, int]]]] = {}  # where a run stands in the source that has it first
    repeats: dict[tuple[str, int], tuple[str, int]] = {}
    for path in [*printk, *walls]:
        rows = told.get(path, [])
        own: dict[tuple[int, ...], list[list[tuple[str, int]]]] = {}
        for i in range(len(rows) - RUN + 1):
            run = rows[i : i + RUN]
            again = own.setdefault(tuple(digest for _, digest in run), [])
            again.append([(path, line) for line, _ in run])
        for key, places in own.items():
            if path in walls:  # the nth time here is the nth time there
                repeats |= {
                    twin: of
                    for mine, theirs in zip(places, first.get(key, []), strict=False)
                    for twin, of in zip(mine, theirs, strict=True)
                }
            first.setdefault(key, places)
    return pl.DataFrame([(*twin, *of) for twin, of in repeats.items()], schema=NO_REPEATS.schema, orient="row")


def _told(tables: Mapping[str, pl.DataFrame], paths: Sequence[str]) -> dict[str, list[tuple[int, int]]]:
    """Return, by source, (line, digest of machine and fields) of each row of its kernel log, in order."""
    parts = [
        f.filter(pl.col("source").is_in(list(paths)) & (pl.col("side") == "kernel")).select(
            "source", "line", pl.struct(pl.lit(n), *(c for c in f.columns if c not in (*NOT_OWN, "ts"))).hash().alias("digest")
        )
        for n, f in tables.items()
        if f.height
    ]
    if not parts:
        return {}
    rows = pl.concat(parts).unique(["source", "line"], keep="first").sort("source", "line")
    return {str(k[0]): list(g.select("line", "digest").iter_rows()) for k, g in rows.partition_by("source", as_dict=True).items()}


def _without(frame: pl.DataFrame, repeats: pl.DataFrame) -> pl.DataFrame:
    gone = repeats.select("source", "line")
    return frame.join(gone, on=["source", "line"], how="anti", maintain_order="left") if gone.height else frame
