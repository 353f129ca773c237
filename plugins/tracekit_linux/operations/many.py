"""Many calls of one source into operations by column; trees in which something is inferred are read one by one."""

from collections.abc import Iterator, Mapping
from typing import Self

import polars as pl

from tracekit import ENVELOPE, Inputs
from tracekit_linux.operations.columns import Is, is_a, related
from tracekit_linux.operations.devices import abouts, named_devices, placed
from tracekit_linux.operations.emitted import About, sized
from tracekit_linux.operations.lives import Walked
from tracekit_linux.operations.naming import names_of_many
from tracekit_linux.operations.reading import Reading
from tracekit_linux.operations.rows import by_column, inferred
from tracekit_linux.operations.setups import irqs_of, owned, set_up
from tracekit_linux.operations.tree import tree_of

Schemas = Mapping[str, Mapping[str, pl.DataType]]


class Many:
    """The calls of one source, as they are and as columns that relate them."""

    def __init__(self, calls: pl.DataFrame, columns: pl.DataFrame, tables: Inputs) -> None:
        self.calls = calls
        self.identities = Walked(columns, calls["source"][0])
        irqs = set_up(columns, tables, self.identities.source)
        self.names = names_of_many(self.identities, owned(columns, irqs, self.identities.life), tables)
        self.columns = columns.join(irqs_of(columns, irqs), on="at", how="left", maintain_order="left")

    @classmethod
    def of(cls, calls: pl.DataFrame, tables: Inputs) -> Self | None:
        """Return the calls of a source, in the order of their lines; None where their numbers do not tell them apart."""
        columns = related(calls)
        return None if columns is None else cls(calls, columns, tables)

    def frames(self, schemas: Schemas) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield (table, its rows)."""
        devices = list(named_devices(self.identities.lives, self.names))
        yield "devices", placed(devices, self.calls, schemas["devices"])
        odd = inferred(self.columns)
        read = self.columns.select("at", "line", "named", "vdev", "is").filter(is_a(Is.READ))
        told = abouts(read, self.identities.life.gather(read["at"]), self.identities.lives)
        about = self.columns.select("at").join(told, on="at", how="left", maintain_order="left")
        found = {table: [self._whole(frame, about, schemas[table])] for table, frame in by_column(self.columns, ~odd)}
        for table, frame in self._inferred(odd, about, schemas):
            found.setdefault(table, []).append(frame)
        made = {table: _ordered(frames) for table, frames in found.items()}
        if "op_close" in made:
            made["op_close"] = self._once(made)
        yield from made.items()

    def _whole(self, rows: pl.DataFrame, about: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
        """Return the rows of a table with all their columns."""
        calls = self.columns.select("attempt", "asked")[rows["at"]]
        own = self.calls.select(*ENVELOPE, "ts_end", "line_end", "ret", "id", pl.col("function").is_null().alias("hint"))
        begun = own[rows["at"]]
        ids = self.calls["id"]
        of_all = begun.drop("id").with_columns(
            begun["id"].alias("call"),
            ids.gather(calls["attempt"]).alias("attempt"),
            ids.gather(calls["asked"]).alias("request"),
            pl.lit(False).alias("inferred"),
            *about.select(About._fields)[rows["at"]],
        )
        whole = of_all.with_columns(rows.drop("at"))
        empty = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in whole.columns]
        return whole.with_columns(empty).select(sized(name, kind) for name, kind in schema.items())

    def _inferred(self, odd: pl.Series, about: pl.DataFrame, schemas: Schemas) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield (table, rows) of the trees in which something is inferred."""
        if not odd.any():
            return
        own = self.columns.filter(odd).select("at", "id", "set_up")
        told = own.join(about, on="at")
        known = {number: About(*cells) for number, *cells in told.select("id", *About._fields).iter_rows()}
        irqs = dict(own.drop_nulls("set_up").select("id", "set_up").iter_rows())
        tree = tree_of(self.calls.filter(odd))
        reading = Reading(set(self.columns["name"].unique()), lambda node: known[node.row.id], irqs)
        for table, emitted in reading.emitted(tree).items():
            if emitted.nodes:
                yield table, emitted.frame(tree, schemas[table])

    def _once(self, made: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Return the closes, each once, however many calls show it: as `Closings` has it."""
        own = self.columns.select(pl.col("id").alias("call"), pl.col("vdev").alias("device_at"))
        used = [made["op_open"]] if "op_open" in made else []
        used += [made["op_set_irqs"].filter(~pl.col("closing"))] if "op_set_irqs" in made else []
        shown = made["op_close"].with_row_index("n").filter(pl.col("how") != "rebind")
        events = [_events(f.join(own, on="call", how="left"), pl.col("device_at")).with_columns(n=None) for f in used]
        events.append(_events(shown, pl.col("vdev"), pl.col("n")))
        ordered = pl.concat(events, how="vertical_relaxed").sort(*_ORDER, descending=_DOWN).drop_nulls("key")
        before = pl.col("n").is_not_null().shift(1).over("key").fill_null(False)
        again = ordered.filter(before & pl.col("n").is_not_null())["n"]
        return made["op_close"].with_row_index("n").filter(~pl.col("n").is_in(again.implode())).drop("n")


_ORDER, _DOWN = ("ended", "line"), [False, True]


def _events(rows: pl.DataFrame, vdev: pl.Expr, *more: pl.Expr) -> pl.DataFrame:
    return rows.select(pl.coalesce("line_end", "line").alias("ended"), "line", vdev.alias("key"), *more)


def _ordered(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return rows in the order in which their calls end."""
    if len(frames) == 1:
        return frames[0]
    both = pl.concat(frames)
    return both.sort(pl.coalesce("line_end", "line"), "line", descending=_DOWN)
