"""The calls of one source by column: where each stands among the others, and what it or the nearest call around it names."""

from collections.abc import Mapping, Sequence
from enum import IntFlag, auto

import polars as pl

from tracekit import VFIO_SET_IRQS
from tracekit_linux.calls.functions import FUNCTIONS, TAKES_DEVICE
from tracekit_linux.operations.tree import (
    ALLOC_AT,
    ALLOCATIONS,
    CLOSING,
    ENABLES,
    FREES,
    INSERTS,
    READ,
    REMOVALS,
    SET_IRQS,
    SETUPS,
    SYSTEM_CALL,
    XEN,
)

AT = pl.UInt32()  # the number of a row among the calls
NUMBERS = (
    "cmd", "flags", "index", "start", "count", "minvec", "min", "maxvec", "max", "hwsize", "domid", "vector", "fd", "irq",
)  # fmt: skip
POINTERS = ("vdev", "dev", "group")
_PAGE = 0x1000


class Is(IntFlag):
    """What a function is for the operations."""

    KNOWN = auto()
    SET_IRQS = auto()
    SYSTEM_CALL = auto()
    ENABLE = auto()
    ALLOCATION = auto()
    ALLOC_AT = auto()
    CLOSING = auto()
    SETUP = auto()
    DISABLE = auto()
    FREE = auto()
    INSERT = auto()
    OUTER_INSERT = auto()
    SIGNAL = auto()
    REQUEST_IRQ = auto()
    FREE_IRQ = auto()
    INSIDE = auto()  # takes `&pdev->dev`
    REMOVAL = auto()  # a `struct pci_dev` is gone
    DOMAIN_REMOVAL = auto()
    XEN = auto()
    READ = auto()  # is an operation, or may be one


_OF: Mapping[Is, Sequence[str]] = {
    Is.KNOWN: tuple(FUNCTIONS),
    Is.SET_IRQS: SET_IRQS,
    Is.SYSTEM_CALL: (SYSTEM_CALL,),
    Is.ENABLE: ENABLES,
    Is.ALLOCATION: ALLOCATIONS,
    Is.ALLOC_AT: ALLOC_AT,
    Is.CLOSING: CLOSING,
    Is.SETUP: SETUPS,
    Is.DISABLE: ("vfio_msi_disable",),
    Is.FREE: FREES,
    Is.INSERT: INSERTS,
    Is.OUTER_INSERT: ("msi_domain_insert_msi_desc",),
    Is.SIGNAL: ("vfio_msi_set_vector_signal",),
    Is.REQUEST_IRQ: ("request_threaded_irq",),
    Is.FREE_IRQ: ("free_irq",),
    Is.INSIDE: tuple(TAKES_DEVICE),
    Is.REMOVAL: REMOVALS,
    Is.DOMAIN_REMOVAL: ("msi_remove_device_irq_domain",),
    Is.XEN: XEN,
    Is.READ: READ,
}
_ARGUED = ("cmd", "cmd_sets", "minvec", "min", "maxvec", "max", "dev")  # what nothing reads but the relations
_RELATING = ("at", "up", "depth", "is", "device", *_ARGUED[:-1])  # what these are found from
# What only levels need of each other, and what nothing reads.
_UNREAD = (
    *("place", "about_one", "is_attempt", "is_asked", "asked_set", "attempt_own"),
    *(f"up_{c}" for c in ("root", "request", "attempt", "asked", "signal", "attempt_own", "asked_set", "least", "most", "named")),
)
_SOUGHT_BELOW = Is.ALLOCATION | Is.SET_IRQS | Is.INSERT | Is.REQUEST_IRQ | Is.FREE_IRQ

_INHERITED: Mapping[str, pl.DataType] = {
    **dict.fromkeys(("root", "request", "attempt", "asked", "setup", "enabling", "insert", "signal"), AT),
    **dict.fromkeys(("attempt_own", "asked_set", "closing", "setting", "freeing", "disabling"), pl.Boolean()),
    **dict.fromkeys(("least", "most"), pl.Int64()),
    "named": pl.UInt64(),
}


def is_a(*kinds: Is, column: str = "is") -> pl.Expr:
    """Return whether a call is of one of these kinds."""
    return (pl.col(column) & sum(kinds)) != 0


def related(calls: pl.DataFrame) -> pl.DataFrame | None:
    """Return the calls of one source, in the order of their lines, with what they name and how they nest; None where two have one number.

    Columns that are numbers of rows: `up` is the caller; `root`, `request`, `attempt` and `asked` are what `Node` has of these names;
    `setup`, `enabling`, `insert` and `signal` the innermost call of that kind at or around it. With `up_` it is that of the caller.
    """
    frame = _with_callers(_named(calls))
    if frame is None:
        return None
    frame = frame.with_columns(_devices(frame))
    levels = _with_below(_levels(frame.select(_RELATING)))
    above = pl.DataFrame(schema={f"up_{name}": kind for name, kind in _INHERITED.items()}).clear(1)
    done = []
    for level in levels:
        made = level.hstack(above[level["place"]])
        made = made.with_columns(_belongings()).with_columns(_results())
        done.append(made.drop(*_RELATING[1:], *_UNREAD))
        above = made.select(pl.col(name).alias(f"up_{name}") for name in _INHERITED)
    return frame.drop(_ARGUED).hstack(pl.concat(done).sort("at").drop("at"))


def _named(calls: pl.DataFrame) -> pl.DataFrame:
    """Return the calls with their names, their kinds and their arguments."""
    name = pl.coalesce(pl.when(pl.col("function") != "").then("function"), "function_hint", pl.lit(""))
    own = calls.select(
        pl.int_range(pl.len(), dtype=AT).alias("at"),
        *("source", "id", "parent", "line", "ts", "line_end", "lane", "depth", "complete", "caller", "probe", "ret"),
        name.alias("name"),
        pl.coalesce("line_end", "line").alias("ended"),
        name.replace_strict(_kinds(), default=0, return_dtype=pl.UInt32).alias("is"),
    )
    return own.hstack(_arguments(calls["args"]))


def _kinds() -> dict[str, int]:
    found: dict[str, int] = {}
    for kind, names in _OF.items():
        found |= {name: found.get(name, 0) | kind for name in names}
    return found


def _arguments(args: pl.Series) -> pl.DataFrame:
    """Return the arguments that operations have, as numbers of 32 bits or as addresses; of two with one name the first."""
    given = pl.DataFrame([pl.int_range(len(args), dtype=AT, eager=True).alias("at"), args.alias("arg")]).explode("arg").drop_nulls("arg")
    flat = given.unnest("arg").filter(pl.col("name").is_in([*NUMBERS, *POINTERS])).select("at", "name", "value")
    made = pl.DataFrame([pl.int_range(len(args), dtype=AT, eager=True).alias("at")])
    for part in flat.partition_by("name", maintain_order=True):
        own = part.select("at", pl.col("value").alias(part["name"][0]))
        once = own if own["at"].n_unique() == own.height else own.unique("at", keep="first", maintain_order=True)
        made = made.join(once, on="at", how="left", maintain_order="left")
    empty = [pl.lit(None, pl.Int64).alias(name) for name in (*NUMBERS, *POINTERS) if name not in made.columns]
    return made.with_columns(empty).select(
        *(pl.col(name).cast(pl.Int32, wrap_numerical=True).cast(pl.Int64) for name in NUMBERS),
        (pl.col("cmd") == VFIO_SET_IRQS).fill_null(False).alias("cmd_sets"),
        *(pl.when(pl.col(name) != 0).then(pl.col(name).reinterpret(signed=False)).alias(name) for name in POINTERS),
    )


def _with_callers(nested: pl.DataFrame) -> pl.DataFrame | None:
    """Add `up`, the row of the caller."""
    ids = nested.select(pl.col("id").alias("parent"), pl.col("at").alias("up"))
    if ids["parent"].n_unique() < ids.height:
        return None
    frame = nested.join(ids, on="parent", how="left", maintain_order="left")
    above = frame["depth"].gather(frame["up"])
    return frame if (frame["depth"] == above.fill_null(-1) + 1).all() else None


def _devices(nested: pl.DataFrame) -> pl.Series:
    """Return the `struct pci_dev *` that each call names; the `struct device` of one lies inside it."""
    answered = (pl.col("name") == "msi_desc_to_pci_dev") & (pl.col("ret") != 0)
    inside = ~answered & (is_a(Is.INSIDE) | ~is_a(Is.KNOWN)) & pl.col("dev").is_not_null()
    told = pl.when(answered).then(pl.col("ret").reinterpret(signed=False)).otherwise("dev")
    own = nested.select("at", "is", told.alias("device"), inside.fill_null(False).alias("inside"))
    known = own.filter(~pl.col("inside") & is_a(Is.KNOWN)).select(pl.col("device").alias("base")).drop_nulls().unique().sort("base")
    within = own.filter("inside").sort("device").join_asof(known.with_columns(device="base"), on="device")
    # `&pdev->dev` is 0xc8 (6.12) or 0xd0 (6.1) bytes into a structure that is smaller than a page.
    near = within.filter(pl.col("device") - pl.col("base") < _PAGE).select("at", "base")
    return own.join(near, on="at", how="left", maintain_order="left").select(pl.coalesce("base", "device").alias("device"))["device"]


def _levels(nested: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the calls of each depth, outermost first; `place` is the row of the caller in the level above."""
    ordered = nested.sort("depth", maintain_order=True)
    sizes = ordered["depth"].value_counts(sort=False).sort("depth")["count"].to_list()
    place = pl.int_range(pl.len(), dtype=AT).over("depth")
    placed = ordered.select("at", place.alias("place")).sort("at")["place"]
    whole = ordered.with_columns(placed.gather(ordered["up"]).alias("place"))
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [whole.slice(start, size) for start, size in zip(starts, sizes, strict=True)]


def _with_below(levels: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Add `below`, the kinds of what stands below each call; callees first."""
    done: list[pl.DataFrame] = []
    told = pl.DataFrame(schema={"place": AT, "kinds": pl.UInt32})
    for level in reversed(levels):
        below = pl.zeros(level.height, pl.UInt32, eager=True)
        below.scatter(told["place"], told["kinds"])
        done.append(own := level.with_columns(below.alias("below")))
        kinds = (pl.col("is") & int(_SOUGHT_BELOW)) | pl.col("below")
        told = own.select("place", kinds.alias("kinds")).filter(pl.col("kinds") != 0).group_by("place").agg(pl.col("kinds").bitwise_or())
    return done[::-1]


def _belongings() -> list[pl.Expr]:
    """Return whether a call is an attempt or a request of its own, given what its caller belongs to."""
    asks = is_a(Is.SET_IRQS) | (is_a(Is.SYSTEM_CALL) & pl.col("cmd_sets"))
    alone = is_a(Is.ALLOC_AT) | (is_a(Is.ALLOCATION) & ~is_a(Is.ALLOCATION, column="below"))
    asked = is_a(Is.SET_IRQS) | (asks & ~is_a(Is.SET_IRQS, column="below"))
    return [
        asks.alias("asks"),
        (asks | is_a(Is.ALLOCATION, Is.ALLOC_AT)).alias("about_one"),
        (is_a(Is.ENABLE) | (alone & ~pl.col("up_attempt_own").fill_null(False))).alias("is_attempt"),
        (asked & ~pl.col("up_asked_set").fill_null(False)).alias("is_asked"),
    ]


def _results() -> list[pl.Expr]:
    """Return what a call belongs to and what stands at or around it."""
    at = pl.col("at")

    def nearest(name: str, own: pl.Expr) -> pl.Expr:
        return pl.when(own).then(at).otherwise(f"up_{name}").alias(name)

    def within(name: str, own: pl.Expr) -> pl.Expr:
        return (own | pl.col(f"up_{name}").fill_null(False)).alias(name)

    least, most = (pl.when(is_a(Is.ALLOCATION)).then(pl.coalesce(names)) for names in (("minvec", "min"), ("maxvec", "max")))
    return [
        pl.coalesce("up_root", at).alias("root"),
        pl.coalesce("up_request", pl.when("about_one").then(at)).alias("request"),
        nearest("attempt", pl.col("is_attempt")),
        pl.when("is_attempt").then(is_a(Is.ENABLE, Is.ALLOC_AT)).otherwise("up_attempt_own").alias("attempt_own"),
        nearest("asked", pl.col("is_asked")),
        pl.when("is_asked").then(is_a(Is.SET_IRQS)).otherwise("up_asked_set").alias("asked_set"),
        nearest("setup", is_a(Is.SETUP)),
        nearest("enabling", is_a(Is.ENABLE)),
        nearest("insert", is_a(Is.INSERT, Is.OUTER_INSERT)),
        nearest("signal", is_a(Is.SIGNAL)),
        within("closing", is_a(Is.CLOSING)),
        within("setting", is_a(Is.SET_IRQS)),
        within("freeing", is_a(Is.FREE, Is.ENABLE)),
        within("disabling", is_a(Is.DISABLE)),
        pl.coalesce(least, "up_least").alias("least"),
        pl.coalesce(most, "up_most").alias("most"),
        pl.coalesce("device", "up_named").alias("named"),
    ]
