"""The trend of a fleet: how many machines have a fault, by the day of its first line."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta

from tracekit import Fleet, FleetFault
from tracekit_reports.fleets import titles
from tracekit_reports.page import safe, scrolling

_MOST = 45  # bars of a row
_ROWS = 12
_YEARS = (1970, 2100)
_HIGH, _WIDE, _BAR = 34, 16, 12


def trend(fleet: Fleet, places: str) -> Iterator[str]:
    """Yield a row of bars for each fault, all on one axis, and the numbers as a table that opens on a click."""
    dated = [(number, f, days) for number, f in enumerate(fleet.faults) if (days := _days(f))]
    if not dated:
        return
    shown, names = dated[:_ROWS], titles(fleet.faults)
    unit, buckets = _buckets(min(min(days) for _, _, days in shown), max(max(days) for _, _, days in shown))
    yield f'<h2 id="when">When: {places} by the {unit} of the first line</h2>'
    yield scrolling("Faults over time")
    yield '<table class="trend"><thead><tr>'
    first, last = _ends(buckets, unit)
    ends = f'<div style="max-width: {_width(buckets)}">{f"<span>{last}</span>" if last != first else ""}{first}</div>'
    yield f'<th scope="col">Fault</th><th scope="col" class="bars">{ends}</th><th scope="col">most in a {unit}</th></tr></thead><tbody>'
    rows = [(number, f, _counts(days, buckets)) for number, f, days in shown]
    for number, f, counts in rows:
        name = f'<a href="#fault-{number}">{safe(f.code)}</a> {safe(names[number])}'
        yield f'<tr><th scope="row">{name}</th><td>{_bars(counts, buckets, unit)}</td><td class="n">{max(counts):,}</td></tr>'
    yield "</tbody></table></div>"
    yield from _numbers(rows, buckets, unit)
    if any(f.seen_by == "file" for _, f, _ in shown):
        yield "<p>Where a log has no dates the time of its file counts.</p>"
    if left := len(dated) - len(shown):
        yield f"<p>Not drawn: {left:,} further.</p>"


def _bars(counts: Sequence[int], buckets: Sequence[date], unit: str) -> str:
    """Return the bars of a fault: the highest one is as high as the row."""
    most, whole = max(counts), _WIDE * len(counts)
    told = f"{' to '.join(_ends(buckets, unit))}: {', '.join(f'{n:,}' for n in counts)}"
    parts = [f'<line x1="0" x2="{whole}" y1="{_HIGH - 0.5}" y2="{_HIGH - 0.5}"/>']
    for i, n in enumerate(counts):
        if n:
            high = max(2.0, (_HIGH - 2) * n / most)
            shape = f'x="{i * _WIDE + (_WIDE - _BAR) // 2}" y="{_HIGH - 1 - high:.1f}" width="{_BAR}" height="{high:.1f}"'
            parts.append(f"<rect {shape}><title>{_name(buckets[i], unit)}: {n:,}</title></rect>")
    box = f'viewBox="0 0 {whole} {_HIGH}" preserveAspectRatio="none" style="max-width: {_width(buckets)}"'
    return f'<svg {box} role="img" aria-label="{told}">{"".join(parts)}</svg>'


def _numbers(rows: Sequence[tuple[int, FleetFault, Sequence[int]]], buckets: Sequence[date], unit: str) -> Iterator[str]:
    """Yield the numbers of the bars: a row for each day on which there is one."""
    heads = "".join(f'<th scope="col">{safe(f.code)}{f"<br>{safe(f.role)}" if f.role else ""}</th>' for _, f, _ in rows)
    yield "<details><summary>The numbers</summary>" + scrolling("Numbers over time") + "<table><thead>"
    yield f'<tr><th scope="col">{unit}</th>{heads}</tr></thead><tbody>'
    for i, begin in enumerate(buckets[:-1]):
        if any(counts[i] for _, _, counts in rows):
            cells = "".join(f'<td class="n">{counts[i]:,}</td>' for _, _, counts in rows)
            yield f'<tr><th scope="row">{_name(begin, unit)}</th>{cells}</tr>'
    yield "</tbody></table></div></details>"


def _days(f: FleetFault) -> dict[date, int]:
    """Return the days of a fault that a calendar has; a clock that was never set is none of them."""
    found: dict[date, int] = {}
    for text, n in f.days.items():
        with suppress(ValueError):
            day = date.fromisoformat(text)
            found |= {day: n} if _YEARS[0] <= day.year <= _YEARS[1] else {}
    return found


def _counts(days: Mapping[date, int], buckets: Sequence[date]) -> list[int]:
    """Return how many places have the fault first in each bucket."""
    counts = [0] * (len(buckets) - 1)
    for day, n in days.items():
        counts[bisect_right(buckets, day) - 1] += n
    return counts


def _buckets(begin: date, end: date) -> tuple[str, list[date]]:
    """Return (unit, begins of all days, weeks, months or years between, and the end): the finest that is not too many bars."""
    if (end - begin).days < _MOST:
        return "day", [begin + timedelta(days=i) for i in range((end - begin).days + 2)]
    monday = begin - timedelta(days=begin.weekday())
    if (weeks := (end - monday).days // 7) < _MOST:
        return "week", [monday + timedelta(weeks=i) for i in range(weeks + 2)]
    months = (end.year - begin.year) * 12 + end.month - begin.month
    if months < _MOST:
        at = [begin.year * 12 + begin.month - 1 + i for i in range(months + 2)]
        return "month", [date(m // 12, m % 12 + 1, 1) for m in at]
    return "year", [date(year, 1, 1) for year in range(begin.year, end.year + 2)]


def _width(buckets: Sequence[date]) -> str:
    """Return how wide a row of bars is at most: few bars are no walls."""
    return f"{max(14, 3 * (len(buckets) - 1))}rem"


def _ends(buckets: Sequence[date], unit: str) -> tuple[str, str]:
    """Return the names of the first and the last bar."""
    *begins, _ = buckets
    return _name(begins[0], unit), _name(begins[-1], unit)


def _name(begin: date, unit: str) -> str:
    return {"month": f"{begin:%Y-%m}", "year": f"{begin:%Y}"}.get(unit, begin.isoformat())
