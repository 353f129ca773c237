"""The number of MSI pirqs that a domain can have, as far as the case shows it."""

from dataclasses import dataclass

import polars as pl

from tracekit import Evidence, Row
from tracekit_xen.places import rows, whole


@dataclass(frozen=True, slots=True)
class Room:
    """The MSI pirqs of a domain: `extra` in all, `floor` the lowest one, `held` the largest inventory; each with its rows of evidence."""

    extra: int | None = None
    floor: int | None = None
    held: tuple[int, ...] = ()
    told: tuple[Row, ...] = ()
    inventory: Row | None = None

    @property
    def free(self) -> int | None:
        """Return numbers that the inventory leaves."""
        return self.extra - len(self.held) if self.extra is not None and self.inventory is not None else None

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Return the lines that show the limit and the inventory."""
        return tuple(whole(r, "cause") for r in (*self.told, *([self.inventory] if self.inventory else [])))


def room(facts: pl.DataFrame | None, domid: int | None, prefer: frozenset[str] = frozenset()) -> Room:
    """Return the room of a domain; null stands for a domU. Sources in `prefer` (those of the refusals) come first."""
    known = sorted(rows(facts), key=lambda r: r.source not in prefer)
    gsis = next((r for r in known if r.fact == "gsis"), None)
    extra = next((r for r in known if r.fact == "extra" and (r.domid == domid or (r.domid is None and domid != 0))), None)
    limit = next((r for r in known if r.fact == "limit" and r.domid == domid and domid is not None), None)
    inventory = _inventory(known, domid, gsis.value if gsis else None)
    told = [r for r in (extra or limit, gsis) if r is not None]
    number = extra.value if extra else limit.value - gsis.value if limit and gsis else None
    held = tuple(p for p in inventory.pirqs if gsis is None or p >= gsis.value) if inventory else ()
    return Room(number, gsis.value if gsis else None, held, tuple(told), inventory)


def _inventory(known: list[Row], domid: int | None, floor: int | None) -> Row | None:
    """Return the inventory with the most MSI pirqs: debug key i before event channels, within a source the earliest."""
    counted = [r for r in known if r.fact in ("held", "ports") and r.domid == (0 if domid is None else domid) and domid is not None]

    def size(r: Row) -> tuple[int, bool]:
        return len([p for p in r.pirqs if floor is None or p >= floor]), r.fact == "held"

    return max(counted, key=size, default=None)
