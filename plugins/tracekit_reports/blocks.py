"""Draw a timeline in block characters, for a terminal of any width."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rich.text import Text

from tracekit import Lane, Scale, Timeline
from tracekit_reports.axis import length, position
from tracekit_reports.story import visible

LABELS = 19  # columns of the lanes' names
STYLES = {"good": "green", "bad": "bold red", "calm": "dim", "vectors": "blue", "domain": "magenta", "handler": "cyan"}
BODY = {"bad": "█", "calm": "░"}  # other tones: a lighter block, so that faults stand out without colour too
MOST_LANES = 10
MOST_ALIKE = 2  # lanes from one table, where there are more lanes than that


def blocks(t: Timeline, width: int) -> Iterator[Text]:
    """Yield the lines of the drawing: the lanes, then the axis."""
    scale = Scale.of(t)
    inside = max(20, width - LABELS - 1)

    def x(position: int) -> int:
        return min(inside - 1, int(scale(position) * inside))

    shown = _few(t.lanes)
    for lane in shown:
        yield Text.assemble(
            (f"{_cut(visible(lane.name), LABELS):<{LABELS}}", "dim"), " ", _lane(t, lane, x, inside, [x(a) for a, _ in scale.folds])
        )
    if hidden := sum(bool(lane.bars or lane.marks) for lane in t.lanes) - len(shown):
        yield Text(f"{'':{LABELS}} {hidden} more lanes like these: --format html", style="dim")
    yield Text(f"{'':{LABELS}} {_axis(t, inside)}", style="dim")


def _few(lanes: Sequence[Lane]) -> list[Lane]:
    """Return the lanes with something on them; of those from one table the first few where a screen would not hold all."""
    lanes = [lane for lane in lanes if lane.bars or lane.marks]
    if len(lanes) <= MOST_LANES:
        return list(lanes)
    alike: Counter[str] = Counter()
    shown = []
    for lane in lanes:
        alike[lane.table] += 1
        if alike[lane.table] <= MOST_ALIKE:
            shown.append(lane)
    return shown


def _lane(t: Timeline, lane: Lane, x: Callable[[int], int], inside: int, folds: list[int]) -> Text:
    cells = [("┊", "dim") if i in folds else (" ", "") for i in range(inside)]
    for bar in lane.bars:
        left, right = x(bar.begin), max(x(t.end if bar.end is None else bar.end), x(bar.begin))
        room = right - left + 1
        text = visible(bar.text) if len(bar.text) + 2 <= room else ""
        body = f" {text} ".ljust(room, BODY.get(bar.tone, "▒")) if text else BODY.get(bar.tone, "▒") * room
        if text:
            body = BODY.get(bar.tone, "▒") + body[:-1]
        for i, character in enumerate(body):
            cells[left + i] = (character, STYLES[bar.tone])
    for mark in lane.marks:
        cells[x(mark.at)] = ("│" if mark.count == 1 else "┃", STYLES[mark.tone])
    return Text.assemble(*cells)


def _axis(t: Timeline, inside: int) -> str:
    begin, end = position(t, t.begin), position(t, t.end)
    middle = f"({length(t, t.end - t.begin)})"
    return f"{begin}{middle:^{max(len(middle), inside - len(begin) - len(end))}}{end}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
