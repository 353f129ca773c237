"""Devices: which `struct pci_dev *` and `vdev` are one PCI function, and which BDF it has, by evidence only."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from tracekit import ENVELOPE, Row, Schema
from tracekit_linux.operations.columns import AT
from tracekit_linux.operations.emitted import NOBODY, About
from tracekit_linux.operations.entities import Entity, Identities, Life, Name
from tracekit_linux.operations.naming import KERNEL_LOG
from tracekit_linux.operations.tree import Node

NAMED_BY = ("interrupt_row", "irq_domain_listed", "clock_relations", "streams", *KERNEL_LOG)


def named_devices(lives: Iterable[Life], names: Iterable[Name]) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Name the devices of one source; yield (row, values) for each life of a pointer."""
    for found in names:
        found.life.entity.root().names.append(found)
    for life in lives:
        entity = life.entity.root()
        name = entity.name()
        who = {"bdf": name.bdf, "how": name.how, "bdf_source": name.source, "bdf_line": name.line} if name else {}
        end = {"ts_end": life.end.ts, "line_end": life.end.line} if life.end else {}
        yield life.row, {"pointer": life.pointer, "kind": life.kind, "entity": entity.number, **who, **end}


class Abouts:
    """The devices that calls are about, given whom their pointers stand for."""

    def __init__(self, identities: Identities) -> None:
        self.identities = identities
        self.pointers = _pointers(identities.lives)
        self.known: dict[tuple[int, int | None, int | None], About] = {}  # by id(entity) and its pointers

    def of(self, node: Node) -> About:
        """Return the device that a call is about."""
        life = self.identities.life_of(node)
        if life is None:
            return NOBODY
        entity = life.entity.root()
        device = node.about or self._pointer_of(entity, "pci_dev", node.row.line)
        vdev = node.vdev or self._pointer_of(entity, "vdev", node.row.line)
        if (key := (id(entity), device, vdev)) not in self.known:
            name = entity.name()
            self.known[key] = About(device, vdev, name.bdf if name else None, entity.number)
        return self.known[key]

    def _pointer_of(self, entity: Entity, kind: str, line: int) -> int | None:
        return living(self.pointers.get((id(entity), kind), ()), line)


Span = tuple[int, int | None, int]  # first line, last line, pointer
_SPANS: Schema = {"root": AT, "line": pl.Int64(), "last": pl.Int64(), "pointer": pl.UInt64()}


def _pointers(lives: Iterable[Life]) -> dict[tuple[int, str], list[Span]]:
    """Return (entity, kind) -> its pointers."""
    found: dict[tuple[int, str], list[Span]] = {}
    for x in lives:
        end = x.end.line if x.end else None
        found.setdefault((id(x.entity.root()), x.kind), []).append((x.row.line, end, x.pointer))
    return found


def living(spans: Sequence[Span], line: int) -> int | None:
    """Return the pointer of a kind that a device had at a line."""
    if len(spans) == 1 and spans[0][1] is None:
        return spans[0][2]
    found = [p for first, last, p in spans if first <= line and (last is None or line <= last)]
    return found[-1] if found else None


def abouts(nested: pl.DataFrame, life: pl.Series, lives: Sequence[Life]) -> pl.DataFrame:
    """Return `at` and the columns of `About` for some calls (`related`). `life`: its number for each of them, null for none."""
    roots = {id(x.entity.root()): x.entity.root() for x in lives}
    number = {root: n for n, root in enumerate(roots)}
    entities = [(e.number, name.bdf if name else None) for e in roots.values() for name in [e.name()]]
    known = pl.DataFrame(entities, schema={"entity": pl.Int64, "bdf": pl.String}, orient="row")
    root = pl.Series("root", [number[id(x.entity.root())] for x in lives], dtype=AT)
    own = nested.select("at", "line", "named", "vdev", root.gather(life).alias("root"))
    spans = _pointers(lives)
    pointers = {kind: _living(own, {number[of]: x for (of, k), x in spans.items() if k == kind}) for kind in ("pci_dev", "vdev")}
    told = known[own["root"]]
    device, vdev = pl.coalesce("named", pointers["pci_dev"]), pl.coalesce("vdev", pointers["vdev"])
    known_one = pl.col("root").is_not_null()
    return own.select("at", pl.when(known_one).then(device).alias("device"), pl.when(known_one).then(vdev).alias("vdev")).hstack(told)


def _living(nested: pl.DataFrame, spans: Mapping[int, Sequence[Span]]) -> pl.Series:
    """Return the pointer that the device of each call had then, as `living` does. `spans`: those of each device."""
    lone = {root: pointer for root, [(_, end, pointer), *more] in spans.items() if not more and end is None}
    of_lone = pl.DataFrame({"root": list(lone), "lone": list(lone.values())}, schema={"root": AT, "lone": pl.UInt64})
    rows = [(root, first, last, pointer) for root, found in spans.items() if root not in lone for first, last, pointer in found]
    others = pl.DataFrame(rows, schema=_SPANS, orient="row").sort("line", maintain_order=True)
    told = nested.select("line", "root").join(of_lone, on="root", how="left", maintain_order="left")
    if others.is_empty():
        return told["lone"]
    near = told.join_asof(others, on="line", by="root", check_sortedness=False)
    near = near.with_columns((pl.col("last") < pl.col("line")).fill_null(False).alias("gone"))
    gone = near["gone"].arg_true()
    pointer = near.select(pl.coalesce("lone", pl.when(~pl.col("gone")).then("pointer")).alias("pointer"))["pointer"]
    pointer.scatter(gone, [living(spans[root], line) for root, line in near[gone].select("root", "line").iter_rows()])
    return pointer


def placed(devices: Sequence[tuple[Row, dict[str, Any]]], calls: pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the table `devices`; each row stands where its life begins among the calls of the source."""
    begun = calls[[row.at for row, _ in devices]].select(*ENVELOPE)
    own = {name: [values.get(name) for _, values in devices] for name in schema if name not in ENVELOPE}
    return begun.with_columns(pl.Series(name, cells, dtype=schema[name]) for name, cells in own.items()).select(*schema)
