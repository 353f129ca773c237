"""Symbols: which function a probe event stands for."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from tracekit import Inputs, Row, rows_of
from tracekit_linux.calls.arguments import Fetches, fetches, fields, function_of
from tracekit_linux.calls.functions import FUNCTIONS, guess


class Names:
    """Which function a probe event stands for: its symbol, its definition, or a guess."""

    def __init__(self, tables: Mapping[str, pl.DataFrame], few: bool = False) -> None:
        self.definitions = self._definitions(tables.get("kprobe_definition"))
        self.symbols = self._symbols(tables.get("kallsyms_symbol"))
        self.by_address: dict[int, str] = {}
        self.resolved: dict[tuple[Any, ...], tuple[str | None, str | None]] = {}
        self.returning: set[str] = set()
        for kind in ("probe_entry", "probe_return"):
            if few and isinstance(tables, Inputs):
                self._learn(kind, tables.rows(kind))
            elif (frame := tables.get(kind)) is not None:
                unnamed = frame.filter(pl.col("function").is_null())
                self._learn(kind, rows_of(unnamed.unique(["probe", "address"], keep="first", maintain_order=True)))
                self.returning.update(frame["function"].drop_nulls().unique() if kind == "probe_return" else ())

    @staticmethod
    def _definitions(frame: pl.DataFrame | None) -> dict[str, dict[str, Fetches]]:
        """Probe -> function -> what its arguments fetch."""
        found: dict[str, dict[str, Fetches]] = {}
        if frame is not None and frame.height:
            for probe, function, args in frame.select("probe", "function", "args").iter_rows():
                if (name := function_of(function)) is not None:
                    found.setdefault(probe.rpartition("/")[2], {})[name] = fetches(args)
        return found

    @staticmethod
    def _symbols(frame: pl.DataFrame | None) -> dict[int, str]:
        """Address -> known function, from /proc/kallsyms."""
        if frame is None or frame.is_empty():
            return {}
        named = frame.select("address", pl.col("symbol").str.split(".").list.first()).filter(pl.col("symbol").is_in(list(FUNCTIONS)))
        return {at: symbol for address, symbol in named.iter_rows() if (at := int(address, 16))}

    def _learn(self, kind: str, rows: Iterable[Row]) -> None:
        """Guess the functions of probes that have addresses only; entries first, for returns share their addresses."""
        for row in rows:
            if row.function is None:
                name, hint = self.of(row.probe, None, row.address, row.args)
                if kind == "probe_return":
                    self.returning.add(name or hint or row.probe)
                elif hint and row.address is not None:
                    self.by_address[row.address] = hint
            elif kind == "probe_return":
                self.returning.add(row.function)

    def of(self, probe: str, function: str | None, address: int | None, args: str | None) -> tuple[str | None, str | None]:
        """Return (function, hint) of a probe event."""
        if function is not None:
            return function, None
        key = (probe, address)
        if key not in self.resolved:
            self.resolved[key] = self._guess(probe, address, args)
        return self.resolved[key]

    def _guess(self, probe: str, address: int | None, args: str | None) -> tuple[str | None, str | None]:
        defined = self.definitions.get(probe, {})
        if len(defined) == 1:
            return next(iter(defined)), None
        # A kprobe behind the landing pad stands up to 16 bytes after the address that its kretprobe prints.
        symbol = next((f for n in range(17) if address is not None and (f := self.symbols.get(address - n))), None)
        if symbol is not None:
            return symbol, None
        near = next((f for a, f in self.by_address.items() if address is not None and abs(a - address) <= 16), None)
        return None, near or guess(probe, frozenset(n for n, _ in fields(args)))

    def fetches(self, probe: str, function: str | None) -> Fetches:
        """Return what the arguments of this probe on this function fetch; empty if no definition says so."""
        return self.definitions.get(probe, {}).get(function or "", {})
