"""Lives of pirqs by columns, where the debug prints of a guest kernel are all that tells of them: event channels bound and closed, irqs
destroyed. The rules are those by which `PirqLives` follows such prints among other lines (`_begin`, `_end_debug`, `_lost_sight`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

BOUND = "xen_evtchn_created"
ENDS: Mapping[str, str] = {"xen_evtchn_closed": "closed", "xen_irq_destroyed": "destroyed"}
PRINTS = (BOUND, *ENDS)
LATEST = 4  # lives of one pirq and irq that a teardown may be about; earlier ones are long over
LOST = "lost sight"


class Prints:
    """Lives as numbers of rows: where each begins and ends; `end`: what ended it."""

    def __init__(self) -> None:
        self.at: list[int] = []
        self.over: list[int | None] = []
        self.end: list[str] = []
        self.latest: defaultdict[tuple[int, int], list[int]] = defaultdict(list)  # of a pirq and irq
        self.open: list[int] = []  # lives since sight was lost, some of them over

    def hear(self, prints: Iterable[tuple[int, int, str]]) -> None:
        """Take prints in their order: pirq, irq, and what they end, nothing where an event channel is bound."""
        for row, (pirq, irq, end) in enumerate(prints):
            mine = self.latest[pirq, irq]
            if not end:
                self.open.append(self._begin(row, mine, None, ""))
            elif (life := self._ended_by(mine, end)) is None:
                self._lose_sight(row)
                self._begin(row, mine, row, end)
            else:
                self.over[life], self.end[life] = row, end

    def _begin(self, row: int, mine: list[int], over: int | None, end: str) -> int:
        """Begin a life; one of which only the end is seen is over at once."""
        life = len(self.at)
        self.at.append(row)
        self.over.append(over)
        self.end.append(end)
        mine.append(life)
        if len(mine) > LATEST:
            del mine[0]
        return life

    def _ended_by(self, mine: Sequence[int], end: str) -> int | None:
        """Return the latest life that may end so: an open one, or a closed one whose irq is destroyed."""
        for life in reversed(mine):
            if self.over[life] is None or (self.end[life] == "closed" and end == "destroyed"):
                return life
        return None

    def _lose_sight(self, row: int) -> None:
        """End what is open where a life ends that was not seen to begin: the log has a gap, or the guest rebooted."""
        for life in self.open:
            if self.over[life] is None:
                self.over[life], self.end[life] = row, LOST
        self.open.clear()


def lives_of_prints(tables: Mapping[str, pl.DataFrame], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the lives that prints of one source tell, in the order of their begins, with the columns of `pirq_lives`."""
    told = [tables[name].with_columns(end=pl.lit(ENDS.get(name, ""))) for name in sorted(PRINTS) if name in tables]
    prints = pl.concat(told, how="diagonal").sort("line", maintain_order=True)
    heard = Prints()
    heard.hear(zip(prints["pirq"].to_list(), prints["irq"].to_list(), prints["end"].to_list(), strict=True))
    over = pl.Series(heard.over, dtype=pl.UInt32)
    own = {
        "end": pl.Series(heard.end, dtype=pl.String),
        "began": prints["end"].gather(heard.at) == "",
        "ts_end": prints["ts"].gather(over),
        "line_end": prints["line"].gather(over),
    }
    same = {"basis": "debug", "given": False, "reused": False, "bdf": None, "device": None}
    begins = prints[heard.at].with_columns(**own, **{name: pl.lit(value, schema[name]) for name, value in same.items()})
    return begins.select(*schema)
