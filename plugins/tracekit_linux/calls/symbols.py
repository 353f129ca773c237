"""Symbols: which function a probe event stands for."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from tracekit_linux.calls.arguments import Fetches, fetches, fields, function_of
from tracekit_linux.calls.functions import FUNCTIONS, guess


class Names:
    """Which function a probe event stands for: its symbol, its definition, or a guess."""

    def __init__(self, tables: Mapping[str, pl.DataFrame]) -> None:
        self.definitions = self._definitions(tables.get("kprobe_definition"))
        self.symbols = self._symbols(tables.get("kallsyms_symbol"))
        self.by_address: dict[int, str] = {}
        self.resolved: dict[tuple[Any, ...], tuple[str | None, str | None]] = {}
        self.returning: set[str] = set()
        for kind in ("probe_entry", "probe_return"):
            if (frame := tables.get(kind)) is not None:
                self._learn(kind, frame)

    @staticmethod
    def _definitions(frame: pl.DataFrame | None) -> dict[str, dict[str, Fetches]]:
        """Probe -> function -> what its arguments fetch."""
        found: dict[str, dict[str, Fetches]] = {}
        if frame is not None:
            for probe, function, args in frame.select("probe", "function", "args").iter_rows():
                if (name := function_of(function)) is not None:
                    found.setdefault(probe.rpartition("/")[2], {})[name] = fetches(args)
        return found

    @staticmethod
    def _symbols(frame: pl.DataFrame | None) -> dict[int, str]:
        """Address -> known function, from /proc/kallsyms."""
        if frame is None:
            return {}
        named = frame.select("address", pl.col("symbol").str.split(".").list.first()).filter(pl.col("symbol").is_in(list(FUNCTIONS)))
        return {at: symbol for address, symbol in named.iter_rows() if (at := int(address, 16))}

    def _learn(self, kind: str, frame: pl.DataFrame) -> None:
        """Guess the functions of probes that have addresses only; entries first, for returns share their addresses."""
        if kind == "probe_return":
            self.returning.update(frame["function"].drop_nulls().unique())
        if not frame["function"].null_count():
            return
        unnamed = frame.filter(pl.col("function").is_null()).unique(["probe", "address"], keep="first", maintain_order=True)
        for probe, function, address, args in unnamed.select("probe", "function", "address", "args").iter_rows():
            name, hint = self.of(probe, function, address, args)
            if kind == "probe_return":
                self.returning.add(name or hint or probe)
            elif hint and address is not None:
                self.by_address[address] = hint

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
