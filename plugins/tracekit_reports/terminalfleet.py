"""The page of a fleet on the terminal: a headline, many faults in brief first, then each with its lines."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tracekit import Fleet, FleetFault
from tracekit_reports import fleets
from tracekit_reports.console import COLOUR, indented, labelled
from tracekit_reports.story import plural, visible

_NARROW, _WIDE = 80, 100  # columns from which on a brief row has all, and its days on one line


def fleet_page(fleet: Fleet, width: int) -> Iterator[RenderableType]:
    """Yield the parts of the page, top to bottom."""
    yield Text(visible(fleets.headline(fleet)), style="bold")
    yield from (Text(visible(note)) for note in fleets.notes(fleet))
    if len(fleet.faults) >= fleets.MANY:
        yield Text()
        yield _brief(fleet.faults, width)
    for f in fleet.faults:
        yield Text()
        yield from _fault(f)
    for title, rows in (("gone since the earlier batch", list(fleets.gone(fleet))), *fleets.troubles(fleet)):
        if rows:
            yield Text()
            yield Text(title, style="bold")
            yield from (indented(Text(visible(row), overflow="fold")) for row in rows)


def _brief(faults: Sequence[FleetFault], width: int) -> RenderableType:
    """Return a table of one row per fault, with a header, where the faults are too many for one screen."""
    told = {"severity": [f.severity for f in faults], "code": [f.code for f in faults]}
    told["fault"] = fleets.titles(faults)
    told["machines"] = [f"{f.machines:,}" if f.machines else plural(f.nameless, "case") for f in faults]
    if any(f.state for f in faults):
        told["state"] = [f.state for f in faults]
    if width >= _NARROW:
        told |= {"grade": [f.grade for f in faults], "seen": [fleets.days(f) for f in faults]}
    if _NARROW <= width < _WIDE:
        told["seen"] = [days.replace(" to ", "\n") for days in told["seen"]]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for head in told:
        table.add_column(head, no_wrap=head != "fault", overflow="fold", justify="right" if head == "machines" else "left")
    for cells in zip(*told.values(), strict=True):
        table.add_row(*(Text("\n".join(map(visible, cell.split("\n")))) for cell in cells))
    return table


def _fault(f: FleetFault) -> Iterator[RenderableType]:
    head = Text.assemble((f" {f.severity.upper()} ", COLOUR.get(f.severity, "")), " ", (f.code, "bold"), f"  {f.name}  {f.grade}")
    if f.state:
        head.append(f"  {f.state.upper()}", style="bold")
    yield head.append(f": {fleets.extent(f)}")
    yield indented(Text(visible(f.example["summary"]), style="bold", overflow="fold"))
    yield from (labelled(label, Text(visible(text))) for label, text in fleets.lines(f))
