"""Draw a timeline as SVG: no script, no library; bars are links to lines, colours hold for readers who confuse red and green."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TypeVar

from tracekit import Bar, Mark, Run, Scale, Timeline
from tracekit_reports.axis import length, position
from tracekit_reports.story import confidence, headline, places, story, visible

if TYPE_CHECKING:
    from tracekit import Answer

LABELS = 170  # width of the lanes' names
ROW, BAR, TOP, BOTTOM = 26, 18, 26, 20
CHAR = 6.3  # width of a character of a bar's text
TICK = 74  # width of a tick's text
TICKS = 8
WIDTH = 1180
WORDS = 130  # characters of a line above a picture
MOST = 300  # bars or marks of a lane that are drawn each
NARROW = 3.0  # width that those of a fuller lane share
_Item = TypeVar("_Item", Bar, Mark)
Href = Callable[[Bar | Mark], str]
X = Callable[[int], float]  # where a position of the axis stands on the drawing

# Okabe and Ito's colours, darker where white text stands on them; `bad` has stripes too.
STYLE = """
.tl { --ink: #1c2128; --dim: #57606a; --rule: #d0d7de; --shade: #d55e001f; --good: #00785a; --bad: #b3401a; --calm: #667079;
  --vectors: #0063a8; --domain: #7a4aa8; --handler: #1f7a80; font: 11px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .tl { --ink: #e6e9ed; --dim: #98a2ae; --rule: #333b44; --shade: #ff8a5c2e; --good: #1f9d78;
  --bad: #d2603a; --calm: #7d8790; --vectors: #2f86cc; --domain: #9a72c7; --handler: #3a979d; } }
.tl text { fill: var(--dim); } .tl .in { fill: #fff; font-weight: 600; pointer-events: none; } .tl .rule { stroke: var(--rule); }
.tl .fold { stroke: var(--dim); stroke-dasharray: 2 3; } .tl .shade { fill: var(--shade); }
.tl .good { fill: var(--good); } .tl .bad { fill: var(--bad); } .tl .calm { fill: var(--calm); } .tl .vectors { fill: var(--vectors); }
.tl .domain { fill: var(--domain); } .tl .handler { fill: var(--handler); } .tl .stripes { fill: url(#tl-stripes); pointer-events: none; }
.tl a:focus rect, .tl a:hover rect { stroke: var(--ink); stroke-width: 1.5; }
"""
_PAGE = """.paper { fill: #fff; } .tl .title { font-size: 17px; font-weight: 700; fill: var(--ink); }
.tl .head { font-size: 14px; font-weight: 600; fill: var(--ink); } .tl .what { font-size: 12px; }
@media (prefers-color-scheme: dark) { .paper { fill: #14181d; } }
"""
DEFS = (
    '<defs><pattern id="tl-stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="2" height="6" fill="#fff" fill-opacity=".22"/></pattern></defs>'
)


class SvgReport:
    """`--format svg`: each finding with its picture, for a ticket; one file, text that can be selected."""

    name = "svg"
    draws = True

    def write(self, run: Run, options: Mapping[str, Any]) -> str:
        """Return the drawing of all findings, one below the other."""
        parts, y = [f'<text class="title" x="6" y="24">{_safe(headline(run, told := story(run)))}</text>'], 44
        for fault in told.faults:
            f, picture = fault.finding, run.picture(fault.finding)
            for i, line in enumerate([*wrap(visible(f.summary), WORDS), f"{f.code} {f.name}, {confidence(f)}, {f.severity}; {places(f)}"]):
                parts.append(f'<text class="{"what" if i else "head"}" x="6" y="{y + 16}">{_safe(line)}</text>')
                y += 20
            for t in filter(None, (picture.focus, picture.whole) if picture else ()):
                parts.append(f'<svg x="0" y="{y}" width="{WIDTH}" height="{height(t)}">{drawing(t, _source_line)}</svg>')
                y += height(t) + 6
            y += 24
        size = f'width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
        style = f'<style>{STYLE}{_PAGE}</style><rect class="paper" width="100%" height="100%"/>{DEFS}'
        return f'<svg class="tl" xmlns="http://www.w3.org/2000/svg" {size}>{style}{"".join(parts)}</svg>\n'

    def write_answer(self, answer: "Answer", options: Mapping[str, Any]) -> str:
        """Return a simulation's faults above the run as a drawing. `names`: of the codes."""
        from tracekit_reports import simulation

        texts = [("title", simulation.headline(answer))]
        for f in answer.first():
            texts += zip(("head", "what", "what"), simulation.fault(f, options.get("names") or {}), strict=False)
        y = 4
        parts = []
        for kind, line in texts:
            y += 20
            parts.append(f'<text class="{kind}" x="6" y="{y}">{_safe(line)}</text>')
        y += 16
        if (t := answer.timeline) is not None and t.lanes:
            parts.append(f'<svg x="0" y="{y}" width="{WIDTH}" height="{height(t)}">{drawing(t, lambda _: "")}</svg>')
            y += height(t)
        size = f'width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
        style = f'<style>{STYLE}{_PAGE}</style><rect class="paper" width="100%" height="100%"/>{DEFS}'
        return f'<svg class="tl" xmlns="http://www.w3.org/2000/svg" {size}>{style}{"".join(parts)}</svg>\n'

    def write_timeline(self, t: Timeline) -> str:
        """Return one timeline as a drawing of its own, as a notebook shows it."""
        paper = f'<style>{STYLE}{_PAGE}</style><rect class="paper" width="100%" height="100%"/>{DEFS}'
        size = f'width="100%" viewBox="0 0 {WIDTH} {height(t)}"'
        return f'<svg class="tl" xmlns="http://www.w3.org/2000/svg" {size}>{paper}{drawing(t, lambda _: "")}</svg>'


def _source_line(item: Bar | Mark) -> str:
    return f"{item.source}#L{item.line}"


def height(t: Timeline) -> int:
    """Return the height of a drawing."""
    return TOP + ROW * len(t.lanes) + (BOTTOM if Scale.of(t).folds else 4)


def drawing(t: Timeline, href: Href) -> str:
    """Return the SVG element of a timeline. `href` gives the address of the line that shows a bar or mark; nothing for no link."""
    return "".join(_drawing(t, href))


def _drawing(t: Timeline, href: Href) -> Iterator[str]:
    scale = Scale.of(t)
    inside = WIDTH - LABELS - 12

    def x(position: int) -> float:
        return LABELS + scale(position) * inside

    size = f'viewBox="0 0 {WIDTH} {height(t)}"'
    yield f'<svg class="tl" xmlns="http://www.w3.org/2000/svg" {size} data-from="{LABELS}" role="group" aria-label="{_safe(_caption(t))}">'
    for left, right in _apart((x(a), x(b)) for a, b in t.shades):
        yield f'<rect class="shade" x="{left:.1f}" y="{TOP - 4}" width="{max(right - left, 1):.1f}" height="{ROW * len(t.lanes) + 4}"/>'
    yield from _axis(t, scale, x)
    for i, lane in enumerate(t.lanes):
        y = TOP + i * ROW + (ROW - BAR) // 2
        yield f'<text x="6" y="{y + 13}">{_safe(lane.name)}<title>table {_safe(lane.table)}</title></text>'
        bars = [(x(bar.begin), x(t.end if bar.end is None else bar.end), bar) for bar in lane.bars]
        for left, right, bar, count in together(bars):
            yield from _bar(bar, left, right, y, href, count)
        marks = [(x(m.at), x(m.at if m.end is None else m.end), m) for m in lane.marks]
        yield from (_mark(m, left, right, y, href, count) for left, right, m, count in together(marks))
    yield "</svg>"


def _axis(t: Timeline, scale: Scale, x: X) -> Iterator[str]:
    bottom, last = height(t), -float(TICK)
    for at, text in ticks(t, scale):
        if x(at) - last >= TICK and x(at) + TICK <= WIDTH:
            yield f'<text x="{x(at):.1f}" y="14">{text}</text>'
            last = x(at)
    last = -float(TICK)
    for a, b in scale.folds:
        left, right = x(a), x(b)
        yield from (f'<line class="fold" x1="{v:.1f}" x2="{v:.1f}" y1="{TOP - 4}" y2="{bottom - BOTTOM + 2}"/>' for v in (left, right))
        if left - last >= TICK / 2:
            yield f'<text x="{(left + right) / 2:.1f}" y="{bottom - 5}" text-anchor="middle">{length(t, b - a)}</text>'
            last = left


def together(placed: Sequence[tuple[float, float, _Item]]) -> Iterator[tuple[float, float, _Item, int]]:
    """Yield (left, right, bar or mark, how many): of a lane with more than a drawing can show those that share a few pixels as one.

    The worst of them stands for all.
    """
    if len(placed) <= MOST:
        yield from ((left, right, item, 1) for left, right, item in placed)
        return
    groups: list[list[tuple[float, float, _Item]]] = []
    for left, right, item in sorted(placed, key=lambda p: p[0]):
        if groups and right - groups[-1][0][0] < NARROW:
            groups[-1].append((left, right, item))
        else:
            groups.append([(left, right, item)])
    for group in groups:
        worst = next((item for _, _, item in group if item.tone == "bad"), group[0][2])
        yield group[0][0], max(right for _, right, _ in group), worst, len(group)


def _apart(shades: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Yield stretches; those that share a pixel are one, so that they are not shaded twice."""
    last: tuple[float, float] | None = None
    for left, right in sorted(shades):
        if last is not None and left - last[1] < 1:
            last = (last[0], max(last[1], right))
            continue
        if last is not None:
            yield last
        last = (left, right)
    if last is not None:
        yield last


def _bar(bar: Bar, left: float, right: float, y: int, href: Href, count: int) -> Iterator[str]:
    width = max(right - left, 2)
    shape = f'x="{left:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"'
    yield _linked(f'<rect class="{bar.tone}" {shape}><title>{_safe(place(bar) + _others(count))}</title></rect>', href(bar))
    if bar.tone == "bad":
        yield f'<rect class="stripes" {shape}/>'
    if width > len(bar.text) * CHAR + 8:
        yield f'<text class="in" x="{left + 4:.1f}" y="{y + 13}">{_safe(bar.text)}</text>'


def _mark(m: Mark, left: float, right: float, y: int, href: Href, count: int) -> str:
    shape = f'x="{left:.1f}" y="{y}" width="{max(1.6, right - left):.1f}" height="{BAR}"'
    return _linked(f'<rect class="{m.tone}" {shape}><title>{_safe(place(m) + _others(count))}</title></rect>', href(m))


def _others(count: int) -> str:
    return f" and {count - 1:,} more beside it" if count > 1 else ""


def _linked(shape: str, href: str) -> str:
    return f'<a href="{_safe(href)}">{shape}</a>' if href else shape


def place(item: Bar | Mark) -> str:
    """Return what a bar or mark says when it is pointed at: its text and its lines."""
    many = f"{item.count} times " if isinstance(item, Mark) and item.count > 1 else ""
    last = item.line_end if isinstance(item, Bar) else None
    lines = f"lines {item.line}-{last}" if last is not None and last != item.line else f"line {item.line}"
    return f"{many}{item.text} ({lines} of {item.source})"


def ticks(t: Timeline, scale: Scale) -> Iterator[tuple[int, str]]:
    """Yield what the axis prints: where each stretch begins; on an axis without folds, the time since its begin."""
    if scale.folds or t.unit == "line":
        yield from ((begin, position(t, begin)) for begin, _ in scale.stretches())
        return
    yield t.begin, position(t, t.begin)
    step = _round((t.end - t.begin) / TICKS)
    yield from ((t.begin + i * step, f"+{length(t, i * step)}") for i in range(1, TICKS + 1) if t.begin + i * step < t.end)


def _round(span: float) -> int:
    """Return the next number of the kind 1, 2, 5 times a power of ten."""
    power = 10 ** max(len(str(int(span))) - 1, 0)
    return int(next(n * power for n in (1, 2, 5, 10) if n * power >= span))


def _caption(t: Timeline) -> str:
    return f"{t.subject}, {position(t, t.begin)} to {position(t, t.end)}: " + ", ".join(lane.name for lane in t.lanes)


def _safe(text: str) -> str:
    return escape(visible(text), quote=True)
