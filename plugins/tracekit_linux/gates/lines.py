"""Lines that tell something of a kernel, a VMM or a hypervisor: the first of each kind is enough."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter

from tracekit import Inputs, Row, rows_of

FEW = 300  # rows up to which a loop is sooner done than frames are searched


def lines(tables: Inputs, name: str, *kinds: str) -> Sequence[Row]:
    """Return rows of a table in the order of their lines, of many only the first with the same values in the columns `kinds`."""
    if (count := tables.height(name)) <= FEW:
        return sorted(tables.rows(name), key=attrgetter("line")) if count else ()
    frame = tables[name]
    differ = [kind for kind in kinds if not frame[kind].eq_missing(frame[kind][0]).all()]
    told = frame.select("line", *differ).with_row_index("=at")
    if not told["line"].is_sorted():
        told = told.sort("line", maintain_order=True)
    if len(differ) == 1:  # three times as fast
        first_ones = told.filter(told[differ[0]].is_first_distinct())
    else:
        first_ones = told.unique(differ, keep="first", maintain_order=True) if differ else told.head(1)
    return list(rows_of(frame[first_ones["=at"]]))


def first(rows: Iterable[Row], fits: Callable[[Row], bool]) -> Iterator[Row]:
    """Yield the first row that fits, if there is one."""
    return islice(filter(fits, rows), 1)


def each(rows: Iterable[Row], kind: str) -> list[Row]:
    """Return the first row with each value of a column."""
    found: dict[object, Row] = {}
    for row in rows:
        found.setdefault(getattr(row, kind), row)
    return list(found.values())
