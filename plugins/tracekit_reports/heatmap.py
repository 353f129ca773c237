"""The heat map of a fleet: each fault by kernel release and device, the number in every cell."""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import log

from tracekit import Fleet, FleetFault
from tracekit_reports.fleets import titles
from tracekit_reports.page import safe, scrolling
from tracekit_reports.story import plural

ALL = "*"  # all devices of a fault together
STEPS = 5
FAULTS = 15  # rows of faults
_KERNELS = 10  # columns; the rest share one
_DEVICES = 4  # rows of one fault; the rest share one
_UNKNOWN = "not known"


class Heatmap:
    """Lay out the cells: which releases are columns, which devices rows, and what a colour stands for."""

    def __init__(self, fleet: Fleet, places: str) -> None:
        self.fleet, self.places = fleet, places
        self.faults, self.titles = fleet.faults[:FAULTS], titles(fleet.faults)
        self.columns, self.rest = _columns(self.faults)
        self.most = max((n for f in self.faults for n in self._cells(f.grid.get(ALL, {}))), default=0)

    def column(self, kernel: str) -> int:
        """Return the column of a release."""
        return self.columns.index(kernel) if kernel in self.columns else len(self.columns)

    def html(self) -> Iterator[str]:
        """Yield the table and the key to its colours."""
        if not self.most:
            return
        yield f'<h2 id="where">Where: {self.places} with each fault, by kernel release and device</h2>'
        yield f'<p class="key">{"".join(self._key())}</p>'
        yield scrolling("Faults by kernel release and device")
        yield '<table class="heat"><thead><tr>'
        yield '<th scope="col">Fault and device</th>' + "".join(self._heads()) + "</tr></thead><tbody>"
        for number, f in enumerate(self.faults):
            yield from self._fault(f, number)
        yield "</tbody></table></div>"
        if left := len(self.fleet.faults) - len(self.faults):
            yield f"<p>{plural(left, 'further fault')} below.</p>"

    def _heads(self) -> Iterator[str]:
        for kernel in self.columns:
            of = self.fleet.kernels.get(kernel, 0)
            yield f'<th scope="col">{safe(kernel or _UNKNOWN)}<br><span class="of">of {of:,}</span></th>'
        if self.rest:
            of = sum(self.fleet.kernels.get(k, 0) for k in self.rest)
            yield f'<th scope="col">{plural(len(self.rest), "other")}<br><span class="of">of {of:,}</span></th>'

    def _fault(self, f: FleetFault, number: int) -> Iterator[str]:
        devices = [d for d in f.grid if d != ALL]
        name = f'<a href="#fault-{number}">{safe(f.code)}</a> {safe(self.titles[number])}'
        one = f'<br><span class="of">{safe(_short(devices[0]))}</span>' if len(devices) == 1 and devices[0] else ""
        yield f'<tr class="all"><th scope="row">{name}{one}</th>{"".join(self._row(f.grid.get(ALL, {}), number, None, share=True))}</tr>'
        if len(devices) < 2:
            return
        for i, device in enumerate(devices[:_DEVICES]):
            row = "".join(self._row(f.grid[device], number, i))
            yield f'<tr class="one"><th scope="row">{safe(_short(device) or "device " + _UNKNOWN)}</th>{row}</tr>'
        if left := devices[_DEVICES:]:
            total: dict[str, int] = {}
            for cells in map(f.grid.__getitem__, left):
                total |= {k: total.get(k, 0) + n for k, n in cells.items()}
            row = "".join(self._row(total, number, _DEVICES))
            yield f'<tr class="one"><th scope="row">{plural(len(left), "other device")}</th>{row}</tr>'

    def _row(self, cells: Mapping[str, int], fault: int, device: int | None, share: bool = False) -> Iterator[str]:
        """Yield the cells of a row; each leads to its cases in the table."""
        for i, n in enumerate(self._cells(cells)):
            if not n:
                yield '<td class="none">0</td>'
                continue
            of = self._of(i)
            part = f" <small>{_percent(n, of)}</small>" if share and of else ""
            which = f'data-f="{fault}" data-k="{i}"' + (f' data-d="{device}"' if device is not None else "")
            yield f'<td class="h{self._step(n)}"><a href="#cases" {which}>{n:,}{part}</a></td>'

    def _cells(self, cells: Mapping[str, int]) -> list[int]:
        found = [cells.get(k, 0) for k in self.columns]
        return [*found, sum(cells.get(k, 0) for k in self.rest)] if self.rest else found

    def _of(self, column: int) -> int:
        kernels = [self.columns[column]] if column < len(self.columns) else self.rest
        return sum(self.fleet.kernels.get(k, 0) for k in kernels)

    def _step(self, n: int) -> int:
        return min(1 + int(STEPS * log(n) / log(self.most) + 1e-9), STEPS) if self.most > 1 else 1

    def _key(self) -> Iterator[str]:
        """Yield the numbers that each colour stands for."""
        by_step: dict[int, list[int]] = {}
        bounds = (int(self.most ** (step / STEPS)) + i for step in range(STEPS + 1) for i in (-1, 0, 1))
        for n in (n for n in bounds if 1 <= n <= self.most):
            by_step.setdefault(self._step(n), []).append(n)
        for step, numbers in sorted(by_step.items()):
            first, last = min(numbers), max(numbers)
            yield f'<span class="h{step}">{f"{first:,}" if first == last else f"{first:,} to {last:,}"}</span>'
        yield "<small>Per cent: of all machines and cases with that release.</small>"


def device_row(f: FleetFault, device: str) -> int:
    """Return which row of its fault a device has."""
    devices = [d for d in f.grid if d != ALL]
    return min(devices.index(device), _DEVICES) if device in devices else _DEVICES


def _columns(faults: Sequence[FleetFault]) -> tuple[list[str], list[str]]:
    """Return the releases with most faults, the oldest first, and the others."""
    total: dict[str, int] = {}
    for f in faults:
        for kernel, n in f.grid.get(ALL, {}).items():
            total[kernel] = total.get(kernel, 0) + n
    by_count = sorted(total, key=lambda k: (-total[k], _version(k)))
    kept = by_count if len(by_count) <= _KERNELS + 1 else by_count[:_KERNELS]
    return sorted(kept, key=_version), sorted(set(by_count) - set(kept), key=_version)


def _version(release: str) -> tuple[bool, list[tuple[int, str]]]:
    """Return what sorts 6.8 before 6.12, and what is not known last."""
    return not release, [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall("[0-9]+|[^0-9]+", release)]


def _percent(n: int, of: int) -> str:
    return f"{100 * n / of:.0f} %" if 100 * n >= of else "&lt; 1 %"


def _short(device: str) -> str:
    return device if len(device) <= 60 else f"{device[:59]}…"
