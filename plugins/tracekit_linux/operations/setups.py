"""Irqs that are set up, by column: inside which call each is, and for which device."""

import polars as pl

from tracekit import Inputs
from tracekit_linux.operations.columns import AT
from tracekit_linux.operations.tree import EVER, IRQ_EVENTS, last_lines

SET_UP = pl.col("set_up")  # the irq that was set up last inside a call that wires a vector
# An irq set up at `line` inside the call `at`.
_SET_UP = {"line": pl.Int64(), "irq": pl.Int64(), "at": AT}


def set_up(nested: pl.DataFrame, tables: Inputs, source: str) -> pl.DataFrame:
    """Return the same as `set_up_irqs`, of calls by column (`related`): (line, irq, at)."""
    events = _events(tables, source)
    found = [_inside(events, nested)] if events.height else []
    name = pl.col("name")
    irq = pl.when(name == "request_threaded_irq").then("irq").when(name == "pci_irq_vector").then("ret").alias("irq")
    named = nested.filter(pl.col("up").is_not_null()).select("line", irq, pl.col("up").alias("at")).filter(pl.col("irq") > 0)
    return pl.concat([*found, named]).sort("line", "irq", maintain_order=True)


def irqs_of(nested: pl.DataFrame, irqs: pl.DataFrame) -> pl.DataFrame:
    """Return (at, set_up), the irq that was set up last inside each call that wires a vector."""
    found, left = [], irqs.select(pl.col("at").alias("inside"), "irq")
    number = pl.int_range(pl.len()).alias("n")
    left = left.with_columns(number)
    while left.height:
        inside = nested["signal"].gather(left["inside"])
        left = left.with_columns(inside.alias("at")).drop_nulls("at")
        found.append(left.select("at", "irq", "n"))
        left = left.with_columns(nested["up"].gather(left["at"]).alias("inside")).drop_nulls("inside")
    if not found:
        return pl.DataFrame(schema={"at": AT, "set_up": pl.Int64})
    return pl.concat(found).sort("n").group_by("at").agg(pl.last("irq").alias("set_up"))


def owned(nested: pl.DataFrame, irqs: pl.DataFrame, life: pl.Series) -> pl.DataFrame:
    """Return (line, irq, life, vector) of each irq that is set up inside a call about a device. `life`: of each call."""
    signal = nested["signal"].gather(irqs["at"])
    vector = nested["vector"].gather(signal)
    return irqs.select("line", "irq", life.gather(irqs["at"]).alias("life"), vector.alias("vector")).drop_nulls("life")


def _events(tables: Inputs, source: str) -> pl.DataFrame:
    """Return (line, irq, lane) of the events of a source in whose span an irq is set up."""
    tid, cpu = pl.col("tid"), pl.col("on_cpu").cast(pl.String).fill_null("None")
    task = pl.when(tid != 0).then(pl.format("tid:{}", tid)).otherwise(pl.format("idle:{}", cpu))
    lane = pl.when(tid.is_null()).then(pl.lit("source")).otherwise(task).alias("lane")
    frames = [tables[name] for name in IRQ_EVENTS if name in tables]
    own = [f.filter(pl.col("source") == source).select("line", "irq", lane) for f in frames if "irq" in f.columns]
    return pl.concat(own) if own else pl.DataFrame(schema={"line": pl.Int64, "irq": pl.Int64, "lane": pl.String})


def _inside(events: pl.DataFrame, nested: pl.DataFrame) -> pl.DataFrame:
    """Return (line, irq, at) of the events in the span of a call, in their order."""
    numbered = events.with_row_index("n").sort("line", maintain_order=True)
    near = numbered.join_asof(nested.select("line", "lane", "at"), on="line", by="lane", check_sortedness=False).sort("n")
    running = _running(near["at"], near["line"], nested)
    return _returning(near.select("line", "irq", running.alias("at")).drop_nulls("at"), nested)


def _running(at: pl.Series, line: pl.Series, nested: pl.DataFrame) -> pl.Series:
    """Return the innermost call at or around these that was still running at a line."""
    last, up = _last(nested), nested["up"]
    while (ended := (last.gather(at) < line).fill_null(False)).any():
        at = pl.select(pl.when(ended).then(up.gather(at)).otherwise(at)).to_series()
    return at


def _last(nested: pl.DataFrame) -> pl.Series:
    """Return the last line that can belong to each call."""
    last, up = nested["line_end"].fill_null(EVER), nested["up"]
    open_ended = nested.filter(pl.col("line_end").is_null() | (pl.col("complete") == "return"))["lane"].unique()
    for _ in range(int(nested["depth"].max() or 0)):  # type: ignore[arg-type]
        last = pl.select(pl.min_horizontal(last, last.gather(up))).to_series()
    for lane in nested.filter(pl.col("lane").is_in(open_ended.implode())).partition_by("lane", maintain_order=True):
        numbers = pl.DataFrame({"up": lane["at"], "n": pl.int_range(lane.height, dtype=AT, eager=True)})
        callers = lane.select("up").join(numbers, on="up", how="left", maintain_order="left")["n"].to_list()
        told = last_lines(lane["line"].to_list(), lane["line_end"].to_list(), callers, lane["name"].to_list())
        last.scatter(lane["at"], told)
    return last


def _returning(found: pl.DataFrame, nested: pl.DataFrame) -> pl.DataFrame:
    """Put each event inside the callee whose return comes next without an entry, if there is one."""
    returned = nested["complete"] == "return"
    if not returned.any():
        return found
    callees = nested.filter(pl.col("up").is_not_null()).select(pl.col("line").alias("next_line"), "up", callee="at", returned="complete")
    numbered = found.with_row_index("n").with_columns(pl.col("line") + 1, up="at").sort("line", maintain_order=True)
    ahead = numbered.join_asof(callees, left_on="line", right_on="next_line", by="up", strategy="forward", check_sortedness=False)
    following = ahead.sort("n")
    told = pl.when(following["returned"] == "return").then(following["callee"]).otherwise(found["at"])
    return found.with_columns(told.alias("at"))
