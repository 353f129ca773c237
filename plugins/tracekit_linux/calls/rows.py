"""Rows that make calls, by column: which function each is about, in which lane it stands, its arguments and what it returned."""

from collections.abc import Mapping

import polars as pl

from tracekit import ENVELOPE, Schema
from tracekit_linux.calls.arguments import meaning, numbers, pairs_of
from tracekit_linux.calls.functions import FUNCTIONS, INT, RETURN_NAMES, SYSTEM_CALL
from tracekit_linux.calls.symbols import Names

GRAPH = frozenset(("graph_entry", "graph_leaf", "graph_exit", "graph_irq_entry", "graph_irq_exit", "graph_switch"))
PROBES = ("probe_entry", "probe_return")
KINDS = (*PROBES, *sorted(GRAPH), "sys_enter_ioctl", "sys_exit_ioctl")
IOCTL = "sys_ioctl"
VFIO_TYPE = 0x3B  # ioctl commands of VFIO are `_IO(';', n)`, include/uapi/linux/vfio.h
COLUMNS: Schema = {
    **ENVELOPE,
    **dict.fromkeys(("probe", "function", "caller", "args", "indent", "ret", "duration", "previous", "next"), pl.String()),
    **dict.fromkeys(("address", "fd", "cmd", "arg"), pl.UInt64()),
}
_NO_ROWS = pl.DataFrame(schema={**COLUMNS, "kind": pl.String})
# What a recorder writes into the trace looks like an event of one of these names, and is none.
NARRATION = ("tracing_mark_write", "print", "bprint", "bputs")
_BARE = {c: pl.col(c).str.split(".").list.first() for c in ("function", "caller")}
_KIND, _TID, _CPU = pl.col("kind"), pl.col("tid"), pl.col("on_cpu")
_PROBE, _CALL = _KIND.is_in(PROBES), _KIND.is_in(["sys_enter_ioctl", "sys_exit_ioctl"])
_MAKES_CALLS = (pl.col("function").is_null() | pl.col("function").is_in(list(FUNCTIONS))) & ~pl.col("probe").is_in(NARRATION).fill_null(
    False
)
# What pairing needs of a row, beside `kind`.
NEEDED = ("on_cpu", "tid", "lane", "assumed", "key", "rank", "reach", "vdev", "caller", "indent", "is_known", "previous", "next")
_MOST_CPUS = 1 << 16
_MOST_NAMES = 1 << 30
UNREADABLE = 1  # stands for a pointer that is no number
_ARGUMENT = pl.struct("name", "value", "text")
_NO_GUESS = dict.fromkeys(("guessed_function", "hint"), pl.lit(None, pl.String))


def merged(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """All rows that make calls, one kind after the other; calls of functions that nobody knows are left out where they enclose nothing."""
    frames: list[pl.DataFrame] = []
    for kind in KINDS:
        if (frame := tables.get(kind)) is None:
            continue
        if kind == "graph_leaf":  # most rows of a function graph
            frame = frame.filter(_BARE["function"].is_in(list(FUNCTIONS)))
        columns = frame.columns
        own = _bare(frame[[c for c in COLUMNS if c in columns]])
        if kind in PROBES and not (makes := own.select(_MAKES_CALLS).to_series()).all():
            own = own.filter(makes)
        frames.append(own.hstack([pl.Series("kind", [kind]).new_from_index(0, own.height)]))
    both = pl.concat(frames, how="diagonal") if frames else _NO_ROWS
    return both.with_columns(pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items() if name not in both.columns)  # of one value


def _bare(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with symbols without their compiler suffixes, which few have."""
    suffixed = [c for c in _BARE if c in rows.columns and rows[c].str.contains(".", literal=True).any()]
    return rows.with_columns(**{c: _BARE[c] for c in suffixed}) if suffixed else rows


def without_empty(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of one source in the order of their lines, without entry and exit of a function that nobody knows, where nothing
    stands between the two.

    Most rows of a function graph that `merged` leaves are such. A pair is left out only where the row before it has closed all calls that
    this entry would close. Where a CPU shows tasks by turns (`graph_switch`), columns do not tell the lanes.
    """
    if "graph_exit" not in rows["kind"] or "graph_switch" in rows["kind"] or rows["tid"].is_null().any() != rows["tid"].is_null().all():
        return rows.sort("line", maintain_order=True)
    of_cpu = pl.when(_TID.is_null() | (_TID == 0)).then(_CPU + 1).fill_null(0)
    told = rows.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("at"),
        "line",
        (_TID.fill_null(0) * _MOST_CPUS + of_cpu).alias("lane"),
        pl.col("indent").fill_null("").str.len_chars().alias("depth"),
        (_KIND == "graph_entry").alias("entered"),
        (_KIND == "graph_exit").alias("left"),
        _KIND.is_in(["graph_exit", "graph_leaf"]).alias("ended"),
        ((_KIND == "graph_entry") & ~pl.col("function").is_in(list(FUNCTIONS)).fill_null(False)).alias("strange"),
    ).sort("line", maintain_order=True)
    told = told.sort("lane", maintain_order=True)
    below, alike = pl.col("depth").shift(-1), pl.col("lane") == pl.col("lane").shift(-1)  # of the next row
    closed = alike & ((pl.col("entered") & (pl.col("depth") < below)) | (pl.col("ended") & (pl.col("depth") <= below)))
    empty = pl.col("strange") & alike & pl.col("left").shift(-1) & (pl.col("depth") == below) & closed.shift(1)
    while (first := told.select(empty.fill_null(False)).to_series()).any():
        told = told.filter(~(first | first.shift(1, fill_value=False)))
    return rows[told.sort("line", "at")["at"]]


def prepared(rows: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return the rows of one source with the columns that pairing needs, `args` as arguments, and `value` and `value_kind` returned."""
    rows = _named(rows.with_row_index("n"), names)
    rows = rows.with_columns(_lane().alias("lane"), **_places()).with_columns(
        (pl.col("lane") == "source").fill_null(False).alias("assumed")
    )
    pairs = _arguments(rows, names)
    listed = pairs.group_by("n", maintain_order=True).agg(_ARGUMENT.alias("args"))
    on_device = pairs.filter(pl.col("name") == "vdev").unique("n", keep="first").select("n", vdev=pl.col("value").fill_null(UNREADABLE))
    told = [_placed(listed, rows.height), _placed(on_device, rows.height)]
    return rows.drop("args").hstack([*told, *_values(rows, pairs, names)])


def _placed(cells: pl.DataFrame, height: int) -> pl.Series:
    """Return a column so high with the cells (n, cell) at the rows `n`, which are different ones, and null elsewhere: a join would write
    all columns of the rows anew."""
    at = pl.repeat(None, height, dtype=pl.UInt32, eager=True)
    at.scatter(cells["n"], pl.int_range(cells.height, dtype=pl.UInt32, eager=True))
    return cells.to_series(1).gather(at)


def _named(rows: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Add `hint`, `name`, the function or the guess, and `key`, which an entry and its return have in common."""
    known = pl.when(_CALL).then(pl.lit(IOCTL)).when(_KIND.is_in(list(GRAPH))).then(pl.col("function").fill_null("")).otherwise("function")
    unnamed = rows.filter(_PROBE & pl.col("function").is_null()).unique(["probe", "address"], keep="first", maintain_order=True)
    told = [(p, a, *names.of(p or "", None, a, args)) for p, a, args in unnamed.select("probe", "address", "args").iter_rows()]
    schema = {"probe": pl.String, "address": pl.UInt64, "guessed_function": pl.String, "hint": pl.String}
    guessed = pl.DataFrame(told, schema=schema, orient="row").with_columns(pl.lit(None, pl.String).alias("function"))
    on = ["function", "probe", "address"]
    joined = rows.join(guessed, on=on, how="left", nulls_equal=True, maintain_order="left") if told else rows.with_columns(**_NO_GUESS)
    probed = joined.with_columns(pl.when(_PROBE).then(pl.coalesce(known, "guessed_function")).otherwise(known).alias("function"))
    told_or_guessed = pl.coalesce("function", "hint")
    return probed.drop("guessed_function").with_columns(
        told_or_guessed.alias("name"), pl.coalesce(told_or_guessed, "probe", pl.lit("")).alias("key")
    )


def _lane() -> pl.Expr:
    """Return the lane in which a row stands: its task, else null for a CPU of a function graph, else the source."""
    of_task = _TID.is_not_null() & ~((_TID == 0) & _CPU.is_not_null())
    of_cpu = _KIND.is_in(list(GRAPH)) & _CPU.is_not_null() & _TID.is_null()
    idle = pl.when(_TID == 0).then(pl.format("idle:{}", _CPU)).otherwise(pl.lit("source"))
    return pl.when(of_task).then(pl.format("tid:{}", _TID)).when(~of_cpu).then(idle)


def _places() -> dict[str, pl.Expr]:
    """Return where a call can stand: what it can call and what can call it, its depth, whether it is reported."""
    ranks = {name: f.rank for name, f in FUNCTIONS.items()}
    reaches = {name: f.reach for name, f in FUNCTIONS.items()}
    key, graph = pl.col("key"), _KIND.is_in(list(GRAPH))
    rank = key.replace_strict(ranks, default=None, return_dtype=pl.Int64)
    reach = key.replace_strict(reaches, default=99, return_dtype=pl.Int64)
    vfio = (pl.col("cmd").fill_null(0) // 256) == VFIO_TYPE
    return {
        "rank": pl.when(_CALL).then(SYSTEM_CALL.rank).otherwise(rank),
        "reach": pl.when(_CALL).then(SYSTEM_CALL.reach).otherwise(reach),
        "indent": pl.when(graph).then(pl.col("indent").fill_null("").str.len_chars().cast(pl.Int64)).otherwise(-1),
        "is_known": pl.when(graph).then(key.is_in(list(FUNCTIONS))).when(_KIND == "sys_enter_ioctl").then(vfio).otherwise(True),
        "caller": pl.when(_KIND == "probe_return").then("caller"),
    }


def _arguments(rows: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return (n, name, value, text) of each argument; those of an entry by the names of the function's parameters."""
    written = pl.when((_KIND == "graph_exit") | (_KIND.is_in(list(GRAPH)) & ~pl.col("is_known"))).then(None).otherwise("args")
    pairs = pairs_of(rows.select(written.alias("args"))["args"])
    forms = _forms(rows)
    pairs = pairs.with_columns(forms.gather(pairs["n"]).alias("form"), numbers(pairs["text"]).alias("value"))
    first = pairs.select("form", "n", pl.col("name").alias("written")).unique(["form", "written"], keep="first")
    by = rows.select("kind", "probe", "function", pl.col("name").alias("of"))[first["n"]]
    meant = [
        name if kind == "probe_return" else meaning(of, name, names.fetches(probe or "", function).get(name))
        for name, (kind, probe, function, of) in zip(first["written"], by.iter_rows(), strict=True)
    ]
    said = first.select("form", "written", pl.Series("meaning", meant, dtype=pl.String))
    named = pairs.rename({"name": "written"}).join(said, on=["form", "written"], how="left", maintain_order="left")
    asked = _asked(rows.filter(_KIND == "sys_enter_ioctl"))
    told = named.select("n", pl.col("meaning").alias("name"), "value", "text", "written")
    return pl.concat([told, asked]).sort("n", maintain_order=True) if asked.height else told


def _forms(rows: pl.DataFrame) -> pl.Series:
    """Return a number for each row; rows of one number have the same kind, probe and function: one number is sooner compared than texts."""
    codes = (pl.col(c).cast(pl.Categorical).to_physical().cast(pl.Int64).fill_null(-1) + 1 for c in ("probe", "name"))
    probe, name = codes
    kind = (_KIND == "probe_return").cast(pl.Int64) * 2 + pl.col("function").is_null().cast(pl.Int64)
    return rows.select(((probe * _MOST_NAMES) + name) * 4 + kind).to_series()


def _asked(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the descriptor and the command of ioctls as arguments."""
    given = [
        (n, name, value)
        for n, *values in rows.select("n", "fd", "cmd").iter_rows()
        for name, value in zip(("fd", "cmd"), values, strict=True)
    ]
    frame = pl.DataFrame(given, schema={"n": pl.UInt32, "name": pl.String, "value": pl.UInt64}, orient="row").drop_nulls()
    texts = pl.Series("text", [hex(value) for value in frame["value"]], dtype=pl.String)
    return frame.select("n", "name", pl.col("value").reinterpret(signed=True), texts, pl.col("name").alias("written"))


def _fetched(rows: pl.DataFrame, fields: pl.DataFrame, names: Names) -> pl.Series:
    """Return which fields of return probes are fetched from `$retval`, as the definitions of the probes say."""
    of = rows.select("probe", "function")[fields["n"]].with_columns(fields["written"])
    by_definition = [
        (probe, function, name, True)
        for probe, function in (of.select("probe", "function").unique().iter_rows() if names.definitions else ())
        for name, fetch in names.fetches(probe or "", function).items()
        if fetch == "$retval"
    ]
    if not by_definition:
        return pl.repeat(False, fields.height, eager=True)
    schema = {"probe": pl.String, "function": pl.String, "written": pl.String, "fetched": pl.Boolean}
    told = pl.DataFrame(by_definition, schema=schema, orient="row")
    joined = of.join(told, on=["probe", "function", "written"], how="left", nulls_equal=True, maintain_order="left")
    return joined["fetched"].fill_null(False)


def _values(rows: pl.DataFrame, pairs: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Return what the returns among the rows returned, and of which kind it is; both null where no value is recorded.

    Of the fields of a return probe it is the one fetched from `$retval`, the only one, or the one named so.
    """
    fields = pairs.filter((rows["kind"] == "probe_return").gather(pairs["n"]))
    fetched = _fetched(rows, fields, names)
    by_name = pl.col("written").str.to_lowercase().is_in(RETURN_NAMES)
    alone = (pl.col("n") != pl.col("n").shift(1)).fill_null(True) & (pl.col("n") != pl.col("n").shift(-1)).fill_null(True)
    sure = pl.when(fetched).then(0).when(alone).then(1).when(by_name).then(2).alias("sure")
    chosen = fields.select("n", "value", sure).drop_nulls("sure")
    if chosen["n"].n_unique() < chosen.height:
        chosen = chosen.sort("n", "sure", maintain_order=True).unique("n", keep="first", maintain_order=True)
    told = _placed(chosen, rows.height)
    written = rows.select(pl.when(~_PROBE).then("ret"))["ret"]
    value = pl.select(pl.coalesce(told, numbers(written)))["value"]
    kinds = {name: f.returns for name, f in FUNCTIONS.items()}
    kind = pl.when(_CALL).then(pl.lit(INT)).otherwise(pl.col("name").replace_strict(kinds, default=None, return_dtype=pl.String))
    return pl.DataFrame([value, rows.select(kind.alias("value_kind"))["value_kind"]])
