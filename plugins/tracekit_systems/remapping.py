"""The interrupt-remapping table of a host: one entry per vector, taken when the vector is allocated."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import polars as pl

from tracekit import Fix, System

Machines = Mapping[str, Any]
Gates = Mapping[str, Any]
FEWER = Fix("fewer_vectors", True, ("VEC-005",), "fewer vectors allocated: an entry is taken at allocation, not at request")


class RemappingTable(System):
    """A table that was full when devices asked for entries: Intel has 65,536 entries per IOMMU in every kernel."""

    name: ClassVar[str] = "remapping-table"
    reads: ClassVar[tuple[str, ...]] = ("irte_exhausted",)
    switches: ClassVar[tuple[str, ...]] = ("fewer_vectors", "larger_table")
    fixes: ClassVar[tuple[Fix, ...]] = (FEWER,)
    by_amd: ClassVar[bool] = False

    def __init__(self, machines: Machines, refused: int) -> None:
        self.machines, self.refused = machines, refused

    @classmethod
    def instances(cls, machines: Machines, tables: Mapping[str, pl.DataFrame]) -> Sequence[System]:
        """Yield one system where a device was refused an entry; entries of an I/O APIC do not count."""
        messages = tables.get("irte_exhausted")
        if "IrtePool" not in machines or messages is None:
            return []
        mine = messages.filter(pl.col("rest").is_null() & ((pl.col("said_by") == "AMD-Vi").fill_null(False) == cls.by_amd))
        return [cls(machines, mine.height)] if mine.height else []

    def gates(self) -> Gates:
        return {fix.gate: False for fix in self.fixes}

    def faults(self, gates: Gates) -> frozenset[str]:
        asked = 0 if gates["fewer_vectors"] else self.refused
        table = self._table(gates)
        return frozenset({"VEC-005"}) if any(0 not in table.allocate("device") for _ in range(asked)) else frozenset()

    def cost(self, gates: Gates) -> Mapping[str, int]:
        """Vectors that are done without, entries that a larger table has in use."""
        if gates["fewer_vectors"]:
            return {"vectors": -self.refused}
        return {"irtes": self.refused if gates.get("larger_table") else 0}

    def refutable(self) -> frozenset[str]:
        """None: the messages are all there is to replay."""
        return frozenset()

    def assumptions(self) -> tuple[str, ...]:
        return ("each message is taken to be a request for one entry when none was left",)

    def _table(self, gates: Gates) -> Any:
        return self.machines["IrtePool"](size=self.refused if gates.get("larger_table") else 0)


class AmdTable(RemappingTable):
    """AMD has one table per device, of 256 entries, in later kernels of 512."""

    name: ClassVar[str] = "amd-remapping-table"
    fixes: ClassVar[tuple[Fix, ...]] = (FEWER, Fix("larger_table", True, ("VEC-005",), "a kernel with 512 entries a device"))
    by_amd: ClassVar[bool] = True
