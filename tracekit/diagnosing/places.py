"""The places of a case. A place is one machine in one boot; a diagnosis sees others only across a stated mapping.

A diagnosis sees the rows of one place. The tables that it names in `across` hold the rows of related places too: a guest's beside those
of the one host of the case. Which machine is a guest is stated (`--side`, Xen's `(d1)`). With several hosts or guests the command lines
of QEMU state whose it is: a host is related to the only guest of the case that they give a device of it; else to none, since nothing
states which of them a line of the host is about.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import polars as pl

from tracekit.tables.shared import VM_DEVICES

_T = TypeVar("_T")
Key = tuple[str, int]  # machine, boot
ONLY: Key = ("", 0)
_TALL = 8192  # rows


@dataclass(frozen=True, slots=True)
class Place:
    """One machine in one boot."""

    machine: str
    boot: int

    @property
    def key(self) -> Key:
        """Return machine and boot."""
        return self.machine, self.boot

    def __str__(self) -> str:
        return f"{self.machine or 'a machine without a name'}{f', boot {self.boot}' if self.boot else ''}"


class _Tables(dict[str, pl.DataFrame | None]):
    """The tables that have rows, by name; any other one is None."""

    def __missing__(self, name: str) -> None:
        return None


class Places:
    """The tables of a case by place. Tables without a machine (`sources`, `streams`) are divided by the sources of the place."""

    def __init__(self, tables: Mapping[str, pl.DataFrame], telling: Mapping[str, Sequence[str]] | None = None) -> None:
        """Take the tables; `telling`: names of event tables, by what they tell (mark `tells`)."""
        self.tables = {name: frame for name, frame in tables.items() if frame.height}
        self._whole = _Tables(self.tables)
        self.telling = telling or {}
        self._divided: dict[str, dict[Key, pl.DataFrame]] = {}
        self._joined: dict[tuple[str, Key], pl.DataFrame | None] = {}
        self._made: dict[tuple[object, Key], object] = {}
        self._found: dict[tuple[int, object], object] = {}

    def __iter__(self) -> Iterator[Place]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def ask(self, place: Place, names: Iterable[str], across: Sequence[str] = ()) -> Mapping[str, pl.DataFrame | None]:
        """Return the tables that have rows at a place; any other one is None. `across`: those that hold the rows of related places too."""
        if len(self._all) < 2:
            return self._whole
        found = ((name, self.across(place, name) if name in across else self.rows(place, name)) for name in names)
        return _Tables((name, rows) for name, rows in found if rows is not None)

    def of(self, frame: pl.DataFrame, what: Hashable, find: Callable[[], _T]) -> _T:
        """Return what is found in a table of these places; it is looked for once, however many diagnoses ask."""
        key = (id(frame), what)  # they live as long as the places do
        if key not in self._found:
            self._found[key] = find()
        return cast(_T, self._found[key])

    def values(self, frame: pl.DataFrame, column: str) -> list[Any]:
        """Return a column of a table of these places as a list."""
        return self.of(frame, column, lambda: frame.get_column(column).to_list())

    def rows(self, place: Place, name: str) -> pl.DataFrame | None:
        """Return the rows of a table that are of this place; None where there are none."""
        if name not in self.tables:
            return None
        return self.tables[name] if len(self) < 2 else self._parts(name).get(place.key)

    def told(self, place: Place, what: str) -> pl.DataFrame | None:
        """Return the rows of this place that tell something (`loss`), with the columns that they share; None where there are none."""
        frames = [rows for name in self.telling.get(what, ()) if (rows := self.rows(place, name)) is not None]
        if len(frames) < 2:
            return frames[0] if frames else None
        common = [c for c in frames[0].columns if all(c in f.columns for f in frames)]
        return pl.concat([f.select(common) for f in frames])

    def once(self, place: Place, make: Callable[["Places", Place], _T]) -> _T:
        """Return what `make` gives for a place; it is called once, however many diagnoses ask."""
        key = (make, place.key)
        if key not in self._made:
            self._made[key] = make(self, place)
        return cast(_T, self._made[key])

    def across(self, place: Place, name: str) -> pl.DataFrame | None:
        """Return the rows of a table that are of this place or of one that is related to it, in the order of the table."""
        if name not in self.tables:
            return None
        if len(self) < 2 or all(self.related(place, other) for other in self):
            return self.tables[name]
        if (name, place.key) not in self._joined:
            parts = [part for other in self if self.related(place, other) and (part := self._parts(name).get(other.key)) is not None]
            self._joined[name, place.key] = pl.concat(parts) if parts else None
        return self._joined[name, place.key]

    def related(self, a: Place, b: Place) -> bool:
        """Return whether rows of one place may be evidence for another: always within a place, and between a guest and its host.

        They are the only ones of the case, or the host's command lines state it.
        """
        if a.key == b.key:
            return True
        guest, host = (a, b) if a.machine in self._guests else (b, a)
        if guest.machine not in self._guests or host.machine in self._guests:
            return False
        if len(self._machines - self._guests) == 1 and len(self._machines & self._guests) == 1:
            return True
        return self._given.get(host.machine, set()) & self._machines & self._guests == {guest.machine}

    @cached_property
    def _keys(self) -> list[Key]:
        """Return every machine and boot that has a row, in order."""
        return sorted({key for f in self.tables.values() for key in _keys_of(f)}) or [ONLY]

    @cached_property
    def _all(self) -> list[Place]:
        return [Place(*key) for key in self._keys]

    @cached_property
    def _guests(self) -> frozenset[str]:
        """Return the machines whose rows are all a guest's."""
        sides = [f.select("machine", "side").unique() for f in self.tables.values() if _is_placed(f) and "side" in f.columns]
        rows = {row for f in sides for row in f.iter_rows()}
        hosts = {machine or "" for machine, side in rows if not (side or "").startswith("guest")}
        return frozenset({machine or "" for machine, _ in rows} - hosts)

    @cached_property
    def _given(self) -> dict[str, set[str]]:
        """Return the guests that each machine's command lines give a device."""
        found: dict[str, set[str]] = {}
        if (stated := self.tables.get(VM_DEVICES.name)) is not None:
            for machine, vm in stated.select("machine", "vm").unique().iter_rows():
                found.setdefault(machine or "", set()).add(vm)
        return found

    @cached_property
    def _machines(self) -> frozenset[str]:
        return frozenset(machine for machine, _ in self._keys)

    @cached_property
    def _sources(self) -> dict[str, set[Key]]:
        """Return the places that each source has rows of."""
        found: dict[str, set[Key]] = {}
        for f in self.tables.values():
            if _is_placed(f):
                for source, machine, boot in f.select("source", "machine", "boot").unique().iter_rows():
                    found.setdefault(source, set()).add(_key(machine, boot))
        return found

    def _parts(self, name: str) -> dict[Key, pl.DataFrame]:
        if name not in self._divided:
            frame = self.tables[name]
            if _is_placed(frame):
                parts = frame.partition_by("machine", "boot", as_dict=True, maintain_order=True)
                self._divided[name] = {_key(*key): part for key, part in parts.items()}
            else:
                self._divided[name] = {key: part for key in self._keys if (part := self._of_sources(frame, key)).height}
        return self._divided[name]

    def _of_sources(self, frame: pl.DataFrame, key: Key) -> pl.DataFrame:
        if "source" not in frame.columns:
            return frame
        return frame.filter(pl.col("source").is_in([source for source, keys in self._sources.items() if key in keys]))


def _is_placed(frame: pl.DataFrame) -> bool:
    return "machine" in frame.columns and "boot" in frame.columns


def _keys_of(frame: pl.DataFrame) -> Iterable[Key]:
    """Return every machine and boot that has a row. Most tables are of one place: of these no pair is looked for."""
    if not _is_placed(frame):
        return ()
    if frame.height > _TALL and frame.select(pl.col("machine", "boot").n_unique()).row(0) == (1, 1):
        frame = frame.head(1)  # a column of one value stays one value: as a series of its own it takes memory for each row
    machine, boot = map(frame.get_column, ("machine", "boot"))
    if machine.n_unique() == 1 and boot.n_unique() == 1:
        return [_key(machine.item(0), boot.item(0))]
    return {_key(*key) for key in frame.select("machine", "boot").unique().iter_rows()}


def _key(machine: object, boot: object) -> Key:
    return str(machine or ""), int(str(boot or 0))
