"""Operations by column: what arguments and result of a call and the calls around it say. What is inferred is left to `Reading`."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from tracekit import VFIO_DATA_BOOL, VFIO_DATA_EVENTFD, VFIO_DATA_NONE, VFIO_NONE
from tracekit_linux.operations.columns import Is, is_a
from tracekit_linux.operations.setups import SET_UP
from tracekit_linux.operations.tree import CLOSING

Kind = tuple[pl.Expr, Mapping[str, pl.Expr]]  # which calls are rows of a table, and its own columns

# What is read of a call.
_OWN = (
    *("at", "name", "is", "below", "ended", "ret", "caller", "probe", SET_UP, "attempt", "asked", "insert", "least", "most"),
    *("flags", "index", "start", "count", "hwsize", "domid", "vector", "fd", "group"),
    *("up_closing", "up_setting", "up_setup", "up_freeing", "up_disabling"),
)
# The order in which calls end: children come before their parent.
_ENDS = pl.col("ended") * (1 << 32) - pl.col("at")
_NAME, _AT, _RET = pl.col("name"), pl.col("at"), pl.col("ret")
_IS_INSERT = is_a(Is.INSERT) | (is_a(Is.OUTER_INSERT) & ~is_a(Is.INSERT, column="below"))


def inferred(nested: pl.DataFrame) -> pl.Series:
    """Return which calls stand in a tree of which something has to be inferred, or in which only a return is recorded of a call."""
    unanswered = _RET.is_null() & is_a(Is.ALLOCATION, Is.INSERT, Is.OUTER_INSERT)
    unargued = is_a(Is.SYSTEM_CALL) | ((pl.col("flags").is_null() | pl.col("count").is_null()) & is_a(Is.SET_IRQS))
    in_insert = is_a(Is.INSERT) & ((pl.col("is").gather(pl.col("up_insert")) & Is.INSERT) != 0)
    others = is_a(Is.ALLOC_AT, Is.XEN) | (pl.col("complete") == "return")
    which = unanswered | (unargued & (pl.col("asked") == _AT)) | in_insert | others
    roots = nested.filter(which.fill_null(False))["root"].unique()
    return nested["root"].is_in(roots.implode())


def by_column(nested: pl.DataFrame, which: pl.Series) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield (table, its rows): `at` is the number of the call, the other columns are its own, or in place of what all operations have.

    `nested`: those of `related`, with `set_up`, the irq that was set up last inside each; `which`: those that are read.
    """
    around = nested.select(*_OWN, *_around()).filter(which & is_a(Is.READ)).sort(_ENDS)
    rows = around.join(_sizes(nested), on="at", how="left", maintain_order="left").with_row_index("n").lazy()
    tables = _kinds()
    made = pl.collect_all(
        [pl.concat([rows.filter(own).select("n", "at", **columns) for own, columns in kinds]) for kinds in tables.values()]
    )
    for (table, kinds), frame in zip(tables.items(), made, strict=True):
        if frame.height:
            yield table, (frame if len(kinds) == 1 else frame.sort("n")).drop("n")


def _around() -> list[pl.Expr]:
    """Return what the calls around each call say."""
    return [
        pl.col("hwsize").gather(pl.col("up_setup")).alias("setup_hwsize"),
        _NAME.gather(pl.coalesce("up_setup", "up_enabling")).alias("around"),
        pl.col("start").gather(pl.col("asked")).alias("asked_start"),
    ]


def _sizes(nested: pl.DataFrame) -> pl.DataFrame:
    """Return the size that was read first inside each insert."""
    read = nested.filter((_NAME == "msi_domain_get_hwsize") & _RET.is_not_null() & pl.col("insert").is_not_null())
    return read.group_by(pl.col("insert").alias("at")).agg(pl.first("ret").alias("size_inside"))


def _kinds() -> Mapping[str, Sequence[Kind]]:
    """Return what makes the rows of each table."""
    unbinds = is_a(Is.DOMAIN_REMOVAL) & pl.col("up_setup").is_null() & ~_flag("up_setting")
    kind = _kind(_NAME)
    of_flags = (pl.col("flags").fill_null(0) & 7).replace_strict({4: "msix", 2: "msi"}, default=None, return_dtype=pl.String)
    of_alloc = pl.when(_NAME.str.contains("msix", literal=True)).then(pl.lit("msix")).when(is_a(Is.ENABLE)).then(pl.lit("msi"))
    return {
        "op_open": [(_NAME == "vfio_pci_core_enable", {})],
        "op_close": [*_closes(), (unbinds, {"how": pl.lit("rebind")})],
        "op_set_irqs": [(_requests(), _request())],
        "op_alloc": [
            (
                is_a(Is.ALLOCATION) & (pl.col("attempt") == _AT),
                {"kind": of_alloc.otherwise(of_flags), "min": pl.col("least"), "max": pl.col("most")},
            )
        ],
        "op_domain_setup": [(is_a(Is.SETUP), {"kind": kind, "hwsize": pl.col("hwsize")})],
        "op_domain_create": [(_NAME == "msi_create_device_irq_domain", _creation())],
        "op_domain_remove": [(is_a(Is.DOMAIN_REMOVAL), {"domid": pl.col("domid")})],
        "op_insert": [(_IS_INSERT, {"index": _insert_index(), "hwsize": pl.col("size_inside")})],
        "op_table_size": [((_NAME == "pci_msix_vec_count") & (_RET > 0), {"count": _RET, "origin": _NAME})],
        "op_domain_size": [(_size_alone(), {"hwsize": _RET})],
        "op_vector": [(is_a(Is.SIGNAL), _vector())],
        "op_free": [(is_a(Is.FREE) & ~_flag("up_freeing"), {})],
        "op_attach": [(_NAME == "vfio_iommu_type1_attach_group", {"group": pl.col("group")})],
    }


def _size_alone() -> pl.Expr:
    """Return whether a call reads the size of the irq domain in an enable, outside of an insert."""
    return (_NAME == "msi_domain_get_hwsize") & _RET.is_not_null() & pl.col("attempt").is_not_null() & pl.col("insert").is_null()


def _flag(name: str) -> pl.Expr:
    return pl.col(name).fill_null(False)


def _kind(function: pl.Expr) -> pl.Expr:
    """Return the kind of interrupt that a function's name has."""
    named = pl.when(function.str.contains("msix", literal=True)).then(pl.lit("msix")).otherwise(pl.lit("msi"))
    return pl.when(function.is_not_null()).then(named)


def _requests() -> pl.Expr:
    return is_a(Is.SET_IRQS) & (pl.col("asked") == _AT)


def _request() -> dict[str, pl.Expr]:
    """Return the columns of a SET_IRQS request."""
    flags, told = pl.col("flags"), ((VFIO_DATA_NONE, "none"), (VFIO_DATA_BOOL, "bool"), (VFIO_DATA_EVENTFD, "eventfd"))
    data = pl.coalesce([pl.when((flags & bit) != 0).then(pl.lit(name)) for bit, name in told])
    from_kernel = pl.col("caller").is_null() & _flag("up_closing") & (data.is_null() | (data == "none"))
    closing = pl.col("caller").is_in(CLOSING).fill_null(False) | from_kernel | (pl.col("index") == VFIO_NONE).fill_null(False)
    return {**{name: pl.col(name) for name in ("flags", "index", "start", "count")}, "data": data, "closing": closing}


def _closes() -> list[Kind]:
    """Return the calls that show a close, however many show one: vfio_pci_core_disable, its caller, and its own request."""
    outer = ~_flag("up_closing")
    how = pl.when(pl.col("index") == VFIO_NONE).then(pl.lit("index5")).otherwise(pl.lit("close_device"))
    return [
        (is_a(Is.CLOSING) & outer, {"how": pl.lit("close_device")}),
        (_requests() & outer & _request()["closing"], {"how": how}),
    ]


def _creation() -> dict[str, pl.Expr]:
    return {
        "kind": _kind(pl.col("around")),
        "domid": pl.col("domid"),
        "hwsize": pl.coalesce("hwsize", "setup_hwsize"),
        "ret": _RET.fill_null(1),
        "inferred": _RET.is_null(),
    }


def _insert_index() -> pl.Expr:
    """Return the argument, else the place of an insert among those of its enable."""
    place = pl.int_range(pl.len()).over("attempt")
    return pl.coalesce("index", pl.when(pl.col("attempt").is_not_null()).then(place))


def _vector() -> dict[str, pl.Expr]:
    """Return the columns of a call that wires or detaches a vector."""
    requested, freed = is_a(Is.REQUEST_IRQ, column="below"), is_a(Is.FREE_IRQ, column="below")
    detached = (pl.col("caller") == "vfio_msi_disable").fill_null(False) | _flag("up_disabling") | (freed & ~requested)
    fd = pl.coalesce("fd", pl.when(detached).then(-1))
    counted = pl.col("vector").is_null() & pl.col("asked_start").is_not_null() & (fd != -1).fill_null(True)
    place = pl.when(counted).then(pl.col("asked_start") + counted.cum_sum().over("asked") - 1)
    implied = requested & pl.col("probe").is_null() & _RET.is_null()
    return {
        "vector": pl.coalesce("vector", place),
        "fd": fd,
        "irq": SET_UP,
        "ret": pl.when(implied).then(0).otherwise(_RET),
        "inferred": implied,
    }
